"""What a sweep came to, from its data in the JSON report: its verdict, its bound, its words, and several made one.

Invariant: every form of the report, and the terminal, says of a sweep what is said here.  Sweeps become one only when
nothing can be counted twice: they are different shards of the same sweep.  Knows nothing but data.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_NAMED = 20
"""How many points that were not reached are named in the terminal."""

FAILED, HARNESS_BROKEN, NOT_REACHED, PASSED = "failed", "harness-broken", "not-reached", "passed"
UNTRIED = "untried"

RESULTS = (FAILED, HARNESS_BROKEN, NOT_REACHED, PASSED)
"""What a case can come to, the gravest first."""

_SUMS = (
    *("cases", "alike", "tried", "taken_over", "left", "fired", "passed", "failed", "harness_broken", "states"),
    *("recovery_entered", "seconds"),
)


def settled(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Give a sweep with what follows from its counts: its points' worst, its verdict, its rate, its bound in words."""
    data = {**sweep, "places": located(sweep)}
    data["points"] = len(data["places"])
    fresh, seconds = data["tried"] - data["taken_over"], data["seconds"]
    data["rate"] = round(fresh / seconds, 3) if seconds and fresh else None
    data["verdict"] = _verdict(data)
    # A few shards alone may have no case at all; a sweep as a whole, or one with cases, has to have measured something.
    measurable = data["cases"] or data["shards"]["run"] == data["shards"]["of"]
    data["red"] = data["verdict"] != PASSED and bool(data["failed"] or data["harness_broken"] or measurable)
    data["bound"] = _bound(data)
    return data


def completed(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Give a sweep of an older report with every key that it may lack."""
    data = {"points_are": sweep["means"], "alike": 0, "audits": {}, "searched": [], "steps": [], **sweep}
    if "places" not in data:
        found: dict[str, dict[str, Any]] = {}
        for trial in data["trials"]:
            place = found.setdefault(trial["point"], {key: trial[key] for key in ("point", "kind", "path", "at")})
            place["cases"] = place.get("cases", 0) + 1
        data["places"] = located({**data, "places": list(found.values())})
    return data | {"failures": [{"requires": "", "detail": "", **group} for group in data["failures"]]}


def _verdict(data: Mapping[str, Any]) -> str:
    if data["failed"]:
        return FAILED
    if data["harness_broken"]:
        return HARNESS_BROKEN
    return PASSED if data["fired"] else "not-measured"


def located(sweep: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give every point once, in the order of the workload, with what came of its cases and the steps it lies in."""
    places: dict[str, dict[str, Any]] = {}
    for place in sweep["places"]:
        known = places.setdefault(place["point"], {**place, "cases": 0})
        known["cases"] += place["cases"]
        if known["at"] is None:
            known["at"] = place["at"]
    counts: dict[str, Counter[str]] = {}
    for trial in sweep["trials"]:
        counts.setdefault(trial["point"], Counter())[trial["result"]] += 1
    for place in places.values():
        found = counts.get(place["point"], Counter())
        place["worst"] = next((result for result in RESULTS if found[result]), UNTRIED)
        place["results"] = {result: found[result] for result in RESULTS if found[result]}
        place["within"] = within(sweep["steps"], place["at"])
    return sorted(places.values(), key=lambda place: (place["at"] is None, place["at"] or 0.0))


def within(steps: Iterable[Mapping[str, Any]], at: float | None) -> list[str]:
    """Name the steps that were under way at a moment, the one that began first first."""
    if at is None:
        return []
    under_way = [step for step in steps if step["at"] <= at and (step["until"] is None or at <= step["until"])]
    return [step["what"] for step in sorted(under_way, key=lambda step: (step["at"], step["lane"]))]


def brought_onto(
    steps: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]], at: float | None
) -> float | None:
    """Bring a moment of one recording of a workload onto another's time line.

    Between the same two moments at which a client asked or was answered, it lies as far along as it did; where the
    clients did not ask for the same, it stays.

    Args:
        steps: The steps of the recording that it is brought onto.
        own: The steps of its own.
        at: The moment.
    """
    there, here = ([step for step in each if step["lane"] == "client"] for each in (steps, own))
    if at is None or there == here or [step["what"] for step in there] != [step["what"] for step in here]:
        return at
    pairs = [(0.0, 0.0)]
    for mine, other in zip(here, there, strict=True):
        for key in ("at", "until"):
            if mine[key] is not None and other[key] is not None and mine[key] > pairs[-1][0]:
                pairs.append((mine[key], max(other[key], pairs[-1][1])))
    place = bisect_right(pairs, at, key=lambda pair: pair[0])
    begin, begin_there = pairs[place - 1] if place else pairs[0]
    if place == len(pairs):
        return round(begin_there + at - begin, 4)
    end, end_there = pairs[place]
    return round(begin_there + (at - begin) / (end - begin) * (end_there - begin_there), 4)


