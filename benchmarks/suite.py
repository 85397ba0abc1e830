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
        samples[f"suite -n {workers}"] = meter.sample
        samples[f"starts -n {workers}"] = Sample(_starts(report))
    return samples


def _run_suite(report: Path, workers: int) -> None:
    spread = ("-n", str(workers), "--dist", "worksteal")
    words = ("--pyargs", "pytest_ocap.suite", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *spread)
    options = ("--rootdir", os.fspath(report.parent), "--ocap-report", os.fspath(report))
    run(sys.executable, "-P", "-m", "pytest", *words, *options, output=report.with_suffix(".txt"))


def _starts(report: Path) -> float:
    """Give how long all starts that were made took together, as the report has them in its time lines."""
    scenarios = json.loads(report.read_text())["scenarios"]
    made: list[float] = [
        event["until"] - event["at"]
        for scenario in scenarios
        for event in scenario["timeline"]
        if event["lane"] == "client" and event["what"] == "start" and "until" in event
    ]
    if not made:
        raise FailedError("the suite has started no daemon")
    return sum(made)


BENCHMARK = Benchmark(
    "suite",
    (
        Row(8, "the suite, `-n 1`", "suite -n 1", "starts -n 1", "the starts in it, one after the other"),
        Row(8, "the suite, `-n 2`", "suite -n 2", "starts -n 2", "half the starts in it", share=0.5, at_most=1.3),
    ),
    measure,
    rounds=1,
)
