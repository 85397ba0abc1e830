"""Reports of several runs become one: shards of one sweep are one sweep, and others stay beside each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sweep_samples
from report_page import Page
from report_samples import check, report, scenario
from report_schema import validate
from sweep_samples import failure, sweep, trial

from pytest_ocap.report import html, stored, sweeps
from pytest_ocap.report.__main__ import DONE, main


def shards() -> tuple[dict[str, Any], dict[str, Any]]:
    """Give two shards of one sweep: the second was swept by a process that took twice as long to record."""
    slow = [{**step, "at": 2 * step["at"], "until": 2 * step["until"]} for step in sweep_samples.STEPS]
    first = sweep(
        trial("session:write:a#1", "kill", "failed", 0.2), trial("session:sync:a#1", "powerloss~torn~01", at=0.3),
        shards={"run": 1, "of": 2, "numbers": [0]}, failures=[failure("recovers", "no", "session:write:a#1=kill")],
        audits={"sound": 1}, floor=1.0, searched=["one"],
    )  # fmt: skip
    second = sweep(
        trial("session:write:a#2", "kill", "failed", 0.5), trial("session:write:a#2", "EIO", at=0.5),
        trial("session:sync:a#1", "powerloss~torn~02", at=0.6), untried={"session:bind:s#1": 1}, steps=slow,
        shards={"run": 1, "of": 2, "numbers": [1]}, failures=[failure("recovers", "no", "session:write:a#2=kill")],
        audits={"sound": 2}, floor=2.0, searched=["two"],
    )  # fmt: skip
    return first, second


def test_shards_of_one_sweep_become_one(short_tmp: Path) -> None:
    paths = []
    for number, one in enumerate(shards()):
        paths.append(str(short_tmp / f"{number}.json"))
        Path(paths[-1]).write_text(json.dumps(report(sweeps=[one])))
    assert main([*paths, "--json", str(short_tmp / "whole.json")]) == DONE
    data = json.loads((short_tmp / "whole.json").read_text())
    validate(data)
    (whole,) = data["sweeps"]
    assert {key: whole[key] for key in ("cases", "tried", "left", "fired", "passed", "failed", "states")} == {
        "cases": 6, "tried": 5, "left": 1, "fired": 5, "passed": 3, "failed": 2, "states": 2,
    }  # fmt: skip
    assert whole["points"] == len(whole["places"]) == 4, "the point with power cuts in both counts once"
    assert [(place["point"], place["at"], place["cases"]) for place in whole["places"]] == [
        ("session:bind:s#1", 0.05, 1),
        ("session:write:a#1", 0.2, 1),
        ("session:write:a#2", 0.25, 2),
        ("session:sync:a#1", 0.3, 2),
    ]
    (cause,) = whole["failures"]
    assert (cause["cases"], cause["again"]) == (["session:write:a#1=kill", "session:write:a#2=kill"], 2)
    assert whole["shards"] == {"run": 2, "of": 2, "numbers": [0, 1]}
    assert (whole["floor"], whole["audits"], whole["searched"]) == (1.5, {"sound": 3}, ["one", "two"])
    assert "shards were run" not in whole["bound"]
    assert "1 of 6 cases were left" in whole["bound"]
    assert (whole["verdict"], whole["red"]) == ("failed", True)


def test_in_whatever_order_shards_come_they_make_the_same_counts() -> None:
    one, other = shards()
    both = [sweeps.joined([*pair])[0] for pair in ((one, other), (other, one))]
    for key in ("points", "cases", "fired", "failed", "left", "floor", "bound", "shards", "audits"):
        assert both[0][key] == both[1][key]


@pytest.mark.parametrize(
    "change",
    [
        {"shards": {"run": 1, "of": 2, "numbers": [0]}},
        {"shards": {"run": 1, "of": 2}},
        {"shards": {"run": 1, "of": 3, "numbers": [1]}},
        {"kinds": ["kill"]},
        {"workload": "start"},
    ],
    ids=["the same shard", "nobody knows which", "of another division", "other faults", "another workload"],
)
def test_what_may_have_the_same_cases_or_is_another_sweep_stays_beside_it(change: dict[str, Any]) -> None:
    one, other = shards()
    assert sweeps.joined([one, {**other, **change}]) == [one, {**other, **change}]


def test_a_report_of_scenarios_and_one_of_sweeps_are_one(short_tmp: Path) -> None:
    ran, swept = report(scenario("x", check("boots"))), report(sweeps=[sweep_samples.green()])
    whole = stored.merged({"1": ran, "2": swept})
    assert whole["sweeps"] == swept["sweeps"]
    assert len(whole["scenarios"]) == 1
    assert "sweeps" not in stored.merged({"1": ran, "2": ran})


def test_an_older_report_in_which_sweeps_had_no_places_is_shown(short_tmp: Path) -> None:
    old = sweep_samples.red()
    for key in ("places", "steps", "searched", "points_are", "audits"):
        del old[key]
    del old["shards"]["numbers"]
    old["failures"] = [
        {key: value for key, value in group.items() if key not in ("requires", "detail")} for group in old["failures"]
    ]
    path = short_tmp / "old.json"
    path.write_text(json.dumps(report(sweeps=[old])))
    (read,) = stored.read(str(path))["sweeps"]
    assert [place["worst"] for place in read["places"]].count("failed") == 2
    assert read["bound"] == old["bound"]
    assert len(Page(html.render(report(sweeps=[old]))).find("tr")) > 2