def _bound(data: Mapping[str, Any]) -> str:
    """Say in words how far the sweep went, and how far it did not."""
    text = (
        f"{', '.join(data['kinds']) or 'nothing'} at {data['points']} points of the workload {data['workload']!r} "
        f"({data['does']}); points are {data['points_are']}; one fault in a run"
    )
    if data["alike"]:
        text += (
            f"; of cases alike (the same fault at calls that do the same to the same path) the 1st, 2nd, 4th, 8th and "
            f"so on, and one at each point: {data['cases']} stand for {data['alike']} more, which --ocap-sweep-every "
            "tries too"
        )
    if data["left"]:
        text += f"; {data['left']} of {data['cases']} cases were left, since the time was up"
    if data["shards"]["run"] < data["shards"]["of"]:
        text += f"; {data['shards']['run']} of {data['shards']['of']} shards were run"
    if data["not_offered"]:
        text += f"; {', '.join(data['not_offered'])}: no point at which the means {data['means']} can make that happen"
    return text


def sweep_of(fault: str) -> str:
    """Say of which kind a fault is, as ``--ocap-sweep`` names it."""
    name = fault.partition("~")[0].partition("=")[0]
    return {"kill-after": "kill"}.get(name, name if name in ("kill", "hang", "slow", "powerloss") else "errno")


def enough(least: str) -> str:
    """Say how many faults are enough, as the name of a case with fewer of them tells."""
    number = least.count("&") + 1
    return "one fault is enough" if number == 1 else f"{number} faults are enough"


# --- words -----------------------------------------------------------------------------------------------------------


def counts_line(data: Mapping[str, Any]) -> str:
    """Say of a sweep in one line what was tried and what came of it."""
    return (
        f"{data['points']} points, {data['cases']} cases, {data['fired']} fired: "
        f"{data['passed']} passed, {data['failed']} failed"
        + (f", {data['harness_broken']} broke the harness" if data["harness_broken"] else "")
        + (f", {len(data['not_reached'])} not reached" if data["not_reached"] else "")
        + (f", {data['left']} left" if data["left"] else "")
        + (f"; {data['taken_over']} known from before" if data["taken_over"] else "")
        + (f"; {data['states']} disk states" if data["states"] else "")
    )


def remarks(data: Mapping[str, Any]) -> list[str]:
    """Say how fast it went, what the daemon's own check found, and whether recovery was entered."""
    found = []
    if data["rate"]:
        unharmed = f"an unharmed run with its judging takes {data['floor']:.2f} s"
        found.append(f"{data['rate']:.2f} runs a second on each core; {unharmed}")
    if data.get("audits"):
        counts = ", ".join(f"{count} {word}" for word, count in data["audits"].items())
        found.append(f"the daemon's own check of its home: {counts}")
    if not data["fired"]:
        found.append("nothing was measured: no fault struck")
    elif data["recovery_entered"]:
        entered = data["recovery_entered"]
        found.append(f"recovery was entered {entered} times: a start found what a clean stop does not leave")
    else:
        found.append("recovery was never entered: no start found anything that a clean stop does not leave")
    return found


