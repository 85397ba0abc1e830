"""The verdict as a badge: an SVG image in the flat style that readers know, or the answer of a shields.io endpoint.

The JSON is described at https://shields.io/badges/endpoint-badge.  Invariant: the image says by words what its colour
says, white on a dark enough ground, and has a text for those who do not see it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from pytest_ocap.report import summary
from pytest_ocap.report.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

COLOURS = {"passed": "#1a7f37", "failed": "#b42318", "nothing measured": "#57606a"}

_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label={text}>
<title>{title}</title>
<rect width="{width}" height="20" rx="3" fill="#40464d"/>
<path d="M{left} 0h{straight}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{straight}z" fill="{colour}"/>
<g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11">
<text x="{label_x}" y="14" textLength="{label_length}">{label}</text>
<text x="{message_x}" y="14" textLength="{message_length}">{message}</text></g>
</svg>
"""

_PADDING = 6


def render(data: Mapping[str, Any], suffix: str) -> str:
    """Give the badge: the image for ``.svg``, the endpoint's answer for ``.json``."""
    label, message, colour = f"ocap {summary.edition(data)}", _message(data), COLOURS[summary.outcome(data)]
    if suffix == ".json":
        answer = {
            "schemaVersion": 1,
            "label": label,
            "message": message,
            "color": colour.lstrip("#"),
            "isError": summary.outcome(data) == "failed",
        }
        return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
    return _svg(label, message, colour)


def _message(data: Mapping[str, Any]) -> str:
    counts, swept = summary.counted(data), summary.sweeps(data)
    red, red_sweeps = sum(counts[where] for where in summary.RED), sum(sweep["red"] for sweep in swept)
    if red or red_sweeps:
        said = [f"{red} of {len(data['scenarios'])} failed"] if red else []
        said += [f"{red_sweeps} of {len(swept)} sweep{'' if len(swept) == 1 else 's'} failed"] if red_sweeps else []
        return ", ".join(said)
    if summary.outcome(data) != "passed":
        return "nothing measured"
    known = counts[summary.DECLARED] + counts[summary.NEW]
    survived = sum(sweep["passed"] for sweep in swept)
    said = [f"{counts[summary.PASSED]} passed"] if data["scenarios"] else []
    said += [f"{known} known failure{'' if known == 1 else 's'}"] if known else []
    said += [f"{survived} fault{'' if survived == 1 else 's'} survived"] if survived else []
    return ", ".join(said)


def _svg(label: str, message: str, colour: str) -> str:
    label, message = visible(label, lines=False), visible(message, lines=False)
    lengths = [_length(label), _length(message)]
    left, right = (length + 2 * _PADDING for length in lengths)
    return _SVG.format(
        width=left + right,
        left=left,
        straight=right - 3,
        colour=colour,
        text=quoteattr(f"{label}: {message}"),
        title=escape(f"{label}: {message}"),
        label=escape(label),
        message=escape(message),
        label_x=left / 2,
        message_x=left + right / 2,
        label_length=lengths[0],
        message_length=lengths[1],
    )


def _length(text: str) -> int:
    """Estimate how wide a text is in Verdana of 11 pixels; the image then has it drawn at just that width."""
    return round(sum(3.9 if letter in "ijl.,:;|!' " else 7.0 for letter in text))
