"""The journal of one run: what the harness itself did, and when.

Invariant: notes are made around what they are about and cost a clock reading each; several threads may make them.
Nothing is looked at here: what the daemon did is read afterwards, or seen by the :mod:`~pytest_ocap.observer`.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_ocap.clock import Clock
from pytest_ocap.driver import Capability, has
from pytest_ocap.logs import LogMark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Any

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.evidence import Event


@dataclass
class Call:
    """One verb: when it began, and once it is over, what came of it (an outcome, a text, or an exception)."""

    verb: str
    asked: str
    began: float
    ended: float | None = None
    result: Any = None

    @property
    def ok(self) -> bool | None:
        """Whether it worked; ``None`` while it has not ended."""
        return (
            None if self.ended is None else bool(getattr(self.result, "ok", not isinstance(self.result, BaseException)))
        )

    @property
    def text(self) -> str:
        """All that came of it, in words."""
        return "" if self.result is None else str(getattr(self.result, "text", self.result))


def bouts(calls: Iterable[Call]) -> list[list[Call]]:
    """Put together what was asked several times in a row with the same answer, as when a daemon is waited for."""
    alike = itertools.groupby(calls, lambda call: (call.verb, call.asked, call.ok, call.text))
    return [list(bout) for _, bout in alike]


@dataclass
class Log:
    """A log that the run's daemons write: its content before the run, and its size at some moments of the run."""

    mark: LogMark
    sizes: list[tuple[float, int]] = field(default_factory=list)

    def note_size(self, at: float) -> None:
        """Remember how long the log is now: lines that say no time were written before the first size beyond them."""
        if self.mark.path is None:
            return
        try:
            self.sizes.append((at, os.stat(self.mark.path).st_size))
        except OSError:
            return  # there is no log (yet), or something else stands in its place: that is what is being tested


class Journal:
    """What happened in one run, on the harness's side.

    Args:
        driver: The daemon under test, for where its log lies.
        home: The home with which the run begins; more are noted as verbs are asked for.
        clock: Times are seconds of this clock since now.

    Attributes:
        calls: The verbs, in the order of their beginnings.
        events: What else was noted.
        ends: When a daemon ended, as far as that was seen.
        logs: The log of each home.
        look: Has whoever observes the run look at its processes now.
    """

    def __init__(self, driver: KernelDriver, home: Path, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.home = home
        self.calls: list[Call] = []
        self.events: list[Event] = []
        self.ends: list[float] = []
        self.logs: dict[Path, Log] = {}
        self.look: Callable[[], None] = lambda: None
        self.driver = driver
        self._logged = has(driver, Capability.LOG)
        self.began = self.clock.now()
        self.wall = time.clock_gettime(time.CLOCK_REALTIME)
        self.meet(home)

    def now(self) -> float:
        """Give the seconds since the run began."""
        return self.clock.now() - self.began

    def meet(self, home: Path) -> None:
        """Take in that a home is used, and how long its log is now."""
        if home not in self.logs:
            self.logs[home] = Log(LogMark(self.driver.log(home) if self._logged else None))

    def begin(self, verb: str, asked: str) -> Call:
        """Note that a verb is asked for."""
        call = Call(verb, asked, self.now())
        self.calls.append(call)
        return call

    def end(self, call: Call, result: object) -> None:
        """Note what came of it."""
        call.result = result
        call.ended = self.now()
        for log in self.logs.values():
            log.note_size(call.ended)
        self.look()

    def note(self, event: Event) -> None:
        """Note anything else."""
        self.events.append(event)
