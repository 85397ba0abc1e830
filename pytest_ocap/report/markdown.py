"""The verdict in Markdown, for a pull request: one paragraph, a few of the failures, and a sentence on each sweep.

Invariant: what daemons and tests wrote cannot become markup, and the text stays short whatever the run was like.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_ocap.report import summary
from pytest_ocap.report.sweeps import counts_line
from pytest_ocap.report.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 10
"""How many failures are listed."""

LONGEST = 160
"""How many characters of a check's detail are shown."""

MOST_CAUSES = 3
"""How many causes of a sweep's failures are listed."""

MARKS = {"passed": "✅", "failed": "❌", "nothing measured": "⚪"}


def render(data: Mapping[str, Any], _suffix: str = ".md") -> str:
    """Give the paragraph, and the list of what failed."""
    outcome = summary.outcome(data)
    lines = [f"{MARKS[outcome]} **ocap: {outcome}.** {escaped(summary.sentence(data))}"]
    failing = summary.failing(data)
    if failing:
        lines.append("")
        lines += [_item(scenario) for scenario in failing[:MOST]]
        if len(failing) > MOST:
            lines.append(f"- … and {len(failing) - MOST} more")
    swept = sorted(summary.sweeps(data), key=lambda sweep: not sweep["red"])
    if swept:
        lines.append("")
        lines += [line for sweep in swept for line in _sweep(sweep)]
    return "\n".join(lines) + "\n"


def _sweep(sweep: Mapping[str, Any]) -> list[str]:
    lines = [f"- Sweep of {code(sweep['workload'])}: {sweep['verdict']}. {escaped(counts_line(sweep))}."]
    for group in sweep["failures"][:MOST_CAUSES]:
        number = len(group["cases"])
        said = (
            f"  - {code(group['check'])} in {number} case{'' if number == 1 else 's'}, first {code(group['cases'][0])}"
        )
        lines.append(said + (f": {code(_short(group['message']))}" if group["message"] else ""))
    if len(sweep["failures"]) > MOST_CAUSES:
        lines.append(f"  - … and {len(sweep['failures']) - MOST_CAUSES} more causes")
    return lines


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _item(scenario: Mapping[str, Any]) -> str:
    where = summary.standing(scenario)
    said = f"- {code(scenario['id'])}: {summary.STANDINGS[where]}"
    if where == summary.MENDED:
        return f"{said}: {', '.join(code(check) for check in scenario['declared']['mended'])}"
    broken = [check for check in scenario["checks"] if check["verdict"] != summary.PASSED]
    if not broken:
        return said
    first, *others = sorted(broken, key=lambda check: check["verdict"] != where)
    detail = _short(first["detail"])
    said += f": {code(first['id'])}" + (f": {code(detail)}" if detail else "")
    return said + (f" (and {len(others)} more)" if others else "")


def escaped(text: str) -> str:
    """Give a text whose characters all stand for themselves; a mention or an issue's number is none either."""
    text = re.sub(r"([\\`*_{}\[\]()<>#+!|~$&])", r"\\\1", visible(text, lines=False))
    return re.sub(r"(@|:(?=\w)|://|www\.)", lambda found: found[0][0] + "\u200b" + found[0][1:], text)


def code(text: str) -> str:
    """Give a text as code, whatever ticks are in it."""
    text = visible(text, lines=False)
    fence = "`" * (max((len(ticks) for ticks in re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
