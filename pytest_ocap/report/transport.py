"""How verdicts travel from the test that found them to the process that reports.

Invariant: a verdict travels whole, as data of the test's report (xdist and report logs take such data along), and once
for each time that the test was run.  What JUnit files show of it are a few properties that a person can read, never
the whole.  Light: imported in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_ocap.verdict import Verdict

ANNOUNCED = "ocap_scenarios"
"""The report of a test's setup has here which scenarios the test is about to judge."""

CARRIED = "ocap_verdicts"
"""The report of a test that was called, or skipped, has here what its scenarios found, as data."""

_announced_key = pytest.StashKey[list[str]]()
_found_key = pytest.StashKey[list["Verdict"]]()


def announce(item: pytest.Item, scenario: str) -> None:
    """Say which scenario a test is about to judge, so that it can be missed when the test's process crashes."""
    item.stash.setdefault(_announced_key, []).append(scenario)


def missing(item: pytest.Item) -> list[str]:
    """Give the scenarios that a test is about to judge, and has no verdict of yet."""
    found = {verdict.id for verdict in item.stash.get(_found_key, [])}
    return [scenario for scenario in item.stash.get(_announced_key, []) if scenario not in found]


def record(item: pytest.Item, verdict: Verdict) -> None:
    """Let a verdict travel with the test's next report."""
    item.stash.setdefault(_found_key, []).append(verdict)


def begin(item: pytest.Item) -> None:
    """Take back what an earlier run of the test showed: a test that is run again has its properties once."""
    item.user_properties[:] = [line for line in item.user_properties if line[0] not in PROPERTIES]


def load(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put on a report what is to travel with it, and on the test what JUnit shows."""
    if report.when == "setup" and _announced_key in item.stash:
        announced: list[str] = item.stash[_announced_key]
        setattr(report, ANNOUNCED, [*announced])
    found = item.stash.get(_found_key, [])
    if not found:
        return
    from pytest_ocap.report.visible import encodable

    del item.stash[_found_key]
    setattr(report, CARRIED, encodable([verdict.to_json() for verdict in found]))
    shown = [line for verdict in found for line in properties(verdict)]
    item.user_properties += shown
    report.user_properties += shown


def announced(report: pytest.TestReport) -> list[str]:
    """Give the scenarios that a report announces."""
    return getattr(report, ANNOUNCED, [])


def carried(report: pytest.TestReport) -> list[dict[str, Any]]:
    """Give the verdicts that a report carries, as data."""
    return getattr(report, CARRIED, [])


PROPERTIES = (
    "ocap_scenario",
    "ocap_verdict",
    "ocap_edition",
    "ocap_seconds",
    "ocap_broken_checks",
    "ocap_declared_checks",
    "ocap_red",
)
"""What JUnit files show of each scenario of a test, in this order."""


def properties(verdict: Verdict) -> list[tuple[str, str]]:
    """Give what JUnit shows of a verdict: of each broken check the finding, of each declared one the reason."""
    declared = verdict.declared.checks if verdict.declared else {}
    values = (
        verdict.id,
        str(verdict.verdict),
        verdict.edition,
        f"{verdict.seconds:.3f}",
        ", ".join(f"{check.id} ({check.verdict})" for check in verdict.broken),
        ", ".join(f"{check} ({reason})" for check, reason in declared.items()),
        "true" if verdict.red else "false",
    )
    return list(zip(PROPERTIES, values, strict=True))
