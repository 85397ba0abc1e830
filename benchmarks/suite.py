"""The conformance suite on the bundled kernel, beside the starts of daemons that its scenarios consist of."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from benchmarks.measuring import FailedError, Meter, run
from benchmarks.table import Benchmark, Row, Sample

if TYPE_CHECKING:
    from pathlib import Path


def measure(place: Path) -> dict[str, Sample]:
    """Run the suite in one process, then in two."""
    samples = {}
    for workers in (1, 2):
        report = place / f"report-{workers}.json"
        with Meter() as meter:
            _run_suite(report, workers)
        verbs = _verbs(report)
        samples[f"suite -n {workers}"] = meter.sample
        samples[f"starts -n {workers}"] = Sample(sum(seconds for verb, seconds in verbs if verb == "start"))
        samples[f"verbs -n {workers}"] = Sample(sum(seconds for _verb, seconds in verbs))
    return samples


def _run_suite(report: Path, workers: int) -> None:
    spread = ("-n", str(workers), "--dist", "worksteal")
    words = ("--pyargs", "pytest_ocap.suite", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *spread)
    options = ("--rootdir", os.fspath(report.parent), "--ocap-report", os.fspath(report))
    run(sys.executable, "-P", "-m", "pytest", *words, *options, output=report.with_suffix(".txt"))


def _verbs(report: Path) -> list[tuple[str, float]]:
    """Give what was asked of daemons, and how long each took, as the report has it in its time lines."""
    scenarios = json.loads(report.read_text())["scenarios"]
    made: list[tuple[str, float]] = [
        (event["what"], event["until"] - event["at"])
        for scenario in scenarios
        for event in scenario["timeline"]
        if event["lane"] == "client" and "until" in event
    ]
    if not any(verb == "start" for verb, _seconds in made):
        raise FailedError("the suite has started no daemon")
    return made


BENCHMARK = Benchmark(
    "suite",
    (
        Row(8, "the suite, `-n 1`", "suite -n 1", "starts -n 1", "the starts in it"),
        Row(8, "the suite, `-n 1`, beside all verbs", "suite -n 1", "verbs -n 1", "all verbs in it"),
        Row(8, "the suite, `-n 2`", "suite -n 2", "starts -n 2", "half the starts in it", share=0.5, at_most=1.3),
        Row(8, "the suite, `-n 2`, beside all verbs", "suite -n 2", "verbs -n 2", "half of all verbs in it", share=0.5),
    ),
    measure,
    rounds=1,
)
