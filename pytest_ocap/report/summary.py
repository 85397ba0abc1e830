"""What a whole run comes to: where each scenario stands, what is counted, and the verdict in a sentence.

Invariant: everything is read from the data of the JSON report, and every form of the report says it in these words.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FAILED, HARNESS_BROKEN, NOT_MEASURED = "failed", "harness-broken", "not-measured"
MENDED, NEW, DECLARED, UNSUPPORTED, PASSED = "mended", "new", "declared", "unsupported", "passed"

STANDINGS = {
    FAILED: "failed",
    HARNESS_BROKEN: "not judged as the harness broke",
    NOT_MEASURED: "not measured",
    MENDED: "passed though declared as failing",
    NEW: "of a newer edition not passed",
    DECLARED: "failed as declared",
    UNSUPPORTED: "unsupported",
    PASSED: "passed",
}
"""Where a scenario can stand in a run, the gravest first, in words."""

RED = frozenset({FAILED, HARNESS_BROKEN, NOT_MEASURED, MENDED})
"""The standings that fail a run."""


def standing(scenario: Mapping[str, Any]) -> str:
    """Say where a scenario stands: its verdict, unless what was declared or its edition says otherwise."""
    verdict: str = scenario["verdict"]
    if scenario.get("new") and verdict not in (PASSED, UNSUPPORTED):
        return NEW
    declared = scenario.get("declared")
    if declared:
        if declared["mended"] and scenario["red"]:
            return MENDED
        if verdict in (FAILED, NOT_MEASURED) and not scenario["red"]:
            return DECLARED
    return verdict


def broken_checks(scenario: Mapping[str, Any]) -> list[str]:
    """Give the names of the checks that did not pass."""
    return [check["id"] for check in scenario["checks"] if check["verdict"] != PASSED]


def counted(data: Mapping[str, Any]) -> Counter[str]:
    """Count where the scenarios stand."""
    return Counter(standing(scenario) for scenario in data["scenarios"])


def failing(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the scenarios that fail the run, in the report's order."""
    return [scenario for scenario in data["scenarios"] if standing(scenario) in RED]


def outcome(data: Mapping[str, Any]) -> str:
    """Give the run's verdict in a word or two; ``nothing measured`` where no scenario was judged."""
    counts = counted(data)
    swept = sweeps(data)
    if any(counts[red] for red in RED) or any(sweep["red"] for sweep in swept):
        return "failed"
    measured = counts.keys() - {UNSUPPORTED} or any(sweep["fired"] for sweep in swept)
    return "passed" if measured else "nothing measured"


def sweeps(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give the sweeps that were made."""
    return list(data.get("sweeps", ()))


def subject(data: Mapping[str, Any]) -> str:
    """Name the daemon that was judged, with its version."""
    return f"{data['driver']['name']} {data['driver']['version']}".strip()


def edition(data: Mapping[str, Any]) -> str:
    """Name the edition that counts: the one to which the project is pinned, else the report's."""
    pinned: str | None = data.get("pinned")
    return pinned or str(data["edition"])


def sentence(data: Mapping[str, Any]) -> str:
    """Say in one sentence what became of the run."""
    counts, total, name = counted(data), len(data["scenarios"]), subject(data)
    of_edition = f"of edition {edition(data)}"
    swept = _swept(data, name)
    if not total and swept:
        return swept.strip()
    if not total:
        return f"No scenario {of_edition} was run on {name}."
    passed = counts[PASSED]
    if passed == total:
        return f"{name} passed {'the only scenario' if total == 1 else f'all {total} scenarios'} {of_edition}.{swept}"
    rest = [f"{counts[where]} {words}" for where, words in STANDINGS.items() if where != PASSED and counts[where]]
    return f"{name} passed {passed} of {_scenarios(total)} {of_edition}: {', '.join(rest)}.{swept}"


def _swept(data: Mapping[str, Any], name: str) -> str:
    """Say in one more sentence what sweeps found; nothing where nothing was swept."""
    found = sweeps(data)
    if not found:
        return ""
    fired, failed, broken, left = (
        sum(sweep[key] for sweep in found) for key in ("fired", "failed", "harness_broken", "left")
    )
    missed = sum(len(sweep["not_reached"]) for sweep in found)
    text = (
        f" {name} was swept: {fired} fault{'' if fired == 1 else 's'} struck, and it failed {failed or 'none'} of them"
    )
    if not fired:
        text = f" {name} was swept, and no fault struck: nothing was measured"
    told = [f"the harness broke in {broken}"] if broken else []
    told += [f"{missed} {'was' if missed == 1 else 'were'} not reached"] if missed else []
    told += [f"{left} {'was' if left == 1 else 'were'} left untried"] if left else []
    return "; ".join([text, *told]) + "."


def _scenarios(number: int) -> str:
    return "1 scenario" if number == 1 else f"{number} scenarios"
