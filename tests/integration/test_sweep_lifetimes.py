"""What outlives whom: daemons, clients, the supervisor and its caller; and the kernel's own daemon under recording."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recorded import PATIENCE, home_in, python, record
from watching import eventually

from pytest_ocap.driver import Setting, Subcluster
from pytest_ocap.drivers.kernel import KernelDriver
from pytest_ocap.sweeps.calls import Call, Kind, Recording
from pytest_ocap.sweeps.connections import Channels
from pytest_ocap.sweeps.lives import Lives
from pytest_ocap.sweeps.means import Means
from pytest_ocap.sweeps.notify import Listener
from pytest_ocap.sweeps.points import points
from pytest_ocap.sweeps.scene import Event, Scene
from pytest_ocap.sweeps.supervisor import Supervisor, SupervisorLostError
from pytest_ocap.sweeps.tree import Process, Tree

DAEMON = """
import subprocess
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        subprocess.Popen(["sleep", "1000"])
        file = os.open("pid", os.O_CREAT | os.O_WRONLY)
        os.write(file, str(os.getpid()).encode())
        signal.pause()
    os._exit(0)
os.wait()
"""
"""A client that leaves a daemon behind, which has a child of its own and then waits without a call for ever."""


@pytest.fixture
def mortal(supervisor: Supervisor) -> Iterator[Supervisor]:
    """Give one that may be killed."""
    with Supervisor() as mortal:
        yield mortal


def start_daemon(prefix: tuple[str, ...], home: Path) -> list[int]:
    """Start the daemon; give its pid and its child's."""
    subprocess.run([*prefix, *python(DAEMON)], cwd=home, check=True, timeout=PATIENCE)
    eventually(lambda: (home / "pid").exists() and (home / "pid").read_text())
    pid = int((home / "pid").read_text())
    return [pid, *(int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_daemon_is_followed_after_its_client_has_ended_and_killed_at_the_end(means: Means, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    with means.record(home, "w") as session:
        pids = start_daemon(session.prefix, home)
        assert not session.wait(0.05)
        assert all(alive(pid) for pid in pids)
        writers = {call.path: call.process for call in session.recording().calls if call.kind is Kind.WRITE}
        assert writers == {"pid": "0.1.1"}
    eventually(lambda: not any(alive(pid) for pid in pids), "the daemon outlived its recording")


def lose(mortal: Supervisor, home: Path, start: Callable[[tuple[str, ...]], list[int]]) -> None:
    """Record what ``start`` starts, kill the supervisor, and wait until nothing of it is left."""
    with mortal.record(home, "w") as session:
        pids = start(session.prefix)
        assert all(alive(pid) for pid in pids)
        assert mortal.pid is not None
        os.kill(mortal.pid, signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in pids), "the tree outlived its supervisor")


def test_when_the_supervisor_is_killed_nothing_that_it_supervised_is_left(mortal: Supervisor, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    with pytest.raises(SupervisorLostError, match="signal 9"):
        lose(mortal, home, lambda prefix: start_daemon(prefix, home))


def test_a_program_that_waits_for_an_answer_ends_when_the_supervisor_is_killed(
    mortal: Supervisor, short_tmp: Path
) -> None:
    home = home_in(short_tmp)
    busy = python("while True: os.write(os.open('a', os.O_CREAT | os.O_WRONLY), b'x'); os.close(3)")
    started: list[subprocess.Popen[bytes]] = []

    def start(prefix: tuple[str, ...]) -> list[int]:
        started.append(subprocess.Popen([*prefix, *busy], cwd=home, stderr=subprocess.DEVNULL))
        eventually((home / "a").exists)
        return [started[0].pid]

    with pytest.raises(SupervisorLostError):
        lose(mortal, home, start)
    assert started[0].wait(PATIENCE) != 0


def test_after_a_supervisor_was_killed_the_next_run_has_a_new_one(mortal: Supervisor, short_tmp: Path) -> None:
    with pytest.raises(SupervisorLostError):
        lose(mortal, home_in(short_tmp, "one"), lambda _prefix: [])
    assert record(mortal, home_in(short_tmp, "two"), "os.mkdir('d')").points() == ["w:mkdir:d#1"]


def test_when_the_caller_is_killed_nothing_that_it_supervised_is_left(supervisor: Supervisor, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    caller = f"""
        import os, pathlib, subprocess, sys, time
        from pytest_ocap.sweeps.supervisor import Supervisor
        home = pathlib.Path({os.fspath(home)!r})
        with Supervisor() as supervisor, supervisor.record(home, "w") as session:
            subprocess.run([*session.prefix, *{python(DAEMON)!r}], cwd=home, check=True)
            print(supervisor.pid, flush=True)
            time.sleep(1000)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(caller)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        supervising = int(process.stdout.readline())
    eventually(lambda: (home / "pid").exists() and (home / "pid").read_text())
    pid = int((home / "pid").read_text())
    assert alive(pid)
    process.kill()
    process.wait(PATIENCE)
    eventually(lambda: not alive(pid), "the daemon outlived the caller")
    eventually(lambda: not alive(supervising), "the supervisor outlived its caller")


def test_a_supervisor_serves_one_run_after_the_other(supervisor: Supervisor, short_tmp: Path) -> None:
    for name in ("one", "two", "three"):
        done = record(supervisor, home_in(short_tmp, name), "os.mkdir('d')")
        assert done.points() == ["w:mkdir:d#1"]
        assert [call.number for call in done.recording.calls] == list(range(len(done.recording.calls)))


def test_no_right_is_needed_beyond_those_of_any_user(supervisor: Supervisor, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    program = """
        import ctypes, os, pathlib, subprocess, sys
        if len(sys.argv) == 1:
            for capability in range(64):  # PR_CAPBSET_DROP; what was dropped is gone with the next program
                ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
            os.execv(sys.executable, [sys.executable, "-c", sys.orig_argv[2], "without"])
        from pytest_ocap.sweeps.probing import strace_lacks, supervisor_lacks
        assert "CapEff:\\t0000000000000000" in pathlib.Path("/proc/self/status").read_text()
        print(supervisor_lacks(), strace_lacks())
    """
    words = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(words, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "None None\n", "")


def test_a_supervisor_that_breaks_says_how(mortal: Supervisor, short_tmp: Path) -> None:
    with pytest.raises(SupervisorLostError, match="KeyError: 'no such command'"):
        mortal.ask("no such command")


# --- our own kernel --------------------------------------------------------------------------------------------------


def use(home: Path, folder: Path, setting: Setting) -> None:
    """Start the kernel's daemon, launch a subcluster, send it messages, stop the daemon."""
    driver = KernelDriver()
    url = driver.make_bundle(folder / "counter.bundle")
    started = driver.start(home, timeout=PATIENCE, setting=setting)
    assert started.ok, started.text
    launched = driver.launch(home, url, timeout=PATIENCE)
    assert launched.ok, launched.text
    subcluster = Subcluster(launched.value[0], launched.value[1], folder / "counter.bundle", url)
    for count in (1, 2, 3):
        assert driver.probe(home, subcluster, timeout=PATIENCE).value == count
    stopped = driver.stop(home, timeout=PATIENCE)
    assert stopped.ok, stopped.text


def by(recording: Recording, *kinds: Kind) -> list[Call]:
    return [call for call in recording.calls if call.kind in kinds]


def test_the_kernel_s_daemon_is_started_used_and_stopped_under_recording(means: Means, short_tmp: Path) -> None:
    home = home_in(short_tmp)
    with means.record(home, "use") as session:
        use(home, short_tmp, Setting(prefix=session.prefix))
        assert session.wait(PATIENCE)
        recording = session.recording()
    found = [str(point) for point, _ in points(recording, "use")]
    for expected in (
        "use:open:daemon.lock#1",
        "use:lock:daemon.lock#1",
        "use:write:daemon.log#1",
        "use:write:kernel.sqlite-wal#1",
        "use:sync:kernel.sqlite-wal#1",
        "use:bind:daemon.sock#1",
        "use:listen:daemon.sock#1",
        "use:accept:daemon.sock#1",
        "use:unlink:daemon.sock#1",
    ):
        assert expected in found
    assert {call.process for call in by(recording, Kind.SYNC)} == {"0.1"}
    replies = [call.data for call in by(recording, Kind.SEND) if call.process == "0.1"]
    for count in (1, 2, 3):
        assert any(data is not None and b'"body":"#%d"' % count in data for data in replies)
    assert any("kernel.sqlite-shm is mapped shared" in note for note in recording.notes)


def test_every_reply_of_the_kernel_follows_a_sync_of_what_it_acknowledges(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    home = home_in(short_tmp)
    with supervisor.record(home, "use") as session:
        use(home, short_tmp, Setting(prefix=session.prefix))
        assert session.wait(PATIENCE)
        calls = session.recording().calls
    for count in (1, 2, 3):
        reply = next(call for call in calls if call.kind is Kind.SEND and b'"body":"#%d"' % count in (call.data or b""))
        before = [call for call in calls[: reply.number] if call.path == "kernel.sqlite-wal"]
        assert [call.kind for call in before if call.kind in (Kind.WRITE, Kind.SYNC)][-1] is Kind.SYNC


def test_two_recordings_of_the_kernel_s_start_have_the_same_points(supervisor: Supervisor, short_tmp: Path) -> None:
    driver = KernelDriver()
    recorded = []
    for name in ("one", "two"):
        home = home_in(short_tmp, name)
        with supervisor.record(home, "start") as session:
            assert driver.start(home, timeout=PATIENCE, setting=Setting(prefix=session.prefix)).ok
            assert driver.stop(home, timeout=PATIENCE).ok
            assert session.wait(PATIENCE)
            recorded.append([str(point) for point, _ in points(session.recording(), "start")])
    stable = [sorted(name for name in names if ":accept:" not in name) for names in recorded]
    assert stable[0] == stable[1]


def test_overhead_is_far_below_what_a_call_may_cost(supervisor: Supervisor, short_tmp: Path) -> None:
    program = """
    file = os.open("a", os.O_CREAT | os.O_WRONLY)
    began = time.monotonic()
    for _ in range(1000):
        os.write(file, b"x" * 4096)
    print((time.monotonic() - began) / 1000)
    """
    began = time.monotonic()
    done = record(supervisor, home_in(short_tmp), program)
    assert float(done.output) < 0.005, f"{done.output} s a call, in a run of {time.monotonic() - began:.2f} s"
    assert len(done.of(Kind.WRITE)) == 1000


def test_a_process_that_is_gone_while_its_call_waits_is_not_acted_for() -> None:
    """A zombie has a status, and no root any more."""
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    process = Process("0", child.pid, 0)
    event = Event(Listener(0), 0, child.pid, process, "fsync", ())
    try:
        assert not Lives(Tree()).may_act_for(Scene("/home", Channels()), event)
    finally:
        child.wait()
