"""The course of a recorded workload: what its clients asked for and when, and where its points lie.

Invariant: moments are seconds since the workload began, in the recording that they come from.  Recordings of other
processes take other times; whoever puts them together brings them onto one (:mod:`pytest_ocap.report.sweeps`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pytest_ocap.timeline import compose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_ocap.journal import Journal
    from pytest_ocap.sweeps.cases import Case

LANES = ("client", "phase")
"""Of a run's events, those that say what was going on."""

ASIDE = frozenset({"make_bundle"})
"""Verbs that have nothing to do with the daemon."""


@dataclass(frozen=True)
class Step:
    """Something that took its time: what a client asked for, or a phase of the daemon's start, as its log tells it.

    Attributes:
        lane: Which of the two, one of :data:`LANES`.
        what: The verb, or the phase's name.
        at: When it began.
        until: When it ended; None when nobody saw that.
    """

    lane: str
    what: str
    at: float
    until: float | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        """Rebuild what :func:`dataclasses.asdict` gave."""
        return cls(**data)


@dataclass(frozen=True)
class Place:
    """A point, where it lies, and how many cases it has.

    Attributes:
        point: Its name.
        kind: What the call does.
        path: To what, in the home.
        at: When it was reached; None where nobody knows.
        cases: How many.
    """

    point: str
    kind: str
    path: str
    at: float | None
    cases: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Place:
        """Rebuild what :func:`dataclasses.asdict` gave."""
        return cls(**data)


def steps_of(journal: Journal) -> tuple[Step, ...]:
    """Give the steps of a run that is over, in the order of their beginnings."""
    return tuple(
        Step(event.lane, event.what, round(event.at, 4), None if event.until is None else round(event.until, 4))
        for event in compose(journal)
        if event.lane in LANES and event.what not in ASIDE
    )


def places_of(cases: Iterable[Case]) -> tuple[Place, ...]:
    """Give the points of some cases, in the order of their first cases."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.point, []).append(case)
    return tuple(Place(point, of_it[0].kind, of_it[0].path, of_it[0].at, len(of_it)) for point, of_it in found.items())


def as_steps(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Give steps as JSON data."""
    return [asdict(step) for step in steps]
