"""Where the marks of a time line stand: a bar or a point for each event, in a lane for each kind, beside its label.

Invariant: two labels of one row never overlap, however narrow the page is (from ``NARROWEST`` pixels on): lengths along
the time are percentages, so that the drawing is as wide as its place, while letters keep their size.  What finds no
row is a mark without a label; the table beside the drawing has every event.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LANES = {
    "fault": "Faults",
    "client": "Client calls",
    "phase": "Phases",
    "process": "Processes",
    "file": "Files",
    "log": "Log",
    "check": "Checks",
}
"""The lanes from the top down, with their titles."""

NARROWEST = 280
"""Pixels: how wide the drawing is on the smallest telephone."""

LETTER = 6.4
"""Pixels: how wide a letter of a label is, or less."""

ROW, TITLE, AXIS = 20, 20, 22
"""Pixels: heights."""

LONGEST = 26
"""Letters: longer labels are cut; the mark's tooltip and the table have them whole."""

MOST_ROWS = 9
"""How many rows a lane has at most."""


@dataclass
class Mark:
    """One event: left edge and width in percent, top in pixels; a point has no width."""

    event: Mapping[str, Any]
    left: float
    width: float
    top: int
    label: str = ""
    label_left: float = 0.0
    label_before: bool = False

    @property
    def is_point(self) -> bool:
        """Whether the event has no duration."""
        return self.event.get("until") is None


@dataclass
class Lane:
    """The marks of one kind, below their title."""

    name: str
    title: str
    top: int
    bottom: int = 0
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class Chart:
    """A whole time line; ``height`` in pixels, ``seconds`` from its left edge to its right one."""

    lanes: Sequence[Lane]
    ticks: Sequence[tuple[float, str]]
    height: int
    seconds: float


def draw(timeline: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Lay out a time line; one without events has no drawing."""
    if not timeline:
        return None
    seconds = max(_end(event) for event in timeline) or 0.001
    known = [*LANES, *sorted({str(event["lane"]) for event in timeline} - LANES.keys())]
    lanes: list[Lane] = []
    top = AXIS
    for name in known:
        events = sorted((event for event in timeline if event["lane"] == name), key=lambda event: float(event["at"]))
        if events:
            lane = _lane(name, events, top, seconds)
            lanes.append(lane)
            top = lane.bottom
    return Chart(lanes, _ticks(seconds), top + 4, seconds)


def _lane(name: str, events: Sequence[Mapping[str, Any]], top: int, seconds: float) -> Lane:
    lane = Lane(name, LANES.get(name, name), top)
    rows: list[list[tuple[float, float]]] = []
    for event in events:
        mark = _mark(event, seconds)
        taken = _taken(mark)
        row = next((number for number, row in enumerate(rows) if _free(row, taken)), len(rows))
        if row == MOST_ROWS:
            row, mark.label = MOST_ROWS - 1, ""
        else:
            rows += [[]] if row == len(rows) else []
            rows[row].append(taken)
        mark.top = top + TITLE + row * ROW
        lane.marks.append(mark)
    lane.bottom = top + TITLE + len(rows) * ROW + 4
    return lane


def _mark(event: Mapping[str, Any], seconds: float) -> Mark:
    left = 100 * float(event["at"]) / seconds
    width = max(100 * _end(event) / seconds - left, 0.0)
    text = str(event["what"])
    sign = "" if event.get("ok") is None else "✓ " if event["ok"] else "✗ "
    label = sign + (text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
    mark = Mark(event, left, width, 0, label, left + width)
    if left + width + _percent(label) > 100:
        mark.label_before, mark.label_left = True, left
        if left < _percent(label):  # no room on either side: it ends at the right edge, over its bar
            mark.label_left = 100.0
    return mark


def _end(event: Mapping[str, Any]) -> float:
    until = event.get("until")
    return float(event["at"]) if until is None else max(float(until), float(event["at"]))


def _taken(mark: Mark) -> tuple[float, float]:
    """Give from where to where a mark and its label go, in percent."""
    least = _percent("")
    if mark.label_before:
        start = min(mark.left, mark.label_left - _percent(mark.label))
        return start, max(mark.left + mark.width, mark.left + least, mark.label_left)
    return mark.left - least, mark.label_left + _percent(mark.label)


def _free(row: Sequence[tuple[float, float]], wanted: tuple[float, float]) -> bool:
    return all(wanted[1] <= start or end <= wanted[0] for start, end in row)


def _percent(label: str) -> float:
    return 100 * (LETTER * len(label) + 12) / NARROWEST


def _ticks(seconds: float) -> list[tuple[float, str]]:
    """Give round moments, five at most, each with its percentage and its words."""
    step = 10.0 ** math.floor(math.log10(seconds / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if seconds / (step * factor) <= 4)
    unit, scale = ("ms", 1000.0) if seconds < 1 else ("s", 1.0)
    moments = [number * step for number in range(math.floor(seconds / step) + 1)]
    return [(100 * moment / seconds, f"{round(moment * scale, 6):g} {unit}") for moment in moments]
