"""Processes that are never idle: a fault that lasts is no work to be done.

Invariant: a process spins only when it was busy in each of several spans of time that follow each other,
so that one that starts, ends or does something in between is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_ocap import processes
from pytest_ocap.clock import Clock

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

SPANS = 4
SPAN_SECONDS = 0.2
SHARE = 0.2
"""The part of a core from which on a process is busy, also where others want it."""

WANTED = 0.9
"""The part of the time from which on a process that wants a core is never idle, whether or not it gets one."""

SWITCHES = 1000.0
"""How often in a second a process that is busy gives up its core: it waits for each of its calls to be looked at."""


class Effort(NamedTuple):
    """What a process has taken so far: seconds of a core, how often it gave it up, and seconds of waiting for one."""

    seconds: float
    switches: float
    waited: float = 0.0

    def is_busy(self, before: Effort, span: float) -> bool:
        """Say whether a process was busy all the time between two looks, so many seconds apart."""
        took, waited = self.seconds - before.seconds, self.waited - before.waited
        return (
            took >= SHARE * span or took + waited >= WANTED * span or self.switches - before.switches >= SWITCHES * span
        )


def spinning(home: Path) -> list[psutil.Process]:
    """Find the processes of a home that spin; takes one span when there is none."""
    clock = Clock()
    suspects = {process: _effort(process) for process in processes.using(home)}
    for _ in range(SPANS):
        if not suspects:
            break
        began = clock.now()
        clock.sleep(SPAN_SECONDS)
        span = clock.now() - began
        now = {process: _effort(process) for process in suspects}
        suspects = {process: effort for process, effort in now.items() if effort.is_busy(suspects[process], span)}
    return list(suspects)


def _effort(process: psutil.Process) -> Effort:
    """Look at a process; one that has gone makes none."""
    import psutil

    try:
        times, switches = process.cpu_times(), process.num_ctx_switches()
    except psutil.Error:
        return Effort(float("-inf"), float("-inf"))
    return Effort(times.user + times.system, switches.voluntary + switches.involuntary, _waited(process.pid))


def _waited(pid: int) -> float:
    """Give how long a process's first thread has waited for a core, in seconds; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:  # Documentation/scheduler/sched-stats.rst of Linux
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
