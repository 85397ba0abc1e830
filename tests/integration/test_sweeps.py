"""Trials of single cases: what each kind of fault does to a careful daemon, and to a careless one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from little_driver import LittleDriver
from sweep_bench import Bench, bench

from pytest_ocap.sweeps.moments import Moments
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.trial import Result, Trial
from pytest_ocap.sweeps.witness import Witness
from pytest_ocap.sweeps.workloads import WORKLOADS
from pytest_ocap.verdict import HarnessBrokenError

LACKING = Supervisor().missing()
traces = pytest.mark.skipif(Witness().missing() is not None, reason=str(Witness().missing()))
intercepts = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


@pytest.fixture(scope="module")
def little() -> Iterator[Bench]:
    yield from bench(LittleDriver())


@pytest.fixture
def anew() -> Iterator[Bench]:
    """Give trials of a daemon that nothing is known of yet."""
    yield from bench(LittleDriver())


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Bench, Bench]]:
    """Give trials by the supervisor, and the same by strace."""
    yield from zip(bench(LittleDriver(), "seccomp"), bench(LittleDriver(), "strace"), strict=True)


def failed(trial: Trial) -> set[str]:
    return {check for check, _ in trial.broken}


@intercepts
@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("start:write:phase.new#2=kill", "kill"),
        ("start:rename:phase.new#1=kill-after", "kill"),
        ("start:lock:lock#1=hang", "hang"),
        ("start:open:pid#1=hang", "hang"),
        ("start:open:store.sqlite#1=EACCES", "errno"),
        ("start:accept:sock#1=EMFILE+", "errno"),
        ("start:close:lock#1=EIO", "errno"),
        ("start:write:store.sqlite-journal#1=short", "errno"),
        ("start:sync:store.sqlite#1=slow=0.3", "slow"),
        ("start:write:store.sqlite-journal#1=ENOSPC+", "errno"),
    ],
)
def test_a_careful_daemon_survives_whatever_the_fault_is(little: Bench, case: str, kind: str) -> None:
    trial = little.one(case, kind)
    assert (trial.result, trial.broken) == (Result.PASSED, ())
    assert case.rpartition("=")[2] in trial.proof


@intercepts
def test_a_fault_that_the_run_does_not_come_by_is_not_reached(little: Bench) -> None:
    beyond = replace(little.cases("start", "kill")[-1], point="start:write:phase.new#99")
    assert little.attempt(beyond).result is Result.NOT_REACHED


@intercepts
def test_of_several_faults_in_one_run_each_has_to_strike(little: Bench) -> None:
    alone = little.several("start:write:phase.new#2=kill", "start:accept:sock#1=EMFILE")
    assert (alone.result, alone.proof) == (Result.NOT_REACHED, "")
    both = little.several("start:open:phase.new#1=EINTR", "start:write:phase.new#2=kill")
    assert (both.result, both.broken) == (Result.PASSED, ())
    assert "EINTR struck" in both.proof
    assert "kill struck" in both.proof


@intercepts
def test_of_several_faults_in_one_run_a_hang_is_judged_as_one_wherever_it_stands(little: Bench) -> None:
    trial = little.several("start:write:phase.new#1=slow=0.01", "start:write:phase.new#2=hang")
    assert (trial.result, trial.broken) == (Result.PASSED, ())


def test_the_phases_of_a_start_are_no_points_for_several_faults_in_one_run() -> None:
    for there in bench(LittleDriver(), "phases"):
        trial = there.several("start:phase:lock=hang", "start:phase:store=kill")
        assert trial.result is Result.HARNESS_BROKEN
        assert "one fault in a run" in trial.broken[0][1]


@intercepts
def test_a_daemon_that_never_syncs_loses_what_it_acknowledged_when_the_power_is_cut(
    anew: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITTLE_DEFECT", "never-syncs")
    trial = anew.attempt(anew.cases("session", "powerloss")[0])
    assert trial.result is Result.FAILED
    assert "kept" in failed(trial)
    assert "lost: " in trial.proof


@intercepts
def test_half_a_launch_that_keeps_the_daemon_from_listing_what_it_has_is_noticed(
    little: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    little.cases("session", "kill")  # learned from the careful daemon
    monkeypatch.setenv("LITTLE_DEFECT", "launches-in-two-steps")
    trial = little.one("session:sync:store.sqlite-wal#5=kill", "kill")
    assert trial.result is Result.FAILED
    assert failed(trial) == {"kept", "nothing-half-there", "set-aside"}
    assert all("KeyError: 'count'" in detail for _, detail in trial.broken)


@intercepts
def test_a_daemon_that_syncs_keeps_what_it_acknowledged(little: Bench) -> None:
    cases = little.cases("session", "powerloss")
    assert len({case.id for case in cases}) == len(cases) > 100
    trials = [little.attempt(case) for case in cases[:3]]
    assert [(trial.result, trial.broken) for trial in trials] == [(Result.PASSED, ())] * 3
    assert all(trial.entered for trial in trials)


def test_a_daemon_that_stops_without_being_gone_is_no_ground_to_stand_on(
    anew: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITTLE_DEFECT", "aborts")
    with pytest.raises(HarnessBrokenError, match="nothing was done to the daemon, and yet restore stopped"):
        anew.trials.unharmed(WORKLOADS["restore"])


def test_where_no_system_call_can_be_intercepted_there_are_phases() -> None:
    for there in bench(LittleDriver(), "phases"):
        assert isinstance(there.trials.injector, Moments)
        assert [case.point for case in there.cases("start", "kill")] == [
            f"start:phase:{phase}" for phase in LittleDriver.phases
        ]
        trial = there.one("start:phase:store=kill", "kill")
        assert (trial.result, trial.broken) == (Result.PASSED, ())
        assert there.cases("start", "powerloss") == []


SHARED = [
    ("start:write:phase.new#2=kill", "kill", "", set()),
    ("start:write:phase.new#2=kill", "kill", "refuses-stale-pid", {"recovers"}),
    pytest.param("start:write:phase.new#2=hang", "hang", "silent-hang", {"hang-told"}, marks=pytest.mark.slow),
    ("start:write:store.sqlite#3=EIO", "errno", "", set()),
    ("start:sync:store.sqlite#1=slow=0.3", "slow", "", set()),
]
"""Cases that both means can make, at calls that no other thread makes as often; with a defect, and what it fails."""


@intercepts
@traces
@pytest.mark.parametrize(("case", "kind", "defect", "broken"), SHARED)
def test_the_two_means_come_to_the_same_outcome(
    both: tuple[Bench, Bench], case: str, kind: str, defect: str, broken: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for there in both:
        there.cases("start", kind)  # learned from the careful daemon
    monkeypatch.setenv("LITTLE_DEFECT", defect)
    one, other = (there.one(case, kind) for there in both)
    assert one.result is not Result.NOT_REACHED
    assert (one.result, failed(one)) == (other.result, failed(other)), (one, other)
    assert failed(one) == broken


@intercepts
@traces
def test_the_two_means_have_the_same_points_and_strace_says_what_it_cannot_make(both: tuple[Bench, Bench]) -> None:
    ours, theirs = ({case.id for case in there.cases("start", "errno")} for there in both)
    assert {name for name in ours if not name.endswith(("+", "=short")) and ":close:" not in name} == theirs
    notes = both[1].trials.injector.notes
    assert any("Linux closes a descriptor all the same" in note for note in notes)
    assert any("faults are no cases: strace cannot cut a write short" in note for note in notes)
    assert both[1].cases("start", "powerloss") == []


@intercepts
@traces
def test_a_fault_of_strace_s_that_struck_another_call_too_is_not_reached(both: tuple[Bench, Bench]) -> None:
    # Every process opens files: a thread's n-th is in each.
    assert both[1].one("start:open:lock#1=EIO", "errno").result is Result.NOT_REACHED
