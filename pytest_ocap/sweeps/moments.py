"""The means that every driver with phases has: a start is killed or stopped when it begins a phase.

It is used where no system call can be intercepted, and reports name it.  Its points are few (one for each phase), and a
fault that comes between two phases is not among them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_ocap.driver import PLAIN
from pytest_ocap.faults.starts import InterruptedStart
from pytest_ocap.sweeps.cases import Case
from pytest_ocap.verdict import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Outcome, Setting
    from pytest_ocap.sweeps.cases import Armed
    from pytest_ocap.sweeps.workloads import Workload

FAULTS = ("kill", "hang")


class Unharmed:
    """No fault at all: the run from which it is learnt what is normal."""

    def start(self, driver: KernelDriver, home: Path, *, timeout: float, setting: Setting = PLAIN) -> Outcome:
        """Start the daemon."""
        return driver.start(home, timeout=timeout, setting=setting)

    def fired(self) -> str | None:
        """Nothing strikes."""
        return None

    def struck(self) -> Sequence[Case]:
        """Nothing is struck."""
        return ()

    def stopped(self) -> Sequence[int]:
        """Nothing is stopped."""
        return ()

    def running(self) -> Sequence[int]:
        """Nothing is known of them."""
        return ()

    def around(self) -> Sequence[str]:
        """Nothing is known."""
        return ()


class AtPhase:
    """A start that is interrupted when it begins a phase."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._start: InterruptedStart | None = None

    def start(self, driver: KernelDriver, home: Path, *, timeout: float, setting: Setting = PLAIN) -> Outcome:
        """Start the daemon, and have the first of its starts interrupted."""
        if self._start is not None:
            return driver.start(home, timeout=timeout, setting=setting)
        phase = self._case.point.rpartition(":")[2]
        self._start = InterruptedStart(
            driver, home, how=self._case.fault, phase=phase, patience=timeout, setting=setting
        )
        self._start.arrange()
        return self._start.client()

    def fired(self) -> str | None:
        """Say which process stands still, or was there and has vanished."""
        return None if self._start is None else self._start.fired()

    def struck(self) -> Sequence[Case]:
        """Say that it was struck there and nowhere else."""
        return (self._case,)

    def stopped(self) -> Sequence[int]:
        """Give the process that stands still."""
        hung = None if self._start is None else self._start.hung
        return () if hung is None else (hung.pid,)

    def running(self) -> Sequence[int]:
        """Nothing is known of them."""
        return ()

    def around(self) -> Sequence[str]:
        """Say what the point is; of calls nothing is known."""
        return (f"{self._case.fault} at the beginning of {self._case.point}",)

    def close(self) -> None:
        """End what is left of the start."""
        if self._start is not None:
            self._start.undo()


class Moments:
    """The driver's phases as points."""

    name = "phases"
    points_are = "the phases of a start that the driver names (no system call is intercepted)"

    def __init__(self, notes: tuple[str, ...] = ()) -> None:
        self.notes = notes

    def close(self) -> None:
        """There is nothing to end."""

    def cases(
        self, driver: KernelDriver, workload: Workload, home: Path, run: Callable[[Armed], None]
    ) -> Iterator[Case]:
        """Give a case for each phase, killed and stopped; a daemon in the foreground is its start's client."""
        foreground = bool(getattr(driver, "foreground", False))
        for phase in driver.phases:
            for fault in FAULTS:
                point, client = f"{workload.name}:phase:{phase}", foreground and fault == "kill"
                yield Case(workload.name, point, fault, fault, kind="phase", path=phase, client=client)

    @contextlib.contextmanager
    def armed(self, driver: KernelDriver, home: Path, case: Case) -> Iterator[Armed]:
        """Give a start that is interrupted as the case says.

        Raises:
            UnsupportedError: It has several faults.
        """
        if case.besides:
            raise UnsupportedError(f"{case.id}: by the means 'phases' there is one fault in a run")
        armed = AtPhase(case)
        try:
            yield armed
        finally:
            armed.close()
