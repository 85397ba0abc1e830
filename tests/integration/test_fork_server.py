"""A command that is forked from a process that has imported it is, to whoever looks, the command started anew."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pytest_ocap.clients import FORKED, LAUNCHERS, RUNNING, is_client, run_client
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Outcome
from pytest_ocap.drivers import kernel
from pytest_ocap.drivers.fork_server import ForkServer, circumstances
from pytest_ocap.processes import TOKEN
from pytest_ocap.verdict import HarnessBrokenError

PROGRAM = """
import json, os, signal, sys, time

def tell():
    umask = os.umask(0); os.umask(umask)
    return {
        "words": sys.argv, "environment": dict(os.environ), "cwd": os.getcwd(), "umask": umask,
        "descriptors": [fd for fd in range(64) if os.path.exists(f"/proc/self/fd/{fd}")],
        "input": sys.stdin.read(), "handlers": [str(signal.getsignal(n)) for n in (2, 13, 15, 17)],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "ids": [os.getpgid(0), os.getsid(0)],
        "encoding": sys.stdout.encoding, "path": sys.path, "flags": str(sys.flags),
    }

def command():
    word = sys.argv[1]
    if word == "tell":
        print(json.dumps(tell()))
        print("and this", file=sys.stderr)
    elif word == "exit":
        sys.exit(eval(sys.argv[2]))
    elif word == "raise":
        raise ValueError("nobody catches this")
    elif word == "die":
        print("said before", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "leave":
        print("not lost"); sys.stdout.flush(); os._exit(7)
    elif word == "sleep":
        time.sleep(600)

if __name__ == "__main__":
    command()
"""


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each command is started anew")


@pytest.fixture
def server(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """Give a fork server of the program above."""
    (short_tmp / "program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(short_tmp))
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)
    server = ForkServer("program", "command", ("json",))
    yield server
    server.close()


def run(server: ForkServer, home: Path, *words: str, anew: bool = False, timeout: float = 30.0) -> Outcome:
    """Run the program, forked or anew."""
    return run_client((*server.command, *words), home, timeout=timeout, launcher=None if anew else server)


@pytest.mark.parametrize(
    "words",
    [("tell", "a b", "", "ü"), ("exit", "3"), ("exit", "None"), ("exit", "'words'"), ("raise",), ("die",), ("leave",)],
    ids=" ".join,
)
def test_a_forked_run_is_what_it_would_be_anew(server: ForkServer, short_tmp: Path, words: tuple[str, ...]) -> None:
    forked, anew = (run(server, short_tmp / "h", *words, anew=anew) for anew in (False, True))
    assert server.pid is not None
    assert (forked.ok, forked.status, forked.timed_out) == (anew.ok, anew.status, anew.timed_out)
    if words[0] == "raise":  # the frames below the command are others
        assert forked.text.splitlines()[-1] == anew.text.splitlines()[-1] == "ValueError: nobody catches this"
    elif words[0] == "tell":
        assert json.loads(str(forked.value)) == json.loads(str(anew.value))
        assert forked.text.endswith("and this\n")
    else:
        assert forked.text == anew.text


def test_each_run_has_its_own_environment_and_folder(server: ForkServer, short_tmp: Path) -> None:
    for name in ("one", "two"):
        (short_tmp / name).mkdir()
        command = (*server.command, "tell")
        outcome = run_client(
            command, short_tmp / name, timeout=30.0, env={"SPECIAL": name}, cwd=short_tmp / name, launcher=server
        )
        told = json.loads(str(outcome.value))
        assert (told["environment"]["SPECIAL"], told["cwd"]) == (name, str(short_tmp / name))
        assert told["environment"][TOKEN] == str(short_tmp / name)
    assert server.pid is not None
    assert TOKEN not in psutil.Process(server.pid).environ(), "it would count as a user of the first home"


@pytest.mark.parametrize("change", ["environment", "limit", "umask"])
def test_what_a_program_takes_in_at_its_start_has_it_started_anew(
    server: ForkServer, short_tmp: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(server, short_tmp / "h", "tell")
    before = circumstances(os.environ)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    mask = os.umask(0o022)
    try:
        if change == "environment":
            monkeypatch.setenv("PYTHONHASHSEED", "7")
        elif change == "limit":
            resource.setrlimit(resource.RLIMIT_CORE, (4096 if soft != 4096 else 0, hard))
        os.umask(0o027 if change == "umask" else mask)
        assert circumstances(os.environ) != before
        with (short_tmp / "out").open("wb") as out:
            assert server.start((*server.command, "tell"), os.environ, None, out.fileno(), out.fileno()) is None
        assert run(server, short_tmp / "h", "tell").ok, "it is started anew"
    finally:
        os.umask(mask)
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def test_another_command_is_started_anew(server: ForkServer, short_tmp: Path) -> None:
    assert run_client((sys.executable, "-c", "print(1)"), short_tmp / "h", timeout=30.0, launcher=server).text == "1\n"
    assert server.pid is None


def test_a_program_that_cannot_be_imported_is_started_anew_and_says_so_itself(
    server: ForkServer, short_tmp: Path
) -> None:
    (short_tmp / "program.py").write_text("import no_such_module")
    for _ in range(2):
        outcome = run(server, short_tmp / "h", "tell")
        assert not outcome.ok
        assert "No module named 'no_such_module'" in outcome.text
        assert server.pid is None
    assert not LAUNCHERS or server not in LAUNCHERS.values()


def test_a_run_that_takes_too_long_is_ended_and_the_server_goes_on(server: ForkServer, short_tmp: Path) -> None:
    outcome = run(server, short_tmp / "h", "sleep", timeout=0.2)
    assert outcome.timed_out
    assert server.pid is not None
    assert psutil.Process(server.pid).children() == []
    assert run(server, short_tmp / "h", "tell").ok


def test_a_run_is_known_as_a_client_before_it_begins(server: ForkServer, short_tmp: Path) -> None:
    clock = Clock()
    with ThreadPoolExecutor(1) as threads:
        outcome = threads.submit(run, server, short_tmp / "h", "sleep", timeout=30.0)
        assert clock.wait_until(lambda: bool(FORKED), 30.0)
        [(pid, client)] = FORKED.items()
        assert client.home == short_tmp / "h"
        assert client.command.endswith("program sleep")
        assert is_client(pid, 1)
        assert is_client(-1, psutil.Process(pid).ppid())
        os.kill(pid, signal.SIGKILL)
        assert outcome.result().status == -signal.SIGKILL
    assert not FORKED
    assert not RUNNING


def test_many_runs_at_once(server: ForkServer, short_tmp: Path) -> None:
    with ThreadPoolExecutor(12) as threads:
        outcomes = list(
            threads.map(lambda number: run(server, short_tmp / f"h{number}", "exit", str(number)), range(40))
        )
    assert [outcome.status for outcome in outcomes] == list(range(40))


def test_a_server_that_is_ended_during_a_run_is_the_harness_s_failure(server: ForkServer, short_tmp: Path) -> None:
    clock = Clock()
    with ThreadPoolExecutor(1) as threads:
        outcome = threads.submit(run, server, short_tmp / "h", "sleep", timeout=30.0)
        assert clock.wait_until(lambda: bool(FORKED), 30.0)
        [pid] = FORKED
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(HarnessBrokenError, match="ended from outside"):
            outcome.result()
    os.kill(pid, signal.SIGKILL)
    assert run(server, short_tmp / "h", "tell").ok, "it is started anew"
    assert server.pid is None


def test_the_server_ends_with_the_process_that_started_it(short_tmp: Path) -> None:
    (short_tmp / "program.py").write_text(PROGRAM)
    script = (
        "import os, signal, pathlib; from pytest_ocap.clients import run_client; "
        "from pytest_ocap.drivers.fork_server import ForkServer; server = ForkServer('program', 'command', ()); "
        "run_client((*server.command, 'exit', '0'), pathlib.Path('h').absolute(), timeout=30.0, launcher=server); "
        "print(server.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    place = str(Path(kernel.__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join((str(short_tmp), place))
    killed = subprocess.run(
        (sys.executable, "-c", script), cwd=short_tmp, env=environment, capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    pid = int(killed.stdout)
    assert Clock().wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", 30.0)


def test_the_kernel_s_commands_import_nothing_more(short_tmp: Path) -> None:
    commands = [("daemon", "start"), ("daemon", "status"), ("daemon", "stop")]
    script = (
        "import importlib, json, sys\n"
        f"for name in {('kernel.cli', *kernel.IMPORTS)!r}: importlib.import_module(name)\n"
        "before = set(sys.modules)\n"
        "from kernel.cli import main\n"
        f"for words in {commands!r}: assert main(['--home', {str(short_tmp / 'h')!r}, *words]) == 0\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    ran = subprocess.run((sys.executable, "-c", script), capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == []
