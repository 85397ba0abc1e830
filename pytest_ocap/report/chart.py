"""Where the marks of a time line stand: a bar or a point for each event, in a lane for each kind, beside its label.

Invariant: two labels of one row never overlap, however narrow the page is (from ``NARROWEST`` pixels on): lengths along
the time are percentages, so that the drawing is as wide as its place, while letters keep their size.  What finds no
row is a mark without a label, in a last row of such marks; the table beside the drawing has every event.
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

LASTING = frozenset({"client", "phase", "process"})
"""The lanes of what has a duration: without an end, it went on."""

NARROWEST = 280
"""Pixels: how wide the drawing is on the smallest telephone."""

LETTER = 6.4
"""Pixels: how wide a letter of a label is, or less."""

ROW, TITLE, AXIS = 20, 20, 22
"""Pixels: heights."""

LONGEST = 26
"""Letters: longer labels are cut; the mark's tooltip and the table have them whole."""

SHORTEST = 8
"""Letters: a label for which there is less room than this beside its bar stands over the bar."""

MOST_ROWS = 16
"""How many rows with labels a lane has at most."""

CROWDED = {"file": 8, "log": 8}
"""The same, of lanes that often have many events."""


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
        """Whether the event is a moment."""
        return self.event.get("until") is None and not self.is_open

    @property
    def is_open(self) -> bool:
        """Whether the event lasted and nobody saw its end."""
        return self.event.get("until") is None and self.event["lane"] in LASTING


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
        if row == CROWDED.get(name, MOST_ROWS):
            mark.label = ""
        else:
            rows += [[]] if row == len(rows) else []
            rows[row].append(taken)
        mark.top = top + TITLE + row * ROW
        lane.marks.append(mark)
    lane.bottom = max(mark.top for mark in lane.marks) + ROW + 4
    return lane


def _mark(event: Mapping[str, Any], seconds: float) -> Mark:
    left = 100 * float(event["at"]) / seconds
    width = max(100 * _end(event) / seconds - left, 0.0)
    mark = Mark(event, left, width, 0)
    if mark.is_open:
        mark.width = 100 - left
    text, sign = str(event["what"]), "" if event.get("ok") is None else "✓ " if event["ok"] else "✗ "
    mark.label = sign + _cut(text, LONGEST)
    before, after = left, 100 - left - mark.width
    if _percent(mark.label) > max(before, after):
        fits = _letters(max(before, after)) - len(sign)
        if fits < SHORTEST:
            mark.label_left = left
            return mark
        mark.label = sign + _cut(text, fits)
    mark.label_before = _percent(mark.label) > after
    mark.label_left = left if mark.label_before else left + mark.width
    return mark


def _end(event: Mapping[str, Any]) -> float:
    until = event.get("until")
    return float(event["at"]) if until is None else max(float(until), float(event["at"]))


def _taken(mark: Mark) -> tuple[float, float]:
    """Give from where to where a mark and its label go, in percent."""
    length, end = _percent(mark.label), mark.left + mark.width
    if mark.label_before:
        return mark.left - length, max(end, mark.left + _percent(""))
    return mark.left - _percent(""), max(end, mark.label_left + length)


def _free(row: Sequence[tuple[float, float]], wanted: tuple[float, float]) -> bool:
    return all(wanted[1] <= start or end <= wanted[0] for start, end in row)


def _percent(label: str) -> float:
    return 100 * (LETTER * len(label) + 12) / NARROWEST


def _letters(percent: float) -> int:
    return int((percent * NARROWEST / 100 - 12) / LETTER)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _ticks(seconds: float) -> list[tuple[float, str]]:
    """Give round moments, five at most, each with its percentage and its words."""
    step = 10.0 ** math.floor(math.log10(seconds / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if seconds / (step * factor) <= 4)
    unit, scale = ("ms", 1000.0) if seconds < 1 else ("s", 1.0)
    moments = [number * step for number in range(math.floor(seconds / step) + 1)]
    return [(100 * moment / seconds, f"{round(moment * scale, 6):g} {unit}") for moment in moments]
