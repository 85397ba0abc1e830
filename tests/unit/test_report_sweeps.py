"""Of sweeps every form of the report says the same, and what is true."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import sweep_samples
from report_samples import check, report, scenario
from report_schema import validate
from sweep_samples import SAMPLES, sweep, trial

from pytest_ocap.report import badge, html, markdown, summary


@pytest.fixture(params=list(SAMPLES))
def data(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give each sample."""
    return SAMPLES[request.param]


def test_samples_are_of_the_published_form(data: dict[str, Any]) -> None:
    validate(report(sweeps=[data]))


def nothing(**more: Any) -> dict[str, Any]:
    """Give a sweep in which no fault struck."""
    return sweep(trial("start:write:a#1", "kill", "not-reached"), workload="start", recovery_entered=0, **more)


@pytest.mark.parametrize(
    ("swept", "outcome", "sentence", "message"),
    [
        (
            [sweep_samples.green()],
            "passed",
            "my-kernel 1.4.2 was swept: 18 faults struck, and it failed none of them.",
            "18 faults survived",
        ),
        (
            [sweep_samples.green(), sweep_samples.red()],
            "failed",
            "my-kernel 1.4.2 was swept: 39 faults struck, and it failed 3 of them.",
            "1 of 2 sweeps failed",
        ),
        (
            [sweep_samples.mixed()],
            "failed",
            (
                "my-kernel 1.4.2 was swept: 4 faults struck, and it failed 1 of them; the harness broke in 1; "
                "1 was not reached; 4 were left untried."
            ),
            "1 of 1 sweep failed",
        ),
        (
            [nothing()],
            "failed",
            "my-kernel 1.4.2 was swept, and no fault struck: nothing was measured; 1 was not reached.",
            "1 of 1 sweep failed",
        ),
        (
            [sweep(shards={"run": 1, "of": 9, "numbers": [3]})],
            "nothing measured",
            "my-kernel 1.4.2 was swept, and no fault struck: nothing was measured.",
            "nothing measured",
        ),
    ],
    ids=["green", "red", "mixed", "nothing", "empty shard"],
)
def test_the_sentence_and_the_badge_of_a_run_that_only_swept(
    swept: list[dict[str, Any]], outcome: str, sentence: str, message: str
) -> None:
    data = report(sweeps=swept)
    assert (summary.outcome(data), summary.sentence(data)) == (outcome, sentence)
    answer = json.loads(badge.render(data, ".json"))
    assert (answer["message"], answer["isError"]) == (message, outcome == "failed")
    image = ET.fromstring(badge.render(data, ".svg"))
    assert image.get("aria-label") == f"ocap 2026.2: {message}"


def test_beside_scenarios_both_are_told() -> None:
    both = report(scenario("x", check("boots")), sweeps=[sweep_samples.green()])
    assert json.loads(badge.render(both, ".json"))["message"] == "1 passed, 18 faults survived"
    assert summary.sentence(both).endswith("of edition 2026.2. my-kernel 1.4.2 was swept: 18 faults struck, and it "
                                           "failed none of them.")  # fmt: skip
    red = report(scenario("x", check("boots", "failed")), sweeps=[sweep_samples.red()])
    assert json.loads(badge.render(red, ".json"))["message"] == "1 of 1 failed, 1 of 1 sweep failed"
    assert "Skip to the runs" in html.render(both)


def test_markdown_has_a_sentence_on_each_sweep_and_its_causes() -> None:
    lines = markdown.render(report(sweeps=[SAMPLES["green"], sweep_samples.red(workload="restore")])).splitlines()
    assert lines[0].startswith("❌ **ocap: failed.** my-kernel 1.4.2 was swept: 39 faults struck")
    assert lines[2:] == [
        "- Sweep of `restore`: failed. 7 points, 21 cases, 21 fired: 18 passed, 3 failed.",
        (
            "  - `state-kept` in 2 cases, first `session:write:store.sqlite-wal#4=kill`: "
            "`s# answered #, and should have answered #`"
        ),
        (
            "  - `failure-legible` in 1 case, first `session:write:store.sqlite-wal#6=EIO+`: "
            "`s# answered #, and should have answered #`"
        ),
        "- Sweep of `session`: passed. 6 points, 18 cases, 18 fired: 18 passed, 0 failed; 6 disk states.",
    ]
