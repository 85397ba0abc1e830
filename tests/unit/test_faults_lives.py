"""Faults of a daemon's life: each arranges its thing, shows it, and knows when it did not come about."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from little_driver import LittleDriver

from pytest_ocap import processes
from pytest_ocap.clients import run_client
from pytest_ocap.driver import Outcome
from pytest_ocap.faults.daemons import DaemonDeath, KilledStop, OrphanedWorkers, daemon_of
from pytest_ocap.faults.deep_home import DeepHome
from pytest_ocap.faults.slowness import SlowStart
from pytest_ocap.faults.wall_clock import STEP_SECONDS, WallClock
from pytest_ocap.verdict import NotMeasuredError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def driver() -> LittleDriver:
    return LittleDriver()


@pytest.fixture
def home(short_tmp: Path, driver: LittleDriver) -> Iterator[Path]:
    """Give the home of a daemon that runs."""
    home = short_tmp / "h"
    assert driver.start(home, timeout=driver.start_timeout).ok
    yield home
    processes.end(short_tmp)


def test_the_daemon_is_told_by_pid_file_or_socket_or_as_the_only_ancestor(driver: LittleDriver, home: Path) -> None:
    told = [daemon_of(driver, home).pid]
    (home / "pid").write_text("1")
    told.append(daemon_of(driver, home).pid)
    (home / "sock").unlink()
    told.append(daemon_of(driver, home).pid)
    assert len(set(told)) == 1
    assert "little_daemon" in " ".join(psutil.Process(told[0]).cmdline())


def test_of_two_that_may_be_the_daemon_none_is_killed(driver: LittleDriver, home: Path) -> None:
    for name in ("pid", "sock"):
        (home / name).unlink()
    program = f"import subprocess; subprocess.Popen(['sleep', '60'], cwd={os.fspath(home)!r}, start_new_session=True)"
    subprocess.run([sys.executable, "-S", "-c", program], check=True)
    with pytest.raises(NotMeasuredError, match="cannot be told which process is the daemon"):
        DaemonDeath(driver, home).arrange()
    assert len(processes.using(home)) == 2


def test_a_death_is_one_of_the_daemon(driver: LittleDriver, home: Path) -> None:
    fault = DaemonDeath(driver, home, number=signal.SIGSEGV)
    assert fault.fired() is None
    fault.arrange()
    assert fault.daemon is not None
    assert fault.fired() == f"pid {fault.daemon.pid} died of SIGSEGV"
    assert not driver.ping(home, timeout=5.0).ok


def test_a_daemon_without_workers_leaves_no_orphans(driver: LittleDriver, home: Path) -> None:
    fault = OrphanedWorkers(driver, home, workers="running")
    fault.arrange()
    assert fault.fired() is None


@pytest.mark.parametrize("when", ["asked", "closed"])
def test_a_stop_is_struck_in_its_middle(driver: LittleDriver, home: Path, when: str) -> None:
    fault = KilledStop(driver, home, when=when)
    fault.arrange()
    evidence = fault.fired()
    assert evidence is not None
    assert "ms after its stop began" in evidence
    assert fault.client().ok
    assert processes.using(home) == []


def test_a_start_is_slow_and_gets_on(driver: LittleDriver, home: Path) -> None:
    driver.stop(home, timeout=5.0)
    fault = SlowStart(home, lambda: driver.start(home, timeout=20.0), 0.5)
    fault.arrange()
    assert fault.fired() is not None
    assert fault.client().ok
    assert fault.client().seconds > 0.3
    fault.undo()
    assert not any(processes.stopped(process) for process in processes.using(home))


def test_only_the_time_counts_in_which_there_is_somebody_to_slow_down(driver: LittleDriver, home: Path) -> None:
    driver.stop(home, timeout=5.0)

    def start() -> Outcome:
        run_client(("sh", "-c", "sleep 0.05; true"), home, timeout=20.0)  # a helper
        time.sleep(0.4)  # then the client itself is long at it
        return driver.start(home, timeout=20.0)

    fault = SlowStart(home, start, 0.3)
    fault.arrange()
    assert fault.client().ok
    assert fault.pauses >= 4, "those of the daemon, after one or two of the helper"
    fault.undo()


def test_a_start_that_is_over_at_once_is_not_slow(short_tmp: Path) -> None:
    fault = SlowStart(short_tmp / "h", lambda: Outcome(True, "ready", 0.0), 1.0)
    with pytest.raises(UnsupportedError, match="too soon to be slowed down"):
        fault.arrange()
    fault.undo()


@pytest.mark.parametrize("length", [103, 107, 150])
def test_a_home_lies_as_deep_as_is_wanted(driver: LittleDriver, short_tmp: Path, length: int) -> None:
    deep = DeepHome(driver, short_tmp / "h", length)
    assert deep.fired() is None
    deep.arrange()
    assert deep.fired() is not None
    assert len(os.fsencode(driver.socket(deep.home))) == length
    deep.undo()
    assert not deep.home.exists()


def test_no_home_is_less_deep_than_its_base(driver: LittleDriver, short_tmp: Path) -> None:
    with pytest.raises(UnsupportedError, match="more than 10 bytes"):
        DeepHome(driver, short_tmp, 10)


READ = """
import sys, threading, time
for line in sys.stdin:
    began = time.monotonic()
    time.sleep(0.01)
    threading.Event().wait(0.01)
    print(time.time(), time.monotonic(), time.monotonic() - began, flush=True)
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(("direction", "step"), [("back", -STEP_SECONDS), ("forward", STEP_SECONDS)])
def test_the_wall_clock_jumps_under_a_process_that_runs_and_nothing_else_does(
    short_tmp: Path, direction: str, step: int
) -> None:
    clock = WallClock(short_tmp, direction)
    clock.undo()
    clock.arrange()
    assert clock.fired() == f"the wall clock is off by {step} s"
    words = [sys.executable, "-S", "-c", READ]
    environment = {**os.environ, **clock.setting.env}
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def read() -> tuple[float, float, float]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            wall, monotonic, took = map(float, process.stdout.readline().split())
            return wall - time.time(), monotonic - time.monotonic(), took

        for off in (step, 0, step):
            (clock.right if off == 0 else clock.jump)()
            wall, monotonic, took = read()
            assert abs(wall - off) < 60
            assert abs(monotonic) < 60
            assert 0.02 <= took < 60
        assert clock.reaches(psutil.Process(process.pid))
        assert not clock.reaches(psutil.Process())
        process.stdin.close()
    clock.undo()
    assert clock.fired() is None


def test_without_a_compiler_the_clock_cannot_jump(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_ocap.faults import wall_clock

    wall_clock._compiled.cache_clear()
    monkeypatch.setenv("PATH", os.fspath(short_tmp))
    with pytest.raises(UnsupportedError, match="apt-get install gcc"):
        WallClock(short_tmp, "back").arrange()
