"""Of sweeps every form of the report says the same, and what is true; shards of one sweep become one, others do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import sweep_samples
from report_page import Page, words
from report_samples import HOSTILE, check, report, scenario
from report_schema import validate
from sweep_samples import failure, sweep, trial

from pytest_ocap.report import badge, html, markdown, stored, summary, sweeps
from pytest_ocap.report.__main__ import DONE, main
from pytest_ocap.report.picture import CAUSES, MOST_LANES, OTHERS, Scale, by_call_and_fault, draw, replay

SAMPLES = {"green": sweep_samples.green(), "red": sweep_samples.red(), "mixed": sweep_samples.mixed()}


@pytest.fixture(params=list(SAMPLES))
def data(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give each sample."""
    return SAMPLES[request.param]


def nothing(**more: Any) -> dict[str, Any]:
    """Give a sweep in which no fault struck."""
    return sweep(trial("start:write:a#1", "kill", "not-reached"), workload="start", recovery_entered=0, **more)


# --- places ----------------------------------------------------------------------------------------------------------


def test_samples_are_of_the_published_form(data: dict[str, Any]) -> None:
    validate(report(sweeps=[data]))


def test_a_point_has_the_gravest_of_its_results_and_says_during_what_it_is_reached() -> None:
    found = {place["point"].partition(":")[2]: place for place in SAMPLES["mixed"]["places"]}
    assert {name: place["worst"] for name, place in found.items()} == {
        "sync:a#1": "failed",
        "open:tmp*#2": "not-reached",
        "bind:.#1": "harness-broken",
        "rename:a#1": "passed",
        "unlink:a#1": "untried",
    }
    assert found["sync:a#1"]["within"] == ["start", "store"]
    assert found["open:tmp*#2"]["within"] == ["launch"]
    moments = [place["at"] for place in SAMPLES["mixed"]["places"]]
    assert moments == sorted(moments)


def test_a_moment_of_another_recording_lies_as_far_along_the_same_step() -> None:
    slow = [{**step, "at": 2 * step["at"], "until": 2 * step["until"] + 1} for step in sweep_samples.STEPS]
    steps = sweep_samples.STEPS
    assert sweeps.brought_onto(steps, slow, 0.9) == pytest.approx(0.2), "half of a start that took 1.8 s"
    assert sweeps.brought_onto(steps, steps, 0.123) == 0.123
    assert sweeps.brought_onto(steps, slow[:-1], 0.9) == 0.9, "where clients asked for something else, it stays"
    assert sweeps.brought_onto(steps, slow, None) is None
    after = sweeps.brought_onto(steps, slow, 2.5)
    assert after == pytest.approx(0.6 + 0.3), "after the last step it lies as long after it"


def test_moments_keep_their_order_on_another_time_line() -> None:
    slow = [{**step, "at": 3 * step["at"] + 0.1, "until": 3 * step["until"] + 0.1} for step in sweep_samples.STEPS]
    brought = [sweeps.brought_onto(sweep_samples.STEPS, slow, number / 50) for number in range(120)]
    moments = [moment for moment in brought if moment is not None]
    assert len(moments) == len(brought)
    assert moments == sorted(moments)


# --- the picture -----------------------------------------------------------------------------------------------------


def test_every_point_has_one_mark_in_the_lane_of_its_path(data: dict[str, Any]) -> None:
    picture = draw(data)
    assert picture is not None
    marks = [mark for found in picture.marks.values() for mark in found]
    assert sorted(mark.place["point"] for mark in marks) == sorted(place["point"] for place in data["places"])
    for worst, found in picture.marks.items():
        assert {mark.place["worst"] for mark in found} <= {worst}
    for lane in picture.lanes:
        inside = [mark for mark in marks if lane.top < mark.top < lane.top + 33]
        assert {mark.place["path"] for mark in inside} == {lane.title}
        assert sum(lane.worsts.values()) == len(inside)
    assert all(0 <= mark.left <= 100 for mark in marks)
    in_order = [mark.place["at"] for mark in sorted(marks, key=lambda mark: mark.left)]
    assert in_order == sorted(in_order)


def test_a_short_step_in_which_much_is_done_is_drawn_wider_than_its_time() -> None:
    scale = Scale([0.401 + number / 10_000 for number in range(100)], sweep_samples.STEPS)
    start, launch = (scale.percent(end) - scale.percent(begin) for begin, end in ((0.0, 0.4), (0.4, 0.42)))
    assert launch > start > 0, "a thirtieth of the time, and all of the points"
    assert (scale.percent(0.0), scale.percent(0.6)) == (1, 99)


def test_points_of_which_nobody_knows_when_stand_beside_each_other_and_the_page_says_so() -> None:
    found = [trial(f"start:phase:{phase}", "kill", at=None) for phase in ("lock", "store", "listen")]
    found = [entry | {"path": entry["point"].rpartition(":")[2]} for entry in found]
    untimed = sweep(*found, steps=[])
    picture = draw(untimed)
    assert picture is not None
    assert not picture.timed
    assert [lane.title for lane in picture.lanes] == ["phase lock", "phase store", "phase listen"]
    assert [mark.left for mark in picture.marks["passed"]] == pytest.approx([100 / 6, 50, 500 / 6])
    text = html.render(report(sweeps=[untimed]))
    assert "Nobody knows when each is reached" in text
    assert "along the workload" not in text


def test_paths_beyond_the_most_that_have_lanes_share_the_last() -> None:
    found = [trial(f"start:open:f{number}#1", "kill", at=number / 1000) for number in range(60)]
    picture = draw(sweep(*found))
    assert picture is not None
    assert len(picture.lanes) == MOST_LANES
    assert (picture.lanes[-1].title, picture.lanes[-1].worsts["passed"]) == (OTHERS, 60 - MOST_LANES + 1)


def test_a_sweep_without_points_has_no_picture() -> None:
    empty = sweep()
    assert draw(empty) is None
    assert "nothing was measured" in html.render(report(sweeps=[empty]))


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_shows_each_sweep_with_its_verdict_counts_and_bound(data: dict[str, Any]) -> None:
    page = Page(html.render(report(sweeps=[data])))
    ((attrs, text),) = page.find("article", "sweep")
    said = words(text)
    assert attrs["data-verdict"] == data["verdict"]
    assert sweeps.counts_line(data) in said
    assert f"{data['bound']}." in said
    assert len(page.find("use")) == len(data["places"]) + len(page.find("svg", "shape"))
    for group in data["failures"]:
        assert group["check"] in said
        assert words(group["message"]) in said
        assert words(group["detail"]) in said
        assert f"{group['requires']}." in said
        assert replay(group["cases"][0]) in said
    assert not page.find("article", "run")
    assert "No scenario was run" not in html.render(report(sweeps=[data]))


@pytest.mark.parametrize(
    ("again", "told"),
    [(2, "2 cases, of which each failed again"), (1, "of which 1 failed again"), (0, "of which none failed again")],
)
def test_of_a_cause_it_is_told_how_often_it_came_again(again: int, told: str) -> None:
    bad = ("session:write:a#1=kill", "session:write:a#2=kill")
    cause = failure("recovers", "no", *bad, again=again)
    found = sweep(*(trial(name.partition("=")[0], "kill", "failed") for name in bad), failures=[cause])
    ((_, text),) = Page(html.render(report(sweeps=[found]))).find("li", "cause")
    assert told in words(text)


def test_what_broke_the_harness_was_not_tried_once_more() -> None:
    causes = [words(text) for _, text in Page(html.render(report(sweeps=[SAMPLES["mixed"]]))).find("li", "cause")]
    assert [" once more" in text for text in causes] == [True, False]


def test_each_point_that_did_not_pass_is_listed_with_its_faults_and_the_check() -> None:
    page = Page(html.render(report(sweeps=[SAMPLES["mixed"]])))
    rows = {str(attrs["data-point"]): words(text) for attrs, text in page.find("tr") if "data-point" in attrs}
    assert list(rows) == ["session:sync:a#1", "session:bind:.#1", "session:open:tmp*#2"]
    assert "failed kill (recovers) beside 1 passed" in rows["session:sync:a#1"]
    assert "the harness broke hang (harness)" in rows["session:bind:.#1"]
    assert rows["session:open:tmp*#2"].endswith("0.410 slaunch? not reached kill beside 1 passed")


def test_the_table_by_call_and_fault_counts_every_case_once(data: dict[str, Any]) -> None:
    table = by_call_and_fault(data)
    cells = [cell for row in table.rows.values() for cell in row.values()]
    assert sum(cell.total() for cell in cells) == data["tried"]
    assert sum(table.left.values()) == data["left"]
    for result, key in (("passed", "passed"), ("failed", "failed"), ("harness-broken", "harness_broken")):
        assert sum(cell[result] for cell in cells) == data[key]
    page = Page(html.render(report(sweeps=[data])))
    assert len(page.find("span", "count")) == sum(len(cell) for cell in cells) + 2 * bool(data["states"])


