"""What a verdict means for the project that asked for it: its scenario's edition, and what is expected of it.

Invariant: what was found is never changed, only said to be new or declared; whether that fails the run follows from
the verdict itself (:attr:`~pytest_ocap.verdict.Verdict.red`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_ocap.editions import is_newer
from pytest_ocap.expectations import Expectations, ExpectationsError, read
from pytest_ocap.options import driver_of, expectations_path, pinned_edition
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.verdict import NOT_REACHED

if TYPE_CHECKING:
    from pytest_ocap.verdict import Verdict

_expectations_key = pytest.StashKey[Expectations]()


def expectations_of(config: pytest.Config) -> Expectations:
    """Give what this run's project expects of its driver.

    Raises:
        pytest.UsageError: Something is wrong with the file.
    """
    if _expectations_key not in config.stash:
        driver = driver_of(config)
        path = expectations_path(config, driver.name)
        try:
            config.stash[_expectations_key] = read(path, driver, lenient=updating(config))
        except ExpectationsError as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_expectations_key]


def updating(config: pytest.Config) -> bool:
    """Say whether this run brings the expectations up to date."""
    return bool(config.getoption("--ocap-expect-update"))


def stood(verdict: Verdict, config: pytest.Config, nodeid: str) -> Verdict:
    """Give a verdict with its place in a run: the test it belongs to, and what the project says of it."""
    edition = SCENARIOS[verdict.scenario].edition
    placed = replace(verdict, edition=edition, nodeid=nodeid, new=is_newer(edition, pinned_edition(config)))
    expectations = expectations_of(config)
    declared = expectations.taken_up(placed) if updating(config) else expectations.of(placed)
    return replace(placed, declared=declared)


def excuse(verdict: Verdict, config: pytest.Config) -> str:
    """Say why what did not pass fails no run."""
    if verdict.new:
        broken = ", ".join(check.id for check in verdict.broken if check.detail != NOT_REACHED)
        pinned = pinned_edition(config)
        return f"new in edition {verdict.edition}, and the project is pinned to {pinned}: {verdict.verdict}: {broken}"
    reasons = {} if verdict.declared is None else verdict.declared.checks
    known = {check.id: reasons[check.id] for check in verdict.broken if check.id in reasons}
    return "declared: " + "; ".join(f"{check}: {reason or '(no reason yet)'}" for check, reason in known.items())


def complaint(verdict: Verdict, config: pytest.Config) -> str:
    """Say why a verdict fails the run: what is broken, and which expectations are out of date, with their lines."""
    parts = [verdict.explain()] if verdict.undeclared or not verdict.declared else []
    if verdict.declared is not None and verdict.declared.mended:
        expectations = expectations_of(config)
        parts.append(f"{verdict.id}: expectations are out of date (--ocap-expect-update removes them)")
        for check in verdict.declared.mended:
            passed = any(found.id == check for found in verdict.checks)
            what = "passed after all" if passed else "is not made any more"
            reason = verdict.declared.checks[check]
            parts.append(f"  MENDED {check}: it {what}; remove {expectations.place(verdict.id, check)}: {reason!r}")
    return "\n".join(parts)
