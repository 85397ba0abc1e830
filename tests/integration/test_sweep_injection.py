"""Faults at points: each strikes where it is named, by the supervisor and by its witness alike."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from recorded import PATIENCE, Recorded, home_in, python, record
from watching import eventually

from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.injection import Injection
from pytest_ocap.sweeps.means import Means
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.witness import Witness

STEPS = """
def attempt(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        print(error.errno, end=" ", flush=True)

file = attempt(os.open, "a", os.O_CREAT | os.O_RDWR)
for data in (b"one", b"two", b"three"):
    attempt(os.write, file, data)
attempt(os.fsync, file)
attempt(os.fsync, file)
attempt(os.rename, "a", "b")
attempt(os.mkdir, "d")
attempt(os.unlink, "b" if os.path.exists("b") else "a")
print("done")
"""


@pytest.fixture(scope="module")
def witness(witness: Witness, tmp_path_factory: pytest.TempPathFactory) -> Witness:
    """Give strace, which has recorded the steps without faults."""
    record(witness, home_in(tmp_path_factory.mktemp("learning")), STEPS)
    return witness


def fired(done: Recorded) -> list[str]:
    assert not done.reached.missed
    return [str(firing.injection) for firing in done.reached.fired]


@pytest.mark.parametrize(
    ("injection", "said"),
    [
        ("w:open:a#1=EMFILE", "24 "),
        ("w:write:a#2=EIO", "5 "),
        ("w:write:a#2=ENOSPC", "28 "),
        ("w:sync:a#1=EIO", "5 "),
        ("w:rename:a#1=EACCES", "13 "),
        ("w:mkdir:d#1=EROFS", "30 "),
    ],
)
def test_an_error_strikes_its_call_and_no_other(means: Means, short_tmp: Path, injection: str, said: str) -> None:
    home = home_in(short_tmp)
    done = record(means, home, STEPS, injection)
    assert done.output.startswith(said)
    assert fired(done) == [injection]
    (firing,) = done.reached.fired
    struck = done.recording.calls[firing.call]
    assert struck.result == -int(said.split(maxsplit=1)[0])
    assert firing.process == "0"
    assert [call.number for call in done.recording.calls if call.injected] in ([], [firing.call])


@pytest.mark.parametrize(
    ("injection", "said"),
    [("w:sync:a#1=EIO+", "5 5 5 5 5 done\n"), ("w:write:a#2=ENOSPC+", "28 28 28 28 28 28 done\n")],
)
def test_a_lasting_error_strikes_every_later_call_that_can_fail_with_it(
    supervisor: Supervisor, short_tmp: Path, injection: str, said: str
) -> None:
    done = record(supervisor, home_in(short_tmp), STEPS, injection)
    assert done.output == said
    assert fired(done) == [injection]


CLOSES = """
server = socket.socket(socket.AF_UNIX)
server.bind("s")
server.listen()
client = socket.socket(socket.AF_UNIX)
client.connect("s")
served, _ = server.accept()
served.sendall(b"x")
files = [os.open(name, os.O_CREAT | os.O_RDWR) for name in "abc"]
for file in files:
    fcntl.flock(file, fcntl.LOCK_EX)
    fcntl.lockf(file, fcntl.LOCK_EX)
for file in files:
    try:
        os.close(file)
    except OSError as error:
        print(error.errno, end=" ", flush=True)
    try:
        os.fstat(file)
    except OSError as error:
        print(f"({error.errno})", end=" ", flush=True)
if os.fork() == 0:
    for file in (os.open(name, os.O_RDONLY) for name in "abc"):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os._exit(0)
assert os.wait()[1] == 0
served.close()
print(client.recv(9), client.recv(9))
"""


@pytest.mark.parametrize(
    ("injection", "said", "results"),
    [
        ("w:close:a#1=EIO+", "5 (9) 5 (9) 5 (9) b'x' b''\n", [-errno.EIO] * 3),
        ("w:close:b#1=EINTR", "(9) 4 (9) (9) b'x' b''\n", [-errno.EINTR]),
    ],
)
def test_what_cannot_be_closed_without_an_error_is_closed_all_the_same_and_connections_know_no_such_error(
    supervisor: Supervisor, short_tmp: Path, injection: str, said: str, results: list[int]
) -> None:
    done = record(supervisor, home_in(short_tmp), CLOSES, injection)
    assert done.output == said
    assert fired(done) == [injection]
    assert [call.result for call in done.of(Kind.CLOSE) if call.injected] == results


@pytest.mark.parametrize("error", ["EIO", "EINTR"])
def test_an_error_is_no_fault_of_a_connection_s_close(supervisor: Supervisor, short_tmp: Path, error: str) -> None:
    done = record(supervisor, home_in(short_tmp), CLOSES, f"w:close:s#1={error}")
    assert done.output == "(9) (9) (9) b'x' b''\n"
    assert [reason for _, reason in done.reached.missed] == [f"{error} cannot strike the close of a connection"]


@pytest.mark.parametrize(
    ("injection", "content"),
    [("w:write:a#1=kill", b""), ("w:write:a#3=kill", b"onetwo"), ("w:sync:a#2=kill", b"onetwothree")],
)
def test_kill_ends_the_process_before_the_call(means: Means, short_tmp: Path, injection: str, content: bytes) -> None:
    home = home_in(short_tmp)
    done = record(means, home, STEPS, injection)
    assert done.status == -signal.SIGKILL
    assert fired(done) == [injection]
    assert (home / "a").read_bytes() == content
    assert done.recording.calls[-1].number == done.reached.fired[0].call
    assert done.recording.calls[-1].result is None


@pytest.mark.parametrize(
    ("injection", "left"),
    [
        ("w:open:a#1=kill-after", {"a": b""}),
        ("w:write:a#1=kill-after", {"a": b"one"}),
        ("w:rename:a#1=kill-after", {"b": b"onetwothree"}),
        ("w:mkdir:d#1=kill-after", {"b": b"onetwothree", "d": None}),
    ],
)
def test_kill_after_lets_the_call_be_made(
    supervisor: Supervisor, short_tmp: Path, injection: str, left: dict[str, bytes | None]
) -> None:
    home = home_in(short_tmp)
    done = record(supervisor, home, STEPS, injection)
    assert done.status == -signal.SIGKILL
    assert "done" not in done.output
    assert fired(done) == [injection]
    found = {path.name: path.read_bytes() if path.is_file() else None for path in home.iterdir()}
    assert found == left
    last = done.recording.calls[-1]
    assert last.result is not None
    assert last.result >= 0


def test_kill_after_a_call_that_only_the_kernel_can_make_lets_it_be_made(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    home = home_in(short_tmp)
    program = """
    server = socket.socket(socket.AF_UNIX)
    server.bind("sock")
    time.sleep(60)
    """
    done = record(supervisor, home, program, "w:bind:sock#1=kill-after")
    assert done.status == -signal.SIGKILL
    assert (home / "sock").is_socket()
    assert fired(done) == ["w:bind:sock#1=kill-after"]


def test_hang_stops_the_process_before_the_call_and_continued_it_makes_it(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    home = home_in(short_tmp)
    injection = Injection.parse("w:write:a#2=hang")
    with supervisor.record(home, "w", [injection]) as session:
        process = subprocess.Popen(
            [*session.prefix, *python(STEPS)], cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        eventually(lambda: _state(process.pid) == "T", "it was not stopped")
        assert [firing.injection for firing in session.reached().fired] == [injection]
        assert (home / "a").read_bytes() == b"one"
        os.kill(process.pid, signal.SIGCONT)
        output, _ = process.communicate(timeout=PATIENCE)
        assert session.wait(PATIENCE)
        done = Recorded(process.returncode, output.decode(), session.recording(), session.reached())
    assert done.status == 0
    assert done.output == "done\n"
    assert [call.data for call in done.of(Kind.WRITE)] == [b"one", b"two", b"three"]
    assert [call.result for call in done.of(Kind.WRITE)] == [3, 3, 5]


def test_a_thread_that_hangs_stops_all_of_its_process(supervisor: Supervisor, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    program = """
    def write():
        os.write(os.open("a", os.O_CREAT | os.O_WRONLY), b"x")
    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        pass
    """
    with supervisor.record(home, "w", [Injection.parse("w:write:a#1=hang")]) as session:
        process = subprocess.Popen([*session.prefix, *python(program)], cwd=home, stdin=subprocess.DEVNULL)
        eventually(lambda: _state(process.pid) == "T", "it was not stopped")
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(PATIENCE) == 0
    assert (home / "a").read_bytes() == b"x"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_hang_by_the_witness_leaves_a_stopped_process(witness: Witness, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    with witness.record(home, "w", [Injection.parse("w:write:a#2=hang")]) as session:
        process = subprocess.Popen([*session.prefix, *python(STEPS)], cwd=home, stdin=subprocess.DEVNULL)
        written = home / "a"
        eventually(lambda: written.exists() and written.read_bytes() == b"onetwo" and _state(process.pid) in "tT")
        assert process.poll() is None
    assert process.wait(PATIENCE) == -signal.SIGKILL


def test_short_takes_half_and_says_so(supervisor: Supervisor, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    done = record(
        supervisor, home, "print(os.write(os.open('a', os.O_CREAT | os.O_WRONLY), b'123456'))", "w:write:a#1=short"
    )
    assert done.output == "3\n"
    assert (home / "a").read_bytes() == b"123"
    assert fired(done) == ["w:write:a#1=short"]
    assert [(call.data, call.result) for call in done.of(Kind.WRITE)] == [(b"123", 3)]


def test_slow_delays_one_call_and_nobody_else(supervisor: Supervisor, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    program = """
    def write(name):
        file = os.open(name, os.O_CREAT | os.O_WRONLY)
        os.write(file, b"x")
        ended[name] = time.monotonic()
    ended = {}
    threads = [threading.Thread(target=write, args=(name,)) for name in ("slow", "quick")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(ended["slow"] - ended["quick"] > 0.2)
    """
    done = record(supervisor, home, program, "w:write:slow#1=slow=0.4")
    assert done.output == "True\n"
    assert fired(done) == ["w:write:slow#1=slow=0.4"]


def test_slow_by_the_witness_delays_too(witness: Witness, short_tmp: Path) -> None:
    began = time.monotonic()
    done = record(witness, home_in(short_tmp), STEPS, "w:write:a#2=slow=0.4")
    assert time.monotonic() - began > 0.4
    assert fired(done) == ["w:write:a#2=slow=0.4"]


@pytest.mark.parametrize("injection", ["w:write:a#4=EIO", "w:write:elsewhere#1=kill", "w:unlink:a#1=EIO"])
def test_a_fault_whose_point_is_not_reached_says_so(means: Means, short_tmp: Path, injection: str) -> None:
    done = record(means, home_in(short_tmp), STEPS, injection)
    assert done.output == "done\n"
    assert not done.reached.fired
    ((missed, reason),) = done.reached.missed
    assert str(missed) == injection
    assert "not reached" in reason or "must have recorded" in reason


def test_a_fault_that_cannot_strike_says_so(means: Means, short_tmp: Path) -> None:
    done = record(means, home_in(short_tmp), STEPS, "w:unlink:b#1=EMFILE")
    assert done.output == "done\n"
    assert [reason for _, reason in done.reached.missed] == ["EMFILE cannot strike a call of the kind unlink"]


def test_several_faults_strike_in_one_run(supervisor: Supervisor, short_tmp: Path) -> None:
    done = record(
        supervisor, home_in(short_tmp), STEPS, "w:write:a#1=EIO", "w:mkdir:d#1=EACCES", "w:sync:a#2=kill-after"
    )
    assert [str(firing.injection) for firing in done.reached.fired] == ["w:write:a#1=EIO", "w:sync:a#2=kill-after"]
    assert [(str(missed), reason) for missed, reason in done.reached.missed] == [
        ("w:mkdir:d#1=EACCES", "its point was not reached")
    ]
    assert done.status == -signal.SIGKILL
    assert done.output == "5 "


def test_the_point_is_found_again_when_the_program_has_changed_a_little(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    changed = "os.mkdir('more'); os.write(os.open('other', os.O_CREAT | os.O_WRONLY), b'x')\n" + STEPS
    done = record(supervisor, home_in(short_tmp), changed, "w:write:a#2=ENOSPC")
    assert done.output == "28 done\n"
    assert fired(done) == ["w:write:a#2=ENOSPC"]
