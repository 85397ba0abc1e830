"""What a whole sweep comes to, as data of the report: counts, places of its points, groups of failures.

Invariant: everything is made from shards, in whatever order and from whatever processes they came.  What follows from
the counts, and all words, are the report's (:mod:`pytest_ocap.report.sweeps`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_ocap.report.sweeps import MOST_NAMED, brought_onto, enough, settled
from pytest_ocap.report.visible import visible
from pytest_ocap.sweeps.course import as_steps
from pytest_ocap.sweeps.failures import grouped, requirement
from pytest_ocap.sweeps.trial import Result
from pytest_ocap.sweeps.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_ocap.sweeps.options import Wishes
    from pytest_ocap.sweeps.running import Shard
    from pytest_ocap.sweeps.trial import Trial


PROPERTIES = ("ocap_sweep", "ocap_sweep_cases", "ocap_sweep_found", "ocap_sweep_left")
"""What a JUnit file has of the test of each shard."""

MOST_DETAIL = 2000
"""Characters: how much a report has of what the first case of a cause found; the case's directory has all of it."""


def as_data(shards: Iterable[Shard], wishes: Wishes) -> list[dict[str, Any]]:
    """Give for each workload what came of its sweep, as JSON data."""
    by_workload: dict[str, list[Shard]] = {}
    for shard in sorted(shards, key=lambda shard: shard.number):
        by_workload.setdefault(shard.workload, []).append(shard)
    return [_workload(name, by_workload[name], wishes) for name in WORKLOADS if name in by_workload]


def _workload(name: str, shards: Sequence[Shard], wishes: Wishes) -> dict[str, Any]:
    trials = [trial for shard in shards for trial in shard.trials]
    results = Counter(trial.result for trial in trials)
    fired = results[Result.PASSED] + results[Result.FAILED]
    seconds = sum(shard.seconds for shard in shards)
    tried = len(trials) - sum(shard.taken_over for shard in shards)
    offered = {kind for shard in shards for kind in shard.kinds}
    steps = next((as_steps(shard.steps) for shard in shards if shard.steps), [])
    places = [place for shard in shards for place in _places(shard, steps)]
    moments = {place["point"]: place["at"] for place in reversed(places)}
    data: dict[str, Any] = {
        "workload": name,
        "does": WORKLOADS[name].does,
        "means": ", ".join(dict.fromkeys(shard.means for shard in shards)),
        "kinds": [kind for kind in wishes.kinds if kind in offered],
        "not_offered": [kind for kind in wishes.kinds if kind not in offered],
        "points_are": ", ".join(dict.fromkeys(shard.points_are for shard in shards)),
        "cases": sum(shard.cases for shard in shards),
        "alike": sum(shard.alike for shard in shards),
        "tried": len(trials),
        "taken_over": len(trials) - tried,
        "left": sum(shard.left for shard in shards),
        "fired": fired,
        "passed": results[Result.PASSED],
        "failed": results[Result.FAILED],
        "harness_broken": results[Result.HARNESS_BROKEN],
        "not_reached": sorted(trial.case.id for trial in trials if trial.result is Result.NOT_REACHED),
        "states": sum(trial.case.sweep == "powerloss" and trial.result is not Result.NOT_REACHED for trial in trials),
        "recovery_entered": sum(bool(trial.entered) for trial in trials),
        "audits": dict(sorted(Counter(trial.audit for trial in trials if trial.audit).items())),
        "seconds": round(seconds, 3),
        "floor": round(sum(shard.floor for shard in shards) / len(shards), 3),
        "shards": {
            "run": len(shards),
            "of": wishes.shards,
            "numbers": [shard.number for shard in shards],
        },
        "searched": list(dict.fromkeys(shard.searched for shard in shards if shard.searched)),
        "notes": list(dict.fromkeys(note for shard in shards for note in shard.notes)),
        "failures": [_group(check, message, members) for (check, message), members in _red(trials)],
        "trials": [_brief(trial, moments) for trial in trials],
        "places": places,
        "steps": steps,
    }
    return settled(data)


def _red(trials: Sequence[Trial]) -> list[tuple[tuple[str, str], list[Trial]]]:
    return grouped(trial for trial in trials if trial.result in (Result.FAILED, Result.HARNESS_BROKEN))


def _group(check: str, message: str, members: Sequence[Trial]) -> dict[str, Any]:
    kept = next((trial for trial in members if trial.failure), None)
    return {
        "check": check,
        "requires": requirement(check),
        "message": message,
        "detail": next((detail for name, detail in members[0].broken if name == check), "")[:MOST_DETAIL],
        "cases": [trial.case.id for trial in members],
        "again": sum(bool(trial.again) for trial in members),
        "least": next((trial.least for trial in members if trial.least), None),
        "directory": None if kept is None else kept.failure,
    }


def _places(shard: Shard, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the points of a shard, on the time line of the whole sweep."""
    own = as_steps(shard.steps)
    return [{**asdict(place), "at": brought_onto(steps, own, place.at)} for place in shard.places]


def _brief(trial: Trial, moments: Mapping[str, float | None]) -> dict[str, Any]:
    case = trial.case
    at = moments.get(case.point, case.at)
    brief = {"point": case.point, "fault": case.fault, "kind": case.kind, "path": case.path, "at": at}
    return {**brief, "result": str(trial.result), "seconds": round(trial.seconds, 3)}


def properties(shard: Shard, shards: int) -> list[tuple[str, str]]:
    """Give what a JUnit file says of a shard's test."""
    counts = Counter(trial.result for trial in shard.trials)
    found = ", ".join(f"{counts[result]} {result}" for result in Result if counts[result])
    values = (
        f"{shard.workload}, shard {shard.number + 1} of {shards}",
        f"{shard.cases} at {shard.points} points" + (f", for {shard.alike} more like them" if shard.alike else ""),
        found or "nothing was tried",
        str(shard.left),
    )
    return list(zip(PROPERTIES, values, strict=True))


def explain(shard: Shard) -> str:
    """Say of one shard what failed in it: each cause once, with the command that replays it."""
    parts = []
    for (check, _), members in _red(shard.trials):
        first = members[0]
        detail = first.broken[0][1] if first.broken else ""
        part = [f"{check}: {len(members)} of {len(shard.trials)} runs of this shard", *detail.splitlines()[:30]]
        part += [f"case: {trial.case.id}" for trial in members[:MOST_NAMED]]
        if len(members) > MOST_NAMED:
            part.append(f"… and {len(members) - MOST_NAMED} more")
        part += [f"{enough(trial.least)}: {trial.least}" for trial in members[:1] if trial.least]
        if first.again is False:
            part.append("it did not fail in the same way when it was tried once more")
        if first.failure:
            part.append(f"replay: sh {first.failure}/replay.sh")
        parts.append("\n".join(part))
    return visible("\n\n".join(parts))
