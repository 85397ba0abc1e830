"""The table at the end of a run: scenario, verdict, seconds, and the checks that did not pass."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_ocap.verdict import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_ocap.verdict import Verdict

COLOURS = {
    Finding.PASSED: "green",
    Finding.FAILED: "red",
    Finding.HARNESS_BROKEN: "red",
    Finding.NOT_MEASURED: "yellow",
    Finding.UNSUPPORTED: "yellow",
}


def show(reporter: pytest.TerminalReporter, verdicts: Sequence[Verdict]) -> None:
    """Write the table."""
    rows = sorted(verdicts, key=lambda verdict: verdict.id)
    width = max(len(verdict.id) for verdict in rows)
    reporter.section("ocap scenarios")
    for verdict in rows:
        reporter.write(f"{verdict.id:<{width}}  ")
        reporter.write(f"{verdict.verdict:<14}", **{COLOURS[verdict.verdict]: True})
        reporter.write_line(f"  {verdict.seconds:6.2f} s  {_remark(verdict)}".rstrip())
    counts = Counter(verdict.verdict for verdict in rows)
    reporter.write_line(", ".join(f"{counts[finding]} {finding}" for finding in Finding if counts[finding]))


def _remark(verdict: Verdict) -> str:
    if verdict.verdict is Finding.FAILED:
        return ", ".join(check.id for check in verdict.checks if check.verdict is Finding.FAILED)
    if verdict.verdict is Finding.PASSED:
        return ""
    first = next(iter(verdict.broken), None)
    return f"{first.id}: {first.detail.strip().splitlines()[0]}" if first and first.detail.strip() else ""
