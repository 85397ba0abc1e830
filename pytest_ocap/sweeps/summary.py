"""What a whole sweep comes to: counts, the bound in words, groups of failures.

Invariant: everything is made from shards, in whatever order and from whatever processes they came; every form of the
report says it in these words.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_ocap.sweeps.failures import grouped
from pytest_ocap.sweeps.trial import Result
from pytest_ocap.sweeps.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_ocap.sweeps.options import Wishes
    from pytest_ocap.sweeps.running import Shard
    from pytest_ocap.sweeps.trial import Trial

MOST_NAMED = 20
"""How many points that were not reached are named in the terminal."""


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
    data: dict[str, Any] = {
        "workload": name,
        "does": WORKLOADS[name].does,
        "means": ", ".join(dict.fromkeys(shard.means for shard in shards)),
        "kinds": [kind for kind in wishes.kinds if kind in offered],
        "not_offered": [kind for kind in wishes.kinds if kind not in offered],
        "points": sum(shard.points for shard in shards),
        "cases": sum(shard.cases for shard in shards),
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
        "rate": round(tried / seconds, 3) if seconds and tried else None,
        "floor": round(sum(shard.floor for shard in shards) / len(shards), 3),
        "shards": {"run": len(shards), "of": wishes.shards},
        "notes": list(dict.fromkeys(note for shard in shards for note in shard.notes)),
        "failures": [_group(check, message, members) for (check, message), members in _red(trials)],
        "trials": [_brief(trial) for trial in trials],
    }
    data["verdict"] = _verdict(data)
    # A few shards alone may have no case at all; a sweep as a whole, or one with cases, has to have measured something.
    measurable = data["cases"] or data["shards"]["run"] == data["shards"]["of"]
    data["red"] = data["verdict"] != "passed" and bool(data["failed"] or data["harness_broken"] or measurable)
    data["bound"] = bound(data, shards[0].points_are)
    return data


def _verdict(data: Mapping[str, Any]) -> str:
    if data["failed"]:
        return "failed"
    if data["harness_broken"]:
        return "harness-broken"
    return "passed" if data["fired"] else "not-measured"


def _red(trials: Sequence[Trial]) -> list[tuple[tuple[str, str], list[Trial]]]:
    return grouped(trial for trial in trials if trial.result in (Result.FAILED, Result.HARNESS_BROKEN))


def _group(check: str, message: str, members: Sequence[Trial]) -> dict[str, Any]:
    kept = next((trial for trial in members if trial.failure), None)
    return {
        "check": check,
        "message": message,
        "cases": [trial.case.id for trial in members],
        "again": sum(trial.again is not False for trial in members),
        "least": next((trial.least for trial in members if trial.least), None),
        "directory": None if kept is None else kept.failure,
    }


def _brief(trial: Trial) -> dict[str, Any]:
    case = trial.case
    brief = {"point": case.point, "fault": case.fault, "kind": case.kind, "path": case.path, "at": case.at}
    return {**brief, "result": str(trial.result), "seconds": round(trial.seconds, 3)}


def bound(data: Mapping[str, Any], points_are: str) -> str:
    """Say in words how far the sweep went, and how far it did not."""
    text = (
        f"{', '.join(data['kinds']) or 'nothing'} at {data['points']} points of the workload {data['workload']!r} "
        f"({data['does']}); points are {points_are}; one fault in a run"
    )
    if data["left"]:
        text += f"; {data['left']} of {data['cases']} cases were left, since the time was up"
    if data["shards"]["run"] < data["shards"]["of"]:
        text += f"; {data['shards']['run']} of {data['shards']['of']} shards were run"
    if data["not_offered"]:
        text += f"; {', '.join(data['not_offered'])}: no point at which the means {data['means']} can make that happen"
    return text


def lines(data: Mapping[str, Any]) -> list[str]:
    """Say of one workload's sweep what came of it, line by line."""
    found = [
        f"{data['workload']}: {data['points']} points, {data['cases']} cases, {data['fired']} fired: "
        f"{data['passed']} passed, {data['failed']} failed"
        + (f", {data['harness_broken']} broke the harness" if data["harness_broken"] else "")
        + (f", {len(data['not_reached'])} not reached" if data["not_reached"] else "")
        + (f", {data['left']} left" if data["left"] else "")
        + (f"; {data['taken_over']} known from before" if data["taken_over"] else "")
        + (f"; {data['states']} disk states" if data["states"] else ""),
        f"  bound: {data['bound']}",
    ]
    if data["rate"]:
        found.append(
            f"  {data['rate']:.2f} runs a second on each core; an unharmed run with its judging takes "
            f"{data['floor']:.2f} s"
        )
    if data["audits"]:
        counts = ", ".join(f"{count} {word}" for word, count in data["audits"].items())
        found.append(f"  the daemon's own check of its home: {counts}")
    if data["fired"] and not data["recovery_entered"]:
        found.append("  recovery was never entered: no start found anything that a clean stop does not leave")
    if not data["fired"]:
        found.append("  nothing was measured: no fault struck")
    names = data["not_reached"]
    found += [f"  not reached: {name}" for name in names[:MOST_NAMED]]
    if len(names) > MOST_NAMED:
        found.append(f"  not reached: … and {len(names) - MOST_NAMED} more, which the JSON report names")
    found += [f"  note: {note}" for note in data["notes"]]
    for group in data["failures"]:
        found.append(f"  FAILED {group['check']} ({len(group['cases'])}): {group['message']}")
        found.append(f"    first: {group['cases'][0]}")
        if group["least"]:
            found.append(f"    one fault is enough: {group['least']}")
        if group["directory"]:
            found.append(f"    replay: sh {group['directory']}/replay.sh")
    return found


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
        part += [f"one fault is enough: {trial.least}" for trial in members[:1] if trial.least]
        if first.again is False:
            part.append("it did not fail in the same way when it was tried once more")
        if first.failure:
            part.append(f"replay: sh {first.failure}/replay.sh")
        parts.append("\n".join(part))
    return "\n\n".join(parts)
