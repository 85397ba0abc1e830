"""The means of recording and injecting, as those who use one see it.

Invariant: whoever records or injects goes through these two protocols, so that one means can be put in the other's
place, and compared with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_ocap.sweeps.calls import Recording
    from pytest_ocap.sweeps.injection import Injection, Reached


class MeansError(Exception):
    """A means of recording failed, which says nothing about the daemon."""


class Session(Protocol):
    """One run of a workload that is recorded."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words that stand before each command line of the run (see :class:`pytest_ocap.driver.Setting`)."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until every process of the run has ended; say whether that came about within so many seconds."""
        ...

    def recording(self) -> Recording:
        """Give what has been recorded so far; all of it once every process has ended."""
        ...

    def reached(self) -> Reached:
        """Say which faults have fired so far, and why others have not."""
        ...

    def running(self) -> Sequence[int]:
        """Give the pids of the run's processes that still live, as far as they are known."""
        ...

    def stopped(self) -> Sequence[int]:
        """Give the pids of the run's processes that stand still, since a signal has stopped them."""
        ...


class Means(Protocol):
    """A way to record and to inject."""

    name: str

    def missing(self) -> str | None:
        """Say what this machine lacks and what to install or allow; None when the means works here."""
        ...

    def cannot(self, injection: Injection) -> str | None:
        """Say why a fault cannot be made to happen in a workload that was recorded without faults; None: it can."""
        ...

    def close(self) -> None:
        """End what it has started for itself."""
        ...

    def record(
        self, home: Path, workload: str, injections: Sequence[Injection] = ()
    ) -> AbstractContextManager[Session]:
        """Record a run of a workload on a home.  What still runs at the end is killed.

        Args:
            home: The home, which exists.
            workload: The workload's name, for the names of points.
            injections: The faults to inject.
        """
        ...
