"""What a verdict means for the project that asked for it: its scenario's edition, and what is expected of it.

Invariant: what was found is never changed, only said to be new or declared; whether that fails the run follows from
the verdict itself (:attr:`~pytest_ocap.verdict.Verdict.red`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ocap.editions import is_newer
from pytest_ocap.options import pinned_edition
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.verdict import NOT_REACHED

if TYPE_CHECKING:
    import pytest

    from pytest_ocap.verdict import Verdict


def stood(verdict: Verdict, config: pytest.Config, nodeid: str) -> Verdict:
    """Give a verdict with its place in a run: the test it belongs to, and what the project says of it."""
    edition = SCENARIOS[verdict.scenario].edition
    return replace(verdict, edition=edition, nodeid=nodeid, new=is_newer(edition, pinned_edition(config)))


def excuse(verdict: Verdict, pinned: str | None) -> str:
    """Say why what did not pass fails no run."""
    broken = ", ".join(check.id for check in verdict.broken if check.detail != NOT_REACHED)
    if verdict.new:
        return f"new in edition {verdict.edition}, and the project is pinned to {pinned}: {verdict.verdict}: {broken}"
    reasons = {} if verdict.declared is None else verdict.declared.checks
    return "declared: " + "; ".join(
        f"{check.id}: {reasons[check.id]}" for check in verdict.broken if check.id in reasons
    )