def test_states_of_the_disk_are_counted_by_what_was_lost_beside_how_far_they_were_searched() -> None:
    page = Page(html.render(report(sweeps=[SAMPLES["green"]])))
    ((_, table),) = page.find("table", "power")
    assert words(table) == "what was loststatesof them all lost3 3 passed torn3 3 passed"
    ((_, searched),) = page.find("p", "searched")
    assert "6 distinct crash states out of 40 losses (ext4-ordered, strict)" in searched


def test_of_many_recordings_each_is_told_how_far_it_was_searched() -> None:
    page = Page(html.render(report(sweeps=[sweep_samples.green(searched=["7 states", "8 states"])])))
    ((_, told),) = page.find("details", "searched")
    assert words(told).endswith("in each of 2 recordings of session 7 states 8 states")


def test_red_sweeps_come_first_and_the_first_of_them_is_open() -> None:
    page = Page(html.render(report(sweeps=[SAMPLES["green"], SAMPLES["red"], SAMPLES["mixed"]])))
    assert [attrs["data-verdict"] for attrs, _ in page.find("article", "sweep")] == ["failed", "failed", "passed"]
    opened = ["open" in attrs for tag, attrs, _ in page.elements if tag == "details"]
    assert opened[0] is True
    assert sum(opened) == 1


def test_what_daemons_and_paths_say_makes_no_element_and_ids_are_unique() -> None:
    point = "session:write:%3Cimg src=x%3E#1"
    hostile = sweep(
        trial(point, "kill", "failed") | {"path": HOSTILE, "kind": HOSTILE},
        failures=[failure(HOSTILE, HOSTILE, f"{point}=kill", HOSTILE, directory=f"/tmp/{HOSTILE}", least=HOSTILE)],
        notes=[HOSTILE], searched=[HOSTILE], does=HOSTILE, workload=HOSTILE,
    )  # fmt: skip
    text = html.render(report(sweeps=[hostile, hostile]))
    page = Page(text)
    assert not page.find("img")
    assert len(page.find("script")) == 2
    assert "\x1b" not in text
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in page.elements:
        target = attrs.get("href") or ""
        assert not target.startswith("#") or target[1:] in ids
        labels = [attrs.get(key) or "" for key in ("aria-labelledby", "aria-describedby")]
        assert set(" ".join(labels).split()) <= set(ids)


def test_a_page_without_sweeps_has_nothing_of_them() -> None:
    text = html.render(report(scenario("x", check("boots"))))
    assert "sweep" not in text.partition("<footer>")[0].lower()


def test_a_large_sweep_makes_a_page_of_less_than_two_megabytes_that_lists_what_did_not_pass() -> None:
    big = sweep_samples.large()
    assert (len(big["places"]), big["cases"]) == (3000, 25_000)
    text = html.render(report(sweeps=[big]))
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    troubled = {entry["point"] for entry in big["trials"] if entry["result"] != "passed"}
    assert {attrs["data-point"] for attrs, _ in page.find("tr") if "data-point" in attrs} == troubled
    assert f"… and {250 - CAUSES} more, which the JSON report names" in text
    ((_, embedded),) = [pair for pair in page.find("script") if pair[0].get("id") == "ocap-report"]
    (kept,) = json.loads(embedded)["sweeps"]
    assert [entry for entry in big["trials"] if entry["result"] != "passed"] == kept["trials"]
    assert kept == big | {"trials": kept["trials"]}


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("start:write:a#1=kill-after", "kill"),
        ("start:write:a#1=hang", "hang"),
        ("start:write:a#1=EIO+", "errno"),
        ("start:write:a#1=short", "errno"),
        ("start:write:a#1=slow=0.5", "slow"),
        ("start:write:a#1=powerloss~torn~0a1b", "powerloss"),
    ],
)
def test_a_failure_is_replayed_with_its_kind_of_fault(case: str, kind: str) -> None:
    assert replay(case) == f"pytest --pyargs pytest_ocap.sweeps --ocap-sweep {kind} --ocap-point '{case}'"


# --- the other forms -------------------------------------------------------------------------------------------------


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


# --- several made one ------------------------------------------------------------------------------------------------


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
