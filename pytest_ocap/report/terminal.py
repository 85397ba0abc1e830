"""The table at the end of a run: scenario, verdict, seconds, and the checks that did not pass."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_ocap.verdict import NOT_REACHED, Finding

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
    reporter.write_sep("=", "ocap scenarios")
    for verdict in rows:
        reporter.write(f"{verdict.id:<{width}}  ")
        reporter.write(f"{verdict.verdict:<14}", **{_colour(verdict): True})
        reporter.write_line(f"  {verdict.seconds:6.2f} s  {_remark(verdict)}".rstrip())
    counts = Counter(verdict.verdict for verdict in rows)
    parts = [f"{counts[finding]} {finding}" for finding in Finding if counts[finding]]
    excused = {"declared": sum(verdict.excused for verdict in rows), "new": sum(verdict.new for verdict in rows)}
    parts += [f"{count} {what}" for what, count in excused.items() if count]
    reporter.write_line(", ".join(parts))


def _colour(verdict: Verdict) -> str:
    return "red" if verdict.red else "yellow" if COLOURS[verdict.verdict] == "red" else COLOURS[verdict.verdict]


def _remark(verdict: Verdict) -> str:
    """Say what did not pass, and what the project says of it."""
    words = [f"new in {verdict.edition}"] if verdict.new else []
    reasons = {} if verdict.declared is None else verdict.declared.checks
    if verdict.declared is not None and verdict.declared.mended:
        words.append(f"mended: {', '.join(verdict.declared.mended)}")
    known = [check.id for check in verdict.broken if check.id in reasons and check.detail != NOT_REACHED]
    if known:
        words.append(f"declared: {', '.join(known)}")
    others = [check for check in verdict.undeclared if check.verdict is Finding.FAILED]
    if others:
        words.append(", ".join(check.id for check in others))
    elif verdict.verdict not in (Finding.PASSED, Finding.FAILED) and not known:
        first = next(iter(verdict.broken), None)
        said = "" if first is None else first.detail.strip().partition("\n")[0]
        words += [f"{first.id}: {said}"] if first is not None and said else []
    return "; ".join(words)
