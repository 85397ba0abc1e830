"""Trials of single cases: what each kind of fault does to a careful daemon, to a careless one, and to the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from little_driver import LittleDriver

from pytest_ocap.driver import KernelDriver
from pytest_ocap.drivers.kernel import driver as kernel
from pytest_ocap.homes import Homes
from pytest_ocap.persisted import Templates
from pytest_ocap.sweeps.cases import Case
from pytest_ocap.sweeps.choosing import cuts_for, injector_for
from pytest_ocap.sweeps.kinds import KINDS
from pytest_ocap.sweeps.moments import Moments
from pytest_ocap.sweeps.representatives import most_telling_first
from pytest_ocap.sweeps.running import named
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.trial import Result, Trial, Trials
from pytest_ocap.sweeps.witness import Witness
from pytest_ocap.sweeps.workloads import WORKLOADS
from pytest_ocap.verdict import HarnessBrokenError

LACKING = Supervisor().missing()
traces = pytest.mark.skipif(Witness().missing() is not None, reason=str(Witness().missing()))
intercepts = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


@dataclass
class Bench:
    """Trials on one driver, with what each workload's cases are."""

    trials: Trials
    known: dict[tuple[str, str], list[Case]]

    def cases(self, workload: str, kind: str) -> list[Case]:
        if (workload, kind) not in self.known:
            self.trials.unharmed(WORKLOADS[workload])
            self.known[workload, kind] = self.trials.cases(WORKLOADS[workload], [kind], asked=True)
        return self.known[workload, kind]

    def attempt(self, case: Case) -> Trial:
        return self.trials.attempt(WORKLOADS[case.workload], case)

    def one(self, text: str, kind: str) -> Trial:
        (case,) = named(text, self.cases(text.partition(":")[0], kind))
        return self.attempt(case)


def bench(driver: KernelDriver, means: str | None = None) -> Iterator[Bench]:
    homes = Homes("sweeps")
    trials = Trials(driver, homes, Templates(homes), injector_for(driver, means), cuts_for(means))
    yield Bench(trials, {})
    trials.close()
    homes.close()


@pytest.fixture
def little() -> Iterator[Bench]:
    yield from bench(LittleDriver())


@pytest.fixture(scope="module")
def ours() -> Iterator[Bench]:
    yield from bench(kernel)


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
def test_a_daemon_that_never_syncs_loses_what_it_acknowledged_when_the_power_is_cut(
    little: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITTLE_DEFECT", "never-syncs")
    trial = little.attempt(little.cases("session", "powerloss")[0])
    assert trial.result is Result.FAILED
    assert "kept" in failed(trial)
    assert "lost: " in trial.proof


@intercepts
def test_a_daemon_that_syncs_keeps_what_it_acknowledged(little: Bench) -> None:
    cases = little.cases("session", "powerloss")
    assert len({case.id for case in cases}) == len(cases) > 100
    trials = [little.attempt(case) for case in cases[:3]]
    assert [(trial.result, trial.broken) for trial in trials] == [(Result.PASSED, ())] * 3
    assert all(trial.entered for trial in trials)


def test_a_daemon_that_stops_without_being_gone_is_no_ground_to_stand_on(
    little: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITTLE_DEFECT", "aborts")
    with pytest.raises(HarnessBrokenError, match="nothing was done to the daemon, and yet restore stopped"):
        little.trials.unharmed(WORKLOADS["restore"])


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
    assert {name for name in ours if not name.endswith(("+", "=short"))} == theirs
    notes = both[1].trials.injector.notes
    assert any("faults are no cases: strace cannot cut a write short" in note for note in notes)
    assert both[1].cases("start", "powerloss") == []


@intercepts
@traces
def test_a_fault_of_strace_s_that_struck_another_call_too_is_not_reached(both: tuple[Bench, Bench]) -> None:
    # Every process opens files: a thread's n-th is in each.
    assert both[1].one("start:open:lock#1=EIO", "errno").result is Result.NOT_REACHED


SAMPLE = [
    ("restore:write:kernel.sqlite-wal#20=EIO+", "errno"),
    ("pin:write:bundles/*.bundle.tmp#1=EIO", "errno"),
    ("start:write:daemon.pid.tmp#1=short", "errno"),
    ("start:write:daemon.lock#1=short", "errno"),
    ("start:bind:daemon.sock#1=kill-after", "kill"),
    ("start:write:kernel.sqlite-journal#1=ENOSPC+", "errno"),
    ("start:write:daemon.lock#1=hang", "hang"),
    ("repair:write:kernel.sqlite-wal#9=kill", "kill"),
    ("prune:write:kernel.sqlite-wal#9=kill-after", "kill"),
    ("terminate:sync:kernel.sqlite-wal#3=EIO", "errno"),
    ("pin:rename:bundles/*.bundle.tmp#1=kill", "kill"),
    ("restart:unlink:daemon.pid#1=kill", "kill"),
    ("logs:rename:daemon.log#1=kill-after", "kill"),
    ("references:sync:kernel.sqlite-wal#9=kill-after", "kill"),
    ("garbage:sync:kernel.sqlite-wal#9=EIO", "errno"),
    ("revocation:write:kernel.sqlite-wal#40=kill", "kill"),
]
"""A few cases of each kind; the whole is ``pytest --pyargs pytest_ocap.sweeps --ocap-sweep all``."""


@intercepts
@pytest.mark.parametrize(("case", "kind"), SAMPLE)
def test_the_kernel_survives_a_sample(ours: Bench, case: str, kind: str) -> None:
    trial = ours.one(case, kind)
    assert (trial.result, trial.broken) == (Result.PASSED, ()), trial.broken


@intercepts
@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_survives_the_most_telling_of_each_kind(ours: Bench, workload: str, kind: str) -> None:
    telling = most_telling_first(ours.cases(workload, kind))[:12]
    trials = [ours.attempt(case) for case in telling]
    assert [trial for trial in trials if trial.result in (Result.FAILED, Result.HARNESS_BROKEN)] == []
    assert any(trial.result is Result.PASSED for trial in trials)
