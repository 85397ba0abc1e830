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

SWITCHES = 1000.0
"""How often in a second a process that is busy gives up its core: it waits for each of its calls to be looked at."""


class Effort(NamedTuple):
    """What a process has taken so far: seconds of a core, and how often it gave it up."""

    seconds: float
    switches: float

    def is_busy(self, before: Effort, span: float) -> bool:
        """Say whether a process was busy all the time between two looks, so many seconds apart."""
        return self.seconds - before.seconds >= SHARE * span or self.switches - before.switches >= SWITCHES * span


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
    return Effort(times.user + times.system, switches.voluntary + switches.involuntary)
