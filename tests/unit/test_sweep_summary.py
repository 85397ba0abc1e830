"""What the report says of a sweep is made of its shards, wherever they were recorded."""

from __future__ import annotations

import json
from dataclasses import replace

from pytest_ocap.report import sweeps
from pytest_ocap.sweeps.cases import Case
from pytest_ocap.sweeps.course import Place, Step, places_of
from pytest_ocap.sweeps.options import Wishes
from pytest_ocap.sweeps.running import Shard
from pytest_ocap.sweeps.summary import as_data, properties
from pytest_ocap.sweeps.trial import Result, Trial

WISHES = Wishes(("kill", "powerloss"), ("start",), None, None, None, 2, False, "failures", None)


def case(ordinal: int, at: float, fault: str = "kill") -> Case:
    return Case("start", f"start:write:store#{ordinal}", fault, fault.partition("~")[0], "write", "store", at)


def trial(case: Case, result: Result = Result.PASSED) -> Trial:
    return Trial(case, result, 1.0, broken=(("recovers", "gone"),) if result is Result.FAILED else ())


def shard(number: int, *trials: Trial, pace: float = 1.0, left: int = 0) -> Shard:
    """Give a shard whose process took ``pace`` times as long for each step when it recorded the workload."""
    steps = (Step("client", "start", 0.0, 0.2 * pace), Step("client", "stop", 0.3 * pace, 0.4 * pace))
    places = places_of(entry.case for entry in trials)
    counts = len(places), len(trials) + left
    return Shard("start", number, "seccomp", "calls", ("kill",), (), *counts, trials, 0, left, 0.5, 2.0, places, steps)


def test_a_shard_survives_its_journey_as_data() -> None:
    found = shard(0, trial(case(1, 0.1)), trial(case(2, 0.2), Result.FAILED))
    found = replace(
        found, searched="7 states", alike=5, places=(*found.places, Place("start:bind:.#1", "bind", ".", None, 4))
    )
    assert Shard.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_points_of_shards_that_were_recorded_apart_stand_on_one_time_line() -> None:
    """A point with cuts of the power has many cases, which several shards may have: it is one point all the same."""
    cuts = [trial(case(1, at, f"powerloss~torn~{at}")) for at in (0.1, 0.3, 0.3001)]
    first = shard(0, cuts[0])
    other = shard(1, *cuts[1:], trial(case(2, 0.7)), pace=2.0)
    (data,) = as_data([other, first], WISHES)
    assert [(place["point"], place["at"], place["within"], place["results"]) for place in data["places"]] == [
        ("start:write:store#1", 0.1, ["start"], {"passed": 3}),
        ("start:write:store#2", 0.35, ["stop"], {"passed": 1}),
    ]
    assert (data["points"], data["cases"]) == (2, 4)
    assert {entry["at"] for entry in data["trials"]} == {0.1, 0.35}
    assert data["shards"] == {"run": 2, "of": 2, "numbers": [0, 1]}


def test_a_point_of_which_nothing_was_tried_has_its_place_too() -> None:
    tried = shard(0, trial(case(1, 0.1)), left=1)
    left = replace(tried, places=(*tried.places, *places_of([case(2, 0.31)])))
    (data,) = as_data([left], WISHES)
    assert [(place["at"], place["worst"], place["cases"]) for place in data["places"]] == [
        (0.1, "passed", 1),
        (0.31, "untried", 1),
    ]


def test_a_cause_has_what_its_first_case_found_what_was_required_and_how_many_came_again() -> None:
    found = [replace(trial(case(number, 0.1), Result.FAILED), again=again) for number, again in ((1, True), (2, False))]
    broken = replace(trial(case(3, 0.1), Result.HARNESS_BROKEN), broken=(("harness", "a\nb"),))
    (data,) = as_data([shard(0, *found, broken)], WISHES)
    failed, harness = data["failures"]
    assert (failed["check"], failed["detail"], failed["again"]) == ("recovers", "gone", 1)
    assert failed["requires"]
    assert (harness["check"], harness["requires"], harness["detail"], harness["again"]) == ("harness", "", "a\nb", 0)


def test_a_junit_file_says_of_a_shard_what_was_tried_and_found() -> None:
    found = shard(2, trial(case(1, 0.1)), trial(case(2, 0.2), Result.FAILED), left=1)
    assert properties(found, 16) == [
        ("ocap_sweep", "start, shard 3 of 16"),
        ("ocap_sweep_cases", "3 at 2 points"),
        ("ocap_sweep_found", "1 passed, 1 failed"),
        ("ocap_sweep_left", "1"),
    ]
    assert properties(shard(0), 1)[2] == ("ocap_sweep_found", "nothing was tried")
    some = replace(found, alike=7)
    assert properties(some, 16)[1] == ("ocap_sweep_cases", "3 at 2 points, for 7 more like them")


def test_how_many_cases_are_like_those_that_were_tried_is_counted_and_said_also_of_reports_made_one() -> None:
    both = [replace(shard(number, trial(case(number + 1, 0.1))), alike=number + 3) for number in range(2)]
    (whole,) = as_data(both, WISHES)
    assert whole["alike"] == 7
    assert "2 stand for 7 more, which --ocap-sweep-every tries too" in whole["bound"]
    parts = [as_data([each], WISHES)[0] for each in both]
    (joined,) = sweeps.joined(parts)
    assert (joined["alike"], joined["bound"]) == (7, whole["bound"])
    assert "stand for" not in as_data([shard(0, trial(case(1, 0.1)))], WISHES)[0]["bound"]