def lines(data: Mapping[str, Any]) -> list[str]:
    """Say of one workload's sweep what came of it, line by line."""
    found = [f"{data['workload']}: {counts_line(data)}", f"  bound: {data['bound']}"]
    found += [f"  {remark}" for remark in remarks(data)]
    names = data["not_reached"]
    found += [f"  not reached: {name}" for name in names[:MOST_NAMED]]
    if len(names) > MOST_NAMED:
        found.append(f"  not reached: … and {len(names) - MOST_NAMED} more, which the JSON report names")
    found += [f"  power cuts: {words}" for words in data["searched"]]
    found += [f"  note: {note}" for note in data["notes"]]
    for group in data["failures"]:
        found.append(f"  FAILED {group['check']} ({len(group['cases'])}): {group['message']}")
        found.append(f"    first: {group['cases'][0]}")
        if group["least"]:
            found.append(f"    {enough(group['least'])}: {group['least']}")
        if group["directory"]:
            found.append(f"    replay: sh {group['directory']}/replay.sh")
    return found


# --- several made one ------------------------------------------------------------------------------------------------


def joined(sweeps: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make one sweep of those that are different shards of the same; the others stay beside each other."""
    whole: list[dict[str, Any]] = []
    for sweep in sweeps:
        place = next((number for number, other in enumerate(whole) if _belong_together(other, sweep)), None)
        if place is None:
            whole.append(dict(sweep))
        else:
            whole[place] = _join(whole[place], sweep)
    return whole


def _belong_together(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    asked = [
        (sweep["workload"], sweep["does"], sweep["shards"]["of"], {*sweep["kinds"], *sweep["not_offered"]})
        for sweep in (one, other)
    ]
    numbers = [sweep["shards"].get("numbers") for sweep in (one, other)]
    return asked[0] == asked[1] and all(numbers) and not set(numbers[0]) & set(numbers[1])


def _join(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    data = {**one, **{key: one[key] + other[key] for key in _SUMS}}
    shards = [sweep["shards"] for sweep in (one, other)]
    run = sum(each["run"] for each in shards)
    data["seconds"] = round(data["seconds"], 3)
    data["floor"] = round(sum(sweep["floor"] * sweep["shards"]["run"] for sweep in (one, other)) / run, 3)
    data["shards"] = {
        "run": run,
        "of": shards[0]["of"],
        "numbers": sorted(number for each in shards for number in each["numbers"]),
    }
    offered = {*one["kinds"], *other["kinds"]}
    wished = [*one["kinds"], *other["kinds"], *one["not_offered"], *other["not_offered"]]
    data["kinds"] = [kind for kind in dict.fromkeys(wished) if kind in offered]
    data["not_offered"] = [kind for kind in dict.fromkeys(wished) if kind not in offered]
    for key in ("means", "points_are"):
        data[key] = ", ".join(dict.fromkeys((one[key], other[key])))
    for key in ("searched", "notes"):
        data[key] = list(dict.fromkeys((*one[key], *other[key])))
    data["not_reached"] = sorted((*one["not_reached"], *other["not_reached"]))
    data["audits"] = dict(sorted((Counter(one.get("audits", {})) + Counter(other.get("audits", {}))).items()))
    data["trials"] = [*one["trials"], *(_moved(trial, one, other) for trial in other["trials"])]
    data["places"] = [*one["places"], *(_moved(place, one, other) for place in other["places"])]
    data["failures"] = _groups(*one["failures"], *other["failures"])
    return settled(data)


def _moved(entry: Mapping[str, Any], one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "at": brought_onto(one["steps"], other["steps"], entry["at"])}


def _groups(*groups: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Put together the failures of one cause; that with the most comes first."""
    whole: dict[tuple[str, str], dict[str, Any]] = {}
    for group in groups:
        key = (group["check"], group["message"])
        known = whole.setdefault(key, {**group, "cases": [], "again": 0})
        known["cases"] = [*known["cases"], *group["cases"]]
        known["again"] += group["again"]
        for optional in ("least", "directory"):
            known[optional] = known[optional] or group[optional]
    return [whole[key] for key in sorted(whole, key=lambda key: (-len(whole[key]["cases"]), key))]
