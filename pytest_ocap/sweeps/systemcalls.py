"""The injector at system calls: every call by which a daemon touches its home is a point.

Invariant: the points are those of a run in which nothing was injected; one that another run does not come by is *not
reached*.  The daemon is under supervision from the first instruction of its start's client on.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ocap.driver import PLAIN, Setting
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.cases import TOGETHER, Case
from pytest_ocap.sweeps.injection import ERRORS, Fault, How, Injection, faults_at
from pytest_ocap.sweeps.points import POINT_KINDS, all_kinds, points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Outcome
    from pytest_ocap.sweeps.calls import Call
    from pytest_ocap.sweeps.cases import Armed
    from pytest_ocap.sweeps.means import Means, Session
    from pytest_ocap.sweeps.points import Point
    from pytest_ocap.sweeps.workloads import Workload

BEFORE, AFTER = 30, 10
"""How many calls before and after that at which a fault struck an account shows."""

SETTLE_SECONDS = 5.0
"""How long what a workload's clients have stopped may take to be gone."""

_SWEEPS = {
    How.KILL: "kill",
    How.KILL_AFTER: "kill",
    How.HANG: "hang",
    How.ERRNO: "errno",
    How.SHORT: "errno",
    How.SLOW: "slow",
}


class Supervised:
    """One run under supervision."""

    def __init__(self, session: Session, workload: str) -> None:
        self._session = session
        self._workload = workload

    def start(self, driver: KernelDriver, home: Path, *, timeout: float, setting: Setting = PLAIN) -> Outcome:
        """Start the daemon under supervision."""
        return driver.start(home, timeout=timeout, setting=Setting(prefix=self._session.prefix) | setting)

    def fired(self) -> str | None:
        """Say which call each fault has struck; None unless all of them have struck."""
        reached = self._session.reached()
        if reached.missed:
            return None
        return (
            ", and ".join(
                f"{one.injection.fault} struck {one.name} (call {one.call}) of process {one.process}"
                for one in reached.fired
            )
            or None
        )

    def struck(self) -> Sequence[Case]:
        """Give a case for each call that was struck."""
        return [
            _case(point, call, replace(Fault.parse(call.injected), persistent=False))
            for point, call in points(self._session.recording(), self._workload, all_kinds())
            if call.injected is not None
        ]

    def stopped(self) -> Sequence[int]:
        """Give the processes that stand still."""
        return self._session.stopped()

    def running(self) -> Sequence[int]:
        """Give the processes that still live."""
        return self._session.running()

    def around(self) -> Sequence[str]:
        """Give the calls around the one that was struck."""
        fired = self._session.reached().fired
        calls = self._session.recording().calls
        number = fired[0].call if fired else len(calls)
        return [
            ("> " if call.number == number else "  ") + describe(call)
            for call in calls
            if -BEFORE <= call.number - number <= AFTER
        ]


class SystemCalls:
    """Faults at system calls, by a means of recording and injecting."""

    points_are = "the system calls by which the daemon and its client touch the home"

    def __init__(self, means: Means) -> None:
        self.name = means.name
        self.notes: tuple[str, ...] = ()
        self._means = means

    def close(self) -> None:
        """End what the means has started."""
        self._means.close()

    def cases(
        self, driver: KernelDriver, workload: Workload, home: Path, run: Callable[[Armed], None]
    ) -> Iterator[Case]:
        """Record the workload, and give every fault that each of its calls can suffer."""
        with self._means.record(home, workload.name) as session:
            run(Supervised(session, workload.name))
            session.wait(SETTLE_SECONDS)
            recording = session.recording()
        left: Counter[str] = Counter()
        for point, call in points(recording, workload.name, all_kinds()):
            for fault in faults_at(call):
                reason = self._means.cannot(Injection(point, fault))
                left.update([reason] if reason is not None else [])
                if reason is None:
                    yield _case(point, call, fault)
        self.notes = (*recording.notes, *(f"{number} faults are no cases: {why}" for why, number in left.items()))

    @contextlib.contextmanager
    def armed(self, driver: KernelDriver, home: Path, case: Case) -> Iterator[Armed]:
        """Supervise a run, with the case's fault on its way."""
        injections = [Injection.parse(name) for name in case.id.split(TOGETHER)]
        with self._means.record(home, case.workload, injections) as session:
            yield Supervised(session, case.workload)


def _case(point: Point, call: Call, fault: Fault) -> Case:
    return Case(
        point.workload,
        str(point),
        str(fault),
        _SWEEPS[fault.how],
        kind=str(point.kind),
        path=point.path,
        at=round(call.began, 4),
        client=call.process.isdecimal(),  # the first process of a tree is the client of a start
        lasting=fault.persistent,
        harmless=fault.is_none_at(call.kind),
        deaf=fault.persistent and fault.error is not None and Kind.ACCEPT in ERRORS[fault.error],
        asked=call.kind not in POINT_KINDS,
    )


def describe(call: Call) -> str:
    """Say in a line what a call did."""
    places = {name: getattr(call, name) for name in ("path", "target")}
    about = [f"{name}={place or '.'!r}" for name, place in places.items() if place is not None]
    about += [f"{name}={value!r}" for name in ("text", "operation") if (value := getattr(call, name))]
    about += [f"{name}={value}" for name in ("offset", "size") if (value := getattr(call, name)) is not None]
    if call.data is not None:
        about.append(f"{len(call.data)} bytes")
    result = "no result" if call.result is None else _result(call.result)
    injected = f"  [injected: {call.injected}]" if call.injected else ""
    return f"{call.began:9.4f} {call.process:<8} {call.name}({', '.join(about)}) = {result}{injected}"


def _result(result: int) -> str:
    return f"-1 ({os.strerror(-result)})" if result < 0 else str(result)
