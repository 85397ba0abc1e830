"""A process that stands still is told from one that gets the processor in slices."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from watching import eventually

from kernel.daemon.process import state_of, switches_of
from kernel.daemon.watch import STOPPED_PATIENCE, Standstill, stands_still

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the state of a process")


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pid() -> Iterator[int]:
    """Give a process that does nothing."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state_of(pid) == "T")


def go_on(pid: int) -> None:
    before = switches_of(pid)
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: state_of(pid) == "S" and switches_of(pid) != before)


def test_a_process_that_stays_stopped_stands_still(pid: int) -> None:
    clock = Clock()
    standstill = Standstill(clock)
    assert not standstill.look(pid)
    stop(pid)
    assert not standstill.look(pid)
    clock.now += STOPPED_PATIENCE
    assert standstill.look(pid)
    assert stands_still(pid)
    go_on(pid)
    assert not standstill.look(pid)
    assert not stands_still(pid)


def test_a_process_that_is_stopped_whenever_it_is_looked_at_and_runs_between_does_not(pid: int) -> None:
    clock = Clock()
    standstill = Standstill(clock)
    for _ in range(10):
        stop(pid)
        assert not standstill.look(pid)
        clock.now += STOPPED_PATIENCE
        go_on(pid)
