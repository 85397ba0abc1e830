"""Verdicts: what a scenario found, as data.

Invariant: a verdict is ``passed`` only when every check that the scenario promised was made and held.  A check that
was not reached, or a fault that did not fire, is ``not-measured``, never a pass.  Knows nothing of drivers, faults or
pytest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Finding(enum.StrEnum):
    """What can be said of a check, and of a scenario."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_MEASURED = "not-measured"
    HARNESS_BROKEN = "harness-broken"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Check:
    """One named check: what was found, and the words that explain it."""

    id: str
    verdict: Finding
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Give the check as JSON data."""
        return {"id": self.id, "verdict": str(self.verdict), "detail": self.detail}


@dataclass(frozen=True)
class Verdict:
    """What one run of a scenario found; ``seconds`` is its duration."""

    id: str
    verdict: Finding
    seconds: float
    checks: tuple[Check, ...]

    @property
    def broken(self) -> tuple[Check, ...]:
        """The checks that were not passed."""
        return tuple(check for check in self.checks if check.verdict is not Finding.PASSED)

    def to_json(self) -> dict[str, Any]:
        """Give the verdict as JSON data, in the form of the report."""
        return {
            "id": self.id,
            "verdict": str(self.verdict),
            "seconds": round(self.seconds, 3),
            "checks": [check.to_json() for check in self.checks],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """Rebuild a verdict that another process wrote with :meth:`to_json`."""
        checks = tuple(Check(c["id"], Finding(c["verdict"]), c["detail"]) for c in data["checks"])
        return cls(data["id"], Finding(data["verdict"]), float(data["seconds"]), checks)

    def explain(self) -> str:
        """Say for a reader what is broken: each check by its name, then its detail, indented."""
        broken = self.broken
        lines = [f"{self.id}: {self.verdict} ({len(broken)} of {len(self.checks)} checks did not pass)"]
        for check in broken:
            first, *rest = check.detail.splitlines() or [""]
            lines.append(f"  {check.verdict.upper()} {check.id}: {first}")
            lines.extend(f"      {line}" for line in rest)
        return "\n".join(lines)


def lone_finding(scenario: str, finding: Finding, check: str, detail: str, seconds: float = 0.0) -> Verdict:
    """Make the verdict of a scenario that could not be run: one check says why."""
    return Verdict(scenario, finding, seconds, (Check(check, finding, detail),))


class HarnessBrokenError(Exception):
    """What the scenario stands on does not work (a healthy start, a launch): nothing can be said of the fault."""


class NotMeasuredError(Exception):
    """The fault was armed and did not fire."""


class UnsupportedError(Exception):
    """This platform or this user cannot arrange the fault."""
