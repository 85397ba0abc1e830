"""The harness ends what uses a home, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_ocap import processes, users
from pytest_ocap.clients import run_client, wait
from pytest_ocap.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SLEEP = (sys.executable, "-S", "-c", "import time; time.sleep(600)")

Begin = "Callable[..., subprocess.Popen[bytes]]"


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Give a function that starts a process, which is ended at the end."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **more: object) -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen(words, **more))  # type: ignore[call-overload]  # what Popen takes, it takes
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


@pytest.fixture(params=[True, False], ids=["proc", "psutil"])
def looked_up(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes looked up in either way."""
    if request.param and not users.has_proc():
        pytest.skip("there is no /proc here")
    monkeypatch.setattr(users, "has_proc", lambda: request.param)


@pytest.mark.usefixtures("looked_up")
def test_a_process_is_found_by_token_command_line_directory_and_open_file(
    short_tmp: Path, begin: Callable[..., subprocess.Popen[bytes]]
) -> None:
    home = short_tmp / "h"
    home.mkdir()
    with (home / "file").open("w") as file:
        found = {
            begin(*SLEEP, env={processes.TOKEN: str(home)}).pid,
            begin(*SLEEP, f"--home={home}").pid,
            begin(*SLEEP, cwd=home).pid,
            begin(*SLEEP, stdout=file).pid,
        }
    others = {
        begin(*SLEEP).pid,
        begin(*SLEEP, f"--home={home}2").pid,
        begin(*SLEEP, env={processes.TOKEN: f"{home}2"}).pid,
    }
    assert Clock().wait_until(lambda: {user.pid for user in processes.using(home)} == found, 10.0)
    assert len(processes.end(home)) == 4
    assert processes.using(home) == []
    assert all(psutil.pid_exists(pid) for pid in others)


@pytest.mark.usefixtures("looked_up")
def test_a_descendant_that_lost_every_mark_is_found_by_its_parent(short_tmp: Path) -> None:
    home = short_tmp / "h"
    program = "import os, time\nif os.fork() == 0: os.execve('/bin/sleep', ['sleep', '600'], {})\ntime.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", program, f"--home={home}"], cwd="/")
    assert Clock().wait_until(lambda: len(processes.using(home)) == 2, 10.0)
    assert len(processes.end(home)) == 2
    parent.wait()


@pytest.mark.usefixtures("looked_up")
def test_stopped_processes_die_too_and_older_ones_never(
    short_tmp: Path, begin: Callable[..., subprocess.Popen[bytes]]
) -> None:
    import signal

    home = short_tmp / "h"
    process = begin(*SLEEP, f"--home={home}")
    os.kill(process.pid, signal.SIGSTOP)
    later = psutil.Process(process.pid).create_time() + 1
    assert processes.end(home, since=later) == []
    assert len(processes.end(home)) == 1


@pytest.mark.skipif(not users.has_proc(), reason="there is no /proc here")
def test_both_ways_to_look_processes_up_see_the_same(
    short_tmp: Path, begin: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = short_tmp / "h"
    sleepers = {begin(*SLEEP, env={processes.TOKEN: str(home)}).pid, begin(*SLEEP).pid, os.getpid()}
    assert Clock().wait_until(lambda: len(processes.using(home)) == 1, 10.0)

    seen = [users.look(pid) for pid in sorted(sleepers)]
    monkeypatch.setattr(users, "has_proc", lambda: False)

    assert seen == [users.look(pid) for pid in sorted(sleepers)]
    assert users.look(2**22 + 1) is None


def test_a_client_that_leaves_a_daemon_with_its_output_is_not_waited_for(short_tmp: Path) -> None:
    home = short_tmp / "h"
    program = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print('ready')"
    outcome = run_client([sys.executable, "-c", program], home, timeout=30.0)
    assert (outcome.ok, outcome.text, outcome.status) == (True, "ready\n", 0)
    assert len(processes.end(home)) == 1


def test_a_client_that_takes_too_long_is_ended_and_says_so(short_tmp: Path) -> None:
    outcome = run_client([*SLEEP], short_tmp / "h", timeout=0.2)
    assert (outcome.ok, outcome.timed_out, outcome.status) == (False, True, None)
    assert 0.2 <= outcome.seconds < 10.0


def test_a_client_that_does_not_exist_is_an_outcome(short_tmp: Path) -> None:
    outcome = run_client(["no-such-program"], short_tmp / "h", timeout=1.0)
    assert not outcome.ok
    assert "cannot run 'no-such-program'" in outcome.text


@pytest.mark.skipif(sys.platform != "linux", reason="ptrace of Linux")
def test_a_client_that_a_tracer_has_not_let_go_yet_is_waited_for(
    begin: Callable[..., subprocess.Popen[bytes]],
) -> None:
    traced = (
        "import ctypes, sys, time\n"
        "ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), None, None)\n"  # PTRACE_SEIZE
        "print(flush=True)\n"
        "sys.stdin.readline()\n"  # by now the client has ended, and only its tracer knows
        "time.sleep(0.3)\n"
    )
    client = begin(sys.executable, "-S", "-c", "input()", stdin=subprocess.PIPE)
    tracer = begin(sys.executable, "-S", "-c", traced, str(client.pid), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdin is not None
    assert tracer.stdin is not None
    assert tracer.stdout is not None
    with client.stdin, tracer.stdin, tracer.stdout:
        tracer.stdout.readline()
        client.stdin.write(b"\n")
        client.stdin.flush()
        Clock().wait_until(lambda: psutil.Process(client.pid).status() == psutil.STATUS_ZOMBIE, 10.0)
        assert client.poll() is None
        tracer.stdin.write(b"\n")
        tracer.stdin.flush()
        assert wait(client, 10.0, Clock())
    assert client.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the threads of a zombie are told by Linux")
def test_a_process_lives_until_the_last_of_its_threads_has_ended(
    begin: Callable[..., subprocess.Popen[bytes]],
) -> None:
    outlived = (
        "import ctypes, sys, threading\n"
        "threading.Thread(target=sys.stdin.read).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    begun = begin(sys.executable, "-S", "-c", outlived, stdin=subprocess.PIPE)
    process = psutil.Process(begun.pid)
    assert begun.stdin is not None
    with begun.stdin:
        assert Clock().wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, 10.0)
        assert processes.alive(process)
    assert Clock().wait_until(lambda: not processes.alive(process), 10.0)
    assert process.is_running(), "nobody has waited for it yet"
