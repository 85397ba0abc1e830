"""Cases: one fault at one point of a workload, and what it takes to make it happen.

Invariant: a case's id names the same thing in every process and on every day: nothing in it depends on pids, times or
the order of a collection.  Knows neither pytest nor by what means faults are injected.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pytest_ocap.driver import PLAIN
from pytest_ocap.report.sweeps import sweep_of

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Outcome, Setting
    from pytest_ocap.sweeps.workloads import Workload

TOGETHER = "&"
"""Stands between the names of cases that are one: several faults in one run."""


@dataclass(frozen=True)
class Case:
    """One fault at one point.

    Attributes:
        workload: The workload's name.
        point: The point's name, stable from build to build; it begins with the workload's.
        fault: The fault's name.
        sweep: Of which kind the fault is, one of :data:`~pytest_ocap.sweeps.kinds.KINDS`.
        kind: What the call at the point does, or what else the point is.
        path: To what, in the home.
        at: When it was reached while the workload was recorded, in seconds since its beginning.
        client: Whether the fault strikes the client of the start itself, which then cannot say anything.
        harmless: Whether the call has not failed: it was interrupted, did a part of its work, or took its time.
        lasting: Whether the fault goes on after it has struck, until the daemon has ended.
        deaf: Whether the daemon cannot take connections while the fault lasts, so that clients have to give up.
        asked: Whether it is tried only when its point is asked for by name.
        besides: The names of further cases whose faults strike in the same run.
    """

    workload: str
    point: str
    fault: str
    sweep: str
    kind: str = ""
    path: str = ""
    at: float | None = None
    client: bool = False
    harmless: bool = False
    lasting: bool = False
    deaf: bool = False
    asked: bool = False
    besides: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The case's name."""
        return TOGETHER.join((f"{self.point}={self.fault}", *self.besides))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of all the faults that strike in its run, each once, in their order."""
        return tuple(dict.fromkeys((self.sweep, *(sweep_of(name.partition("=")[2]) for name in self.besides))))

    @property
    def sort(self) -> tuple[str, ...]:
        """What cases have in common that are alike: the fault, and a call that does the same to the same path.

        A power cut leaves one of many states: its fault is what was lost, whatever the state.
        """
        loss, _, _ = self.fault.rpartition("~")
        return self.workload, loss or self.fault, self.kind, self.path

    @property
    def dealt_by(self) -> str:
        """What says to which shard it belongs: its point; of a power cut, which has many states, its own name."""
        return self.id if self.sweep == "powerloss" else self.point


def together(cases: Sequence[Case]) -> Case:
    """Make one case of several: the faults of all of them, in one run."""
    first, *others = cases
    return replace(
        first,
        client=any(case.client for case in cases),
        harmless=all(case.harmless for case in cases),
        lasting=any(case.lasting for case in cases),
        deaf=any(case.deaf for case in cases),
        besides=tuple(case.id for case in others),
    )


class Armed(Protocol):
    """A fault on its way into one run of a workload."""

    def start(self, driver: KernelDriver, home: Path, *, timeout: float, setting: Setting = PLAIN) -> Outcome:
        """Start the daemon with the fault on its way; a second start has what then is still on its way."""
        ...

    def fired(self) -> str | None:
        """Give the evidence that the fault struck, each of them where there are several, or None: it did not."""
        ...

    def struck(self) -> Sequence[Case]:
        """Give a case for each call that the fault struck: the same, but only there, and once."""
        ...

    def stopped(self) -> Sequence[int]:
        """Give the pids of the processes that a hang has stopped."""
        ...

    def running(self) -> Sequence[int]:
        """Give the pids of the run's processes that still live, as far as they are known otherwise than by the home."""
        ...

    def around(self) -> Sequence[str]:
        """Give what is known of the calls before and after the one at which it struck, a line each."""
        ...


class Injector(Protocol):
    """Finds a workload's points, and injects faults at them by one means."""

    @property
    def name(self) -> str:
        """The name, for reports."""
        ...

    @property
    def points_are(self) -> str:
        """What its points are, in words, for the bound that a report states."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What could not be done or followed, in words."""
        ...

    def cases(
        self, driver: KernelDriver, workload: Workload, home: Path, run: Callable[[Armed], None]
    ) -> Iterable[Case]:
        """Give every case of a workload.

        Args:
            driver: The daemon.
            workload: The workload.
            home: The home in which it can be run once.
            run: Runs it there, with the daemon started as given.
        """
        ...

    def close(self) -> None:
        """End whatever it has started for itself."""
        ...

    def armed(self, driver: KernelDriver, home: Path, case: Case) -> contextlib.AbstractContextManager[Armed]:
        """Arm a case; what is left of it is ended at the end of the context."""
        ...


def shard_of(name: str, shards: int) -> int:
    """Say to which of so many shards a name belongs."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % shards
