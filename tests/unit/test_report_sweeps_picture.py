"""The picture of a sweep: each point has its place along the workload, and its mark in the lane of its path."""

from __future__ import annotations

from typing import Any

import pytest
import sweep_samples
from report_samples import report
from sweep_samples import SAMPLES, sweep, trial

from pytest_ocap.report import html, sweeps
from pytest_ocap.report.picture import MOST_LANES, OTHERS, Scale, draw


@pytest.fixture(params=list(SAMPLES))
def data(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give each sample."""
    return SAMPLES[request.param]


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
