"""Reports that were written before: read, checked, and several made one.

Invariant: whatever is given back has every key of schema 1, so that older reports can be shown by newer releases; what
is no such report is refused with its file's name.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ocap.report import sweeps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA = 1

_REPORT: dict[str, Any] = {"edition": "", "pinned": None, "run": {}}
_SCENARIO = {"edition": None, "new": False, "declared": None, "nodeid": "", "timeline": ()}
_CALL = {"asked": "", "times": 1, "timed_out": False, "status": None, "code": None}
_EVIDENCE = {"expected": "", "at": None, "cut": (), "client": (), "log": (), "processes": (), "files": ()}


class StoredReportError(Exception):
    """A file is no report that can be shown, or reports do not belong together; the message names the files."""


def read(path: str) -> dict[str, Any]:
    """Read a report from its JSON file.

    Raises:
        StoredReportError: It cannot be read, or is no report of schema 1.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise StoredReportError(f"{path}: {error}") from error
    try:
        if data["schema"] != SCHEMA:
            raise StoredReportError(f"{path}: a report of schema {data['schema']!r}; this release knows {SCHEMA}")
        return completed(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise StoredReportError(f"{path}: no report that --ocap-report wrote ({error!r})") from error


def completed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give a report with every key that it may lack.

    Raises:
        KeyError, TypeError, AttributeError: It lacks one that every report has, or is of another form.
    """
    _ = data["driver"]["name"], data["driver"]["version"]
    whole = _filled(data, _REPORT) | {"scenarios": [_completed_scenario(scenario) for scenario in data["scenarios"]]}
    if "sweeps" in data:
        whole["sweeps"] = [sweeps.completed(sweep) for sweep in data["sweeps"]]
    return whole


def _completed_scenario(scenario: Mapping[str, Any]) -> dict[str, Any]:
    _ = scenario["seconds"]
    red = scenario["verdict"] not in ("passed", "unsupported")
    checks = [_completed_check(check) for check in scenario["checks"]]
    return _filled(scenario, {"scenario": str(scenario["id"]).partition("[")[0], "red": red, **_SCENARIO}) | {
        "checks": checks
    }


def _completed_check(check: Mapping[str, Any]) -> dict[str, Any]:
    _ = check["id"], check["verdict"], check["detail"]
    evidence = check.get("evidence")
    if evidence is not None:
        evidence = _filled(evidence, _EVIDENCE)
        evidence["client"] = [_filled(call, _CALL) for call in evidence["client"]]
    return {**check, "evidence": evidence}


def _filled(data: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {**data, **{key: value for key, value in defaults.items() if key not in data}}


def merged(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Make one report of those that parts of a run wrote; of a sweep's shards, one sweep.

    Args:
        reports: Each by the name of its file, for messages.

    Raises:
        StoredReportError: They are about different daemons or editions.
    """
    (first_path, first), *others = reports.items()
    for path, other in others:
        for key in ("driver", "edition", "pinned"):
            if other[key] != first[key]:
                raise StoredReportError(
                    f"{path} and {first_path} do not belong together: {key} {_words(other[key])} there, "
                    f"{_words(first[key])} here"
                )
    if not others:
        return dict(first)
    scenarios = [scenario for report in reports.values() for scenario in report["scenarios"]]
    whole = {**first, "run": _run([report["run"] for report in reports.values()])}
    if "summary" in first:
        totals = dict.fromkeys(first["summary"], 0)
        for report in reports.values():
            for key, number in report.get("summary", {}).items():
                totals[key] = totals.get(key, 0) + number
        whole["summary"] = totals
    if any("sweeps" in report for report in reports.values()):
        whole["sweeps"] = sweeps.joined(sweep for report in reports.values() for sweep in report.get("sweeps", ()))
    return {**whole, "scenarios": sorted(scenarios, key=lambda scenario: str(scenario["id"]))}


def _words(value: Any) -> str:
    return f"{value['name']} {value['version']}" if isinstance(value, dict) else str(value)


def _run(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join what was said of each part: from the first start to the last end, and whatever differs side by side."""
    whole: dict[str, Any] = {}
    for key in dict.fromkeys(key for run in runs for key in run):
        whole[key] = ", ".join(dict.fromkeys(str(run[key]) for run in runs if key in run))
    spans = [(run["started"], float(run["seconds"])) for run in runs if "started" in run and "seconds" in run]
    if spans:
        begun = [dt.datetime.fromisoformat(started) for started, _ in spans]
        ended = [start + dt.timedelta(seconds=spent) for start, (_, spent) in zip(begun, spans, strict=True)]
        whole["started"] = min(spans, key=lambda span: dt.datetime.fromisoformat(span[0]))[0]
        whole["seconds"] = round((max(ended) - min(begun)).total_seconds(), 3)
    return whole
