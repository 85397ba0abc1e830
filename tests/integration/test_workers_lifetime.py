"""Workers and their host: what they inherit from it, and that they never outlive it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from watching import descriptors, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 30.0

# A host program: starts a vat, reports the processes, then waits to be told what to do (or to be killed).
HOST = f"""
import json, os, sys, threading
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "support")!r}]
from workerbench import Bench

def host():
    bench = Bench()
    vat = bench.vat(*sys.argv[2:3])
    bench.until(lambda: vat.worker.pid and (len(sys.argv) > 2 or vat.frames))
    import psutil
    [template] = psutil.Process().children()
    report = {{"template": template.pid, "worker": vat.worker.pid, "frames": vat.frames}}
    with open(sys.argv[1] + ".new", "w") as file:
        json.dump(report, file)
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    return bench
"""

WAIT = """
bench = host()
threading.Event().wait()
"""

FROM_A_THREAD = """
made = []
thread = threading.Thread(target=lambda: made.append(host()))
thread.start()
thread.join()
vat = made[0].vat()
assert vat.call("echo", 5) == 5
made[0].close()
"""


class Host:
    """A running host program and the processes that it reported."""

    def __init__(self, process: subprocess.Popen[bytes], report: Path) -> None:
        self.process = process
        eventually(lambda: report.exists() or process.poll() is not None)
        assert report.exists(), process.communicate()
        self.report: dict[str, Any] = json.loads(report.read_text())
        self.template = psutil.Process(self.report["template"])
        self.worker = psutil.Process(self.report["worker"])


@pytest.fixture
def start(short_tmp: Path) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []
    processes: list[subprocess.Popen[bytes]] = []

    def start(program: str, *args: str, **options: Any) -> Host:
        report = short_tmp / f"report{len(hosts)}"
        command = [sys.executable, "-c", HOST + program, str(report), *args]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, **{"cwd": "/", **options}))
        hosts.append(Host(processes[-1], report))
        return hosts[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()
    eventually(lambda: all(is_gone(host.worker) and is_gone(host.template) for host in hosts))


def is_gone(process: psutil.Process) -> bool:
    """Say whether a process has ended; one whose parent is gone too may wait to be reaped by the system."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_nothing_outlives_a_host_that_is_killed(start: Callable[..., Host]) -> None:
    host = start(WAIT)
    host.process.kill()
    eventually(lambda: is_gone(host.template) and is_gone(host.worker))


def test_nothing_outlives_a_host_that_is_killed_while_a_vat_loops_for_ever(start: Callable[..., Host]) -> None:
    host = start(WAIT, "while True: pass")
    host.process.kill()
    eventually(lambda: is_gone(host.template) and is_gone(host.worker))


def test_nothing_outlives_a_killed_host_even_when_the_template_is_stopped(start: Callable[..., Host]) -> None:
    host = start(WAIT)
    host.template.suspend()
    host.process.kill()
    eventually(lambda: is_gone(host.template) and is_gone(host.worker))


def test_a_host_that_ends_by_an_exception_leaves_nothing(start: Callable[..., Host]) -> None:
    host = start("bench = host(); raise RuntimeError")
    assert host.process.wait(DEADLINE_SECONDS) == 1
    eventually(lambda: is_gone(host.template) and is_gone(host.worker))


def test_the_template_outlives_the_thread_that_started_it(start: Callable[..., Host]) -> None:
    host = start(FROM_A_THREAD)
    assert host.process.communicate(timeout=DEADLINE_SECONDS)[1] == b""
    assert host.process.returncode == 0


def test_a_host_without_standard_descriptors_starts_workers_all_the_same(start: Callable[..., Host]) -> None:
    closed = "os.closerange(0, 3)\n" + WAIT
    host = start(closed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert host.report["frames"] == [["started", {}]]


def test_interrupting_the_terminal_does_not_reach_the_workers(start: Callable[..., Host]) -> None:
    host = start(WAIT, start_new_session=True)
    assert os.getpgid(host.template.pid) == os.getpgid(host.worker.pid) != host.process.pid
    for process in (host.template, host.worker):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
    assert not is_gone(host.template)
    assert not is_gone(host.worker)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_worker_has_its_socket_and_the_null_device_and_no_other_descriptor(
    start: Callable[..., Host], short_tmp: Path
) -> None:
    inherited = os.open(short_tmp / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(inherited, True)
    try:
        host = start(WAIT, close_fds=False)
    finally:
        os.close(inherited)
    assert descriptors(host.process.pid)[inherited] == str(short_tmp / "lock")
    for process in (host.template, host.worker):
        assert str(short_tmp / "lock") not in descriptors(process.pid).values()
    worker = descriptors(host.worker.pid)
    assert [worker.pop(fd) for fd in (0, 1, 2)] == ["/dev/null"] * 3
    assert worker.pop(3).startswith("socket:")
    assert worker == {}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_worker_sees_nothing_of_the_environment(start: Callable[..., Host]) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": "/secret", "TOKEN": "secret", "PYTHONHASHSEED": "7"}
    host = start(WAIT, env=environment)
    for process in (host.template, host.worker):
        assert Path(f"/proc/{process.pid}/environ").read_bytes().rstrip(b"\0").split(b"\0") == [b"PYTHONHASHSEED=7"]
        assert process.cwd() == "/"


def test_the_code_is_found_from_any_directory(start: Callable[..., Host], short_tmp: Path) -> None:
    for name in ("kernel", "json", "typing"):
        (short_tmp / f"{name}.py").write_text("raise RuntimeError('imported from the working directory')")
    host = start(f"os.chdir({str(short_tmp)!r}); " + WAIT)
    assert host.report["frames"] == [["started", {}]]
