"""A sweep as a picture: where its points stand on the workload's time line, and the tables beside it.

Invariant: every point has one mark, in the lane of its path, and marks go from left to right as the workload does.
Lengths are percentages, so that the drawing is as wide as its place, while marks and letters keep their size.

A workload's steps take very different times, and most calls come in bursts: each step is drawn as wide as the mean of
its share of the time and its share of the points; within a step, lengths are times.
"""

from __future__ import annotations

import shlex
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_ocap.report.chart import LETTER, NARROWEST
from pytest_ocap.report.sweeps import FAILED, HARNESS_BROKEN, NOT_REACHED, PASSED, RESULTS, UNTRIED, sweep_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WORSTS = {
    PASSED: "passed",
    UNTRIED: "not tried",
    NOT_REACHED: "not reached",
    HARNESS_BROKEN: "the harness broke",
    FAILED: "failed",
}
"""What can have become of a point, in words; what is drawn later lies above."""

STEPS, ROW, TITLE, AXIS = 22, 18, 15, 18
"""Pixels: heights of a row of steps, of a lane's marks, of its title, of the axis."""

MOST_LANES = 24
"""How many paths have a lane of their own; the others share the last."""

OTHERS = "other paths"

WIDTHS = (NARROWEST, 480, 720, 1200)
"""Pixels: how wide the drawing has to be at least for a label to be shown."""

CAUSES = 50
"""How many cases of one cause the page names."""


@dataclass(frozen=True)
class Mark:
    """One point: its left in percent, its top in pixels, and what there is to say of it."""

    place: Mapping[str, Any]
    left: float
    top: int
    words: str


@dataclass(frozen=True)
class Band:
    """A step: left and width in percent, and from which width of the drawing on its label fits; None: never."""

    step: Mapping[str, Any]
    left: float
    width: float
    fits: int | None


@dataclass
class Lane:
    """The points of one path: how many came to what."""

    title: str
    top: int
    worsts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Picture:
    """The whole drawing; heights in pixels."""

    lanes: Sequence[Lane]
    marks: Mapping[str, Sequence[Mark]]
    clients: Sequence[Band]
    phases: Sequence[Band]
    ticks: Sequence[tuple[float, str]]
    top: int
    height: int

    @property
    def timed(self) -> bool:
        """Whether there are moments; else points stand in their order."""
        return bool(self.ticks)


