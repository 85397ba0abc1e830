"""Verdicts: what a scenario found, as data.

Invariant: a verdict is ``passed`` only when every check that the scenario promised was made and held.  A check that
was not reached, or a fault that did not fire, is ``not-measured``, never a pass.  Knows nothing of drivers, faults or
pytest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ocap.evidence import Event, Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


NOT_REACHED = "not reached"
"""The detail of a check that was promised and not made, because something before it ended the scenario."""

WORKS_UNHARMED = "the daemon does what it is asked for as long as nothing is wrong with its home"
"""What the check ``baseline`` requires, by which a scenario says that it has nothing to stand on."""


class Finding(enum.StrEnum):
    """What can be said of a check, and of a scenario."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_MEASURED = "not-measured"
    HARNESS_BROKEN = "harness-broken"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Check:
    """One named check: what was found, the words that explain it, and what was to be seen when it did not pass."""

    id: str
    verdict: Finding
    detail: str
    evidence: Evidence | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the check as JSON data."""
        evidence = None if self.evidence is None else self.evidence.to_json()
        return {"id": self.id, "verdict": str(self.verdict), "detail": self.detail, "evidence": evidence}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Check:
        """Rebuild what :meth:`to_json` gave."""
        evidence = None if data["evidence"] is None else Evidence.from_json(data["evidence"])
        return cls(data["id"], Finding(data["verdict"]), data["detail"], evidence)


@dataclass(frozen=True)
class Declared:
    """What a project's expectations say of a scenario.

    ``checks`` are those declared not to pass, each with its reason; ``mended`` those of them that passed after all, or
    that are not made any more.
    """

    checks: Mapping[str, str]
    mended: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return {"checks": dict(self.checks), "mended": list(self.mended)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Declared:
        """Rebuild what :meth:`to_json` gave."""
        return cls(dict(data["checks"]), tuple(data["mended"]))


@dataclass(frozen=True)
class Verdict:
    """What one run of a scenario found.

    Attributes:
        id: The scenario's name, with its variant.
        verdict: What can be said of it as a whole.
        seconds: How long it took.
        checks: What was found, check by check.
        edition: The edition of the scenario.
        timeline: What happened when.
        new: Its edition is newer than the one to which the project is pinned: it is shown, and fails no run.
        declared: What the project's expectations say of it.
        nodeid: The test that it belongs to.
    """

    id: str
    verdict: Finding
    seconds: float
    checks: tuple[Check, ...]
    edition: str = ""
    timeline: tuple[Event, ...] = ()
    new: bool = False
    declared: Declared | None = None
    nodeid: str = ""

    @property
    def scenario(self) -> str:
        """The scenario's name, without the variant."""
        return self.id.partition("[")[0]

    @property
    def broken(self) -> tuple[Check, ...]:
        """The checks that were not passed."""
        return tuple(check for check in self.checks if check.verdict is not Finding.PASSED)

    @property
    def undeclared(self) -> tuple[Check, ...]:
        """The checks that did not pass without having been declared, and without another as their cause."""
        known = {} if self.declared is None else self.declared.checks
        return tuple(check for check in self.broken if check.id not in known and not self._follows(check))

    def _follows(self, check: Check) -> bool:
        """Say whether a check did not pass only because another had failed before."""
        return check.detail == NOT_REACHED or (check.id == "baseline" and self.verdict is Finding.FAILED)

    @property
    def red(self) -> bool:
        """Whether it fails the run: something did not pass undeclared, is mended, or the harness broke."""
        if self.new or self.verdict is Finding.UNSUPPORTED:
            return False
        mended = self.declared is not None and bool(self.declared.mended)
        return self.verdict is Finding.HARNESS_BROKEN or bool(self.undeclared) or mended

    @property
    def excused(self) -> bool:
        """Whether something did not pass, and fails no run because all of it was declared."""
        broken = self.verdict in (Finding.FAILED, Finding.NOT_MEASURED)
        return broken and not self.new and not self.undeclared

    def to_json(self) -> dict[str, Any]:
        """Give the verdict as JSON data, in the form of the report."""
        return {
            "id": self.id,
            "scenario": self.scenario,
            "edition": self.edition,
            "verdict": str(self.verdict),
            "red": self.red,
            "seconds": round(self.seconds, 3),
            "new": self.new,
            "declared": None if self.declared is None else self.declared.to_json(),
            "nodeid": self.nodeid,
            "checks": [check.to_json() for check in self.checks],
            "timeline": [event.to_json() for event in self.timeline],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """Rebuild a verdict that another process wrote with :meth:`to_json`."""
        return cls(
            data["id"],
            Finding(data["verdict"]),
            float(data["seconds"]),
            tuple(Check.from_json(check) for check in data["checks"]),
            edition=data["edition"],
            timeline=tuple(Event.from_json(event) for event in data["timeline"]),
            new=data["new"],
            declared=None if data["declared"] is None else Declared.from_json(data["declared"]),
            nodeid=data["nodeid"],
        )

    def explain(self) -> str:
        """Say for a reader what is broken, each check by its name, and show what was to be seen then."""
        from pytest_ocap.explanation import explain

        return explain(self)


def lone_finding(
    scenario: str, finding: Finding, check: str, detail: str, seconds: float = 0.0, evidence: Evidence | None = None
) -> Verdict:
    """Make the verdict of a scenario that could not be run: one check says why."""
    return Verdict(scenario, finding, seconds, (Check(check, finding, detail, evidence),))


class HarnessBrokenError(Exception):
    """What the scenario stands on does not work (a healthy start, a launch): nothing can be said of the fault.

    ``evidence`` is what was to be seen then, where somebody looked.
    """

    evidence: Evidence | None = None


class NotMeasuredError(Exception):
    """The fault was armed and did not fire."""


class UnsupportedError(Exception):
    """This platform or this user cannot arrange the fault."""