def draw(sweep: Mapping[str, Any]) -> Picture | None:
    """Lay out the picture of a sweep; one without points has none."""
    places = sweep["places"]
    if not places:
        return None
    timed = all(place["at"] is not None for place in places)
    steps = sweep["steps"] if timed else []
    scale = Scale([place["at"] for place in places], steps) if timed else None
    clients, phases = ([step for step in steps if step["lane"] == lane] for lane in ("client", "phase"))
    top = AXIS * timed + STEPS * bool(clients) + STEPS * bool(phases)
    lanes = _lanes(places, top)
    marks: dict[str, list[Mark]] = {worst: [] for worst in WORSTS}
    for number, place in enumerate(places):
        lane = lanes.get(_lane_of(place), lanes.get(OTHERS))
        assert lane is not None, "what has no lane of its own is among the others"
        lane.worsts[place["worst"]] += 1
        left = 100 * (number + 0.5) / len(places) if scale is None else scale.percent(place["at"])
        marks[place["worst"]].append(Mark(place, left, lane.top + TITLE + ROW // 2, words_of(place)))
    height = top + (TITLE + ROW) * len(lanes) + 4
    if scale is None:
        return Picture(list(lanes.values()), marks, [], [], [], top, height)
    client_bands, phase_bands = ([_band(step, scale) for step in each] for each in (clients, phases))
    return Picture(list(lanes.values()), marks, client_bands, phase_bands, scale.ticks(), top, height)


class Scale:
    """From moments to percentages: between the same two ends of steps, in proportion."""

    def __init__(self, moments: Sequence[float], steps: Iterable[Mapping[str, Any]]) -> None:
        clients = [step for step in steps if step["lane"] == "client"]
        ends: set[float] = {step[key] for step in clients for key in ("at", "until") if step[key] is not None}
        last = max([*moments, *ends]) or 0.001
        self._borders: list[float] = sorted({0.0, *ends, last})
        inside = Counter(self._section(moment) for moment in moments)
        shares = [
            (end - begin) / last + inside[number] / len(moments)
            for number, (begin, end) in enumerate(zip(self._borders, self._borders[1:], strict=False))
        ]
        self._percents = [0.0]
        for share in shares:
            self._percents.append(self._percents[-1] + 98 * share / sum(shares))

    def percent(self, moment: float) -> float:
        """Give where a moment lies; a mark at either end is still whole."""
        number = self._section(moment)
        begin, end = self._borders[number : number + 2]
        left, right = self._percents[number : number + 2]
        return 1 + left + (moment - begin) / (end - begin) * (right - left)

    def ticks(self) -> list[tuple[float, str]]:
        """Give those borders whose labels find room, with their moments in words."""
        room = 100 * (LETTER * len("0.000 s") + 10) / NARROWEST
        found: list[tuple[float, str]] = []
        for border in self._borders:
            left = self.percent(border)
            if not found or left - found[-1][0] >= room:
                found.append((left, f"{border:.3g} s"))
        return found

    def _section(self, moment: float) -> int:
        return min(bisect_right(self._borders, moment), len(self._borders) - 1) - 1


def _lane_of(place: Mapping[str, Any]) -> str:
    return f"phase {place['path']}" if place["kind"] == "phase" else str(place["path"])


def _lanes(places: Iterable[Mapping[str, Any]], top: int) -> dict[str, Lane]:
    titles = list(dict.fromkeys(_lane_of(place) for place in places))
    if len(titles) > MOST_LANES:
        titles = [*titles[: MOST_LANES - 1], OTHERS]
    return {title: Lane(title, top + number * (TITLE + ROW)) for number, title in enumerate(titles)}


def _band(step: Mapping[str, Any], scale: Scale) -> Band:
    left = scale.percent(step["at"])
    width = (99.0 if step["until"] is None else scale.percent(step["until"])) - left
    wanted = LETTER * len(step["what"]) + 4
    return Band(step, left, width, next((pixels for pixels in WIDTHS if pixels * width / 100 >= wanted), None))


def words_of(place: Mapping[str, Any]) -> str:
    """Say of a point in a line what it is, when it was reached, and what came of it."""
    name = place["point"].partition(":")[2]
    when = "" if place["at"] is None else f" at {place['at']:.3f} s"
    where = f" ({', '.join(place['within'])})" if place["within"] else ""
    found = [f"{count} {WORSTS[result]}" for result, count in place["results"].items()]
    left = untried(place)
    found += [f"{left} not tried"] if left else []
    return f"{name}{when}{where}: {', '.join(found)}"


def untried(place: Mapping[str, Any]) -> int:
    """Say how many of a point's cases were not tried."""
    tried: int = sum(place["results"].values())
    return max(0, int(place["cases"]) - tried)


# --- tables ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Cases by call and fault: a row for each kind of call, a column for each fault, and what is left in a last one."""

    faults: Sequence[str]
    rows: Mapping[str, Mapping[str, Counter[str]]]
    left: Mapping[str, int]


def by_call_and_fault(sweep: Mapping[str, Any]) -> Table:
    """Count a sweep's cases by what the call does and by the fault."""
    rows: dict[str, dict[str, Counter[str]]] = {place["kind"]: {} for place in sweep["places"]}
    left: Counter[str] = Counter()
    for place in sweep["places"]:
        left[place["kind"]] += untried(place)
    for trial in sweep["trials"]:
        row = rows.setdefault(trial["kind"], {})
        row.setdefault(_fault(trial["fault"]), Counter())[trial["result"]] += 1
    faults = {fault for row in rows.values() for fault in row}
    order = dict(sorted(rows.items(), key=lambda row: (-sum(sum(cell.values()) for cell in row[1].values()), row[0])))
    return Table(sorted(faults, key=_rank), order, left if left.total() else {})


def _fault(name: str) -> str:
    return name.partition("~")[0]


_ORDER = ("kill", "hang", "errno", "slow", "powerloss")


def _rank(fault: str) -> tuple[int, str]:
    return _ORDER.index(sweep_of(fault)), fault


def lost_by_power_cuts(sweep: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Count the judged states of power cuts by what was lost."""
    found: dict[str, Counter[str]] = {}
    for trial in sweep["trials"]:
        if sweep_of(trial["fault"]) == "powerloss":
            family = trial["fault"].split("~")[1].replace("-", " ")
            found.setdefault(family, Counter())[trial["result"]] += 1
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Trouble:
    """A point at which something did not pass: for each result the faults, with the check that failed."""

    place: Mapping[str, Any]
    faults: Mapping[str, Sequence[str]]


def troubles(sweep: Mapping[str, Any]) -> list[Trouble]:
    """Give the points at which something did not pass, in the order of the workload."""
    checks = {case: group["check"] for group in sweep["failures"] for case in group["cases"]}
    faults: dict[str, dict[str, list[str]]] = {}
    for trial in sweep["trials"]:
        if trial["result"] != PASSED:
            check = checks.get(f"{trial['point']}={trial['fault']}")
            said = trial["fault"] + (f" ({check})" if check else "")
            faults.setdefault(trial["point"], {}).setdefault(trial["result"], []).append(said)
    return [
        Trouble(
            place, {result: faults[place["point"]][result] for result in RESULTS if result in faults[place["point"]]}
        )
        for place in sweep["places"]
        if place["point"] in faults
    ]


def replay(case: str) -> str:
    """Give the command that tries a case again, in the project that was swept."""
    kind = sweep_of(case.partition("=")[2])
    return f"pytest --pyargs pytest_ocap.sweeps --ocap-sweep {kind} --ocap-point {shlex.quote(case)}"
