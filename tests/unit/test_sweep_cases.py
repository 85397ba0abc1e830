"""Cases are dealt and ordered by their names alone; ledgers say what has to be there; results outlive a sweep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from little_driver import LittleDriver

from pytest_ocap.driver import Capability, Outcome, Subcluster
from pytest_ocap.drivers.kernel import KernelDriver
from pytest_ocap.examination import Examination
from pytest_ocap.persisted import PersistedStore
from pytest_ocap.sweeps import options, oracles
from pytest_ocap.sweeps.cases import Case, shard_of
from pytest_ocap.sweeps.failures import grouped, skeleton
from pytest_ocap.sweeps.kinds import KINDS
from pytest_ocap.sweeps.ledger import Fate, Ledger, Operation, fate_of
from pytest_ocap.sweeps.options import MEANS, Wishes
from pytest_ocap.sweeps.promises import ORACLES, Normal, Strike, normal_of, promised
from pytest_ocap.sweeps.results import Results, forget
from pytest_ocap.sweeps.running import Allowance, Shard, named
from pytest_ocap.sweeps.summary import as_data
from pytest_ocap.sweeps.trial import Result, Trial
from pytest_ocap.sweeps.workloads import WORKLOADS
from pytest_ocap.verdict import Finding

ONE = Subcluster("s1", "root1", Path("c1.bundle"), "file:///c1.bundle")
TWO = Subcluster("s2", "root2", Path("c2.bundle"), "file:///c2.bundle")


def case(ordinal: int = 1, fault: str = "kill", sweep: str = "kill", path: str = "store") -> Case:
    return Case("start", f"start:write:{path}#{ordinal}", fault, sweep, kind="write", path=path)


def operation(verb: str, fate: Fate, *, about: Subcluster | None = None, began: float = 0.0) -> Operation:
    return Operation(verb, "c1", began, began + 1.0, Outcome(fate is Fate.DONE, "said so", 1.0), fate, about)


def ledger(*operations: Operation) -> Ledger:
    return Ledger(PersistedStore(Path("h"), (ONE,), {"s1": 5}), operations=list(operations))


def trial(result: Result = Result.PASSED, detail: str = "", **changes: Any) -> Trial:
    broken = (("recovers", detail),) if detail else ()
    return replace(Trial(case(), result, 1.0, broken=broken), **changes)


def test_every_point_belongs_to_exactly_one_shard_whatever_else_there_is() -> None:
    points = [f"start:write:kernel.sqlite#{number}" for number in range(200)]
    dealt = [shard_of(point, 7) for point in points]
    assert set(dealt) == set(range(7))
    assert [shard_of(point, 7) for point in reversed(points)] == dealt[::-1]
    assert shard_of("start:write:kernel.sqlite#3", 16) == 4, "a sweep that was stopped goes on with the same shards"


def test_what_was_acknowledged_is_expected_and_what_was_refused_is_not() -> None:
    expected = ledger(
        operation("probe", Fate.DONE, about=ONE),
        operation("probe", Fate.REFUSED, about=ONE),
        operation("launch", Fate.DONE, about=TWO),
        operation("probe", Fate.DONE, about=TWO),
    ).expectation()
    assert expected.subclusters == (ONE, TWO)
    assert expected.answers == {"s1": (6, 6), "s2": (1, 1)}
    assert expected.unknown_launches == 0


def test_an_operation_whose_outcome_nobody_was_told_may_have_happened_or_not() -> None:
    expected = ledger(operation("probe", Fate.UNKNOWN, about=ONE), operation("launch", Fate.UNKNOWN)).expectation()
    assert expected.answers == {"s1": (5, 6)}
    assert (expected.subclusters, expected.unknown_launches) == ((ONE,), 1)


@pytest.mark.parametrize("verb", ["prune", "terminate"])
def test_one_that_was_removed_is_gone_or_there_or_either_as_its_client_was_told(verb: str) -> None:
    done = ledger(operation(verb, Fate.DONE, about=ONE)).expectation()
    assert (done.subclusters, done.removed, done.doubtful) == ((), (ONE,), frozenset())
    unknown = ledger(operation(verb, Fate.UNKNOWN, about=ONE)).expectation()
    assert (unknown.subclusters, unknown.removed, unknown.doubtful) == ((ONE,), (), frozenset({"s1"}))
    refused = ledger(operation(verb, Fate.REFUSED, about=ONE)).expectation()
    assert (refused.subclusters, refused.removed, refused.spared) == ((ONE,), (), frozenset({"s1"}))


def test_one_whose_bundle_is_back_may_be_set_aside_until_a_repair_was_acknowledged(tmp_path: Path) -> None:
    there = replace(ONE, bundle=tmp_path / "c1.bundle")
    store = PersistedStore(Path("h"), (there,), {"s1": 5})
    repaired = Ledger(store, frozenset({"s1"}), [operation("repair", Fate.DONE, about=there)])
    asked = Ledger(store, frozenset({"s1"}), [operation("repair", Fate.UNKNOWN, about=there)])
    assert (asked.expectation().bad, asked.expectation().returned) == (frozenset({"s1"}), frozenset())
    there.bundle.touch()
    assert (asked.expectation().bad, asked.expectation().returned) == (frozenset(), frozenset({"s1"}))
    assert (repaired.expectation().bad, repaired.expectation().returned) == (frozenset(), frozenset())


def test_a_ledger_at_a_moment_knows_nothing_of_what_came_after_it() -> None:
    whole = ledger(
        operation("probe", Fate.DONE, about=ONE, began=0.0),
        operation("launch", Fate.DONE, about=TWO, began=2.0),
        operation("probe", Fate.DONE, about=ONE, began=4.0),
    )
    assert whole.before(1.5).expectation().answers == {"s1": (6, 6)}
    under_way = whole.before(2.5).expectation()
    assert (under_way.subclusters, under_way.unknown_launches) == ((ONE,), 1)
    assert whole.before(4.5).expectation().answers == {"s1": (6, 7), "s2": (0, 0)}
    assert whole.before(9.0).expectation() == whole.expectation()


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (Outcome(True, "ok", 0.1), Fate.DONE),
        (Outcome(False, "disk full", 0.1, code="disk-full"), Fate.REFUSED),
        (Outcome(False, "disk full", 0.1, {"data": {"queued": False}}, code="disk-full"), Fate.REFUSED),
        (Outcome(False, "it is kept", 0.1, {"data": {"queued": True}}, code="disk-full"), Fate.UNKNOWN),
        (Outcome(False, "who knows", 0.1, {"data": {"undecided": True}}, code="disk-full"), Fate.UNKNOWN),
        (Outcome(False, "something", 0.1, code="internal-error"), Fate.UNKNOWN),
        (Outcome(False, "connection closed", 0.1), Fate.UNKNOWN),
        (Outcome(False, "no answer", 0.1, code="disk-full", timed_out=True), Fate.UNKNOWN),
    ],
)
def test_only_a_typed_error_of_the_daemon_itself_is_a_refusal(outcome: Outcome, fate: Fate) -> None:
    assert fate_of(LittleDriver(), outcome) is fate


def test_without_codes_no_failure_is_a_refusal() -> None:
    driver = LittleDriver()
    del driver.supports[Capability.ERROR_CODES]
    assert fate_of(driver, Outcome(False, "no", 0.1, code="disk-full")) is Fate.UNKNOWN


def test_a_client_that_had_to_be_ended_while_the_daemon_stood_still_is_not_asked_why_it_failed() -> None:
    waited = Operation("probe", "c1", 0.0, 1.0, Outcome(False, "", 1.0, timed_out=True), Fate.UNKNOWN, ONE)
    mute = replace(waited, outcome=Outcome(False, "", 1.0))
    found = {}
    for name, failed in (("waited", waited), ("mute", mute)):
        examination = Examination(ORACLES)
        examination.expect("client-ends", "failure-legible")
        oracles._judge_clients(examination, LittleDriver(), ledger(failed), Strike(hang=True))
        found[name] = [check.verdict for check in examination.conclude()[1]]
    assert found == {"waited": [Finding.PASSED, Finding.PASSED], "mute": [Finding.PASSED, Finding.FAILED]}


def test_files_that_an_unharmed_run_leaves_are_no_strangers_whatever_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "log.2").touch()
    (tmp_path / "store.tmp").touch()
    normal = Normal(frozenset({"log.1", "store"}))
    assert normal.strangers(tmp_path) == ["store.tmp"]
    assert normal.lacking(tmp_path) == ["store"]


@pytest.mark.parametrize(
    "names",
    [
        ("550e8400-e29b-41d4-a716-446655440000", "c0ffee00-abcd-4bcd-8bcd-ffffffffffff"),
        ("3f786850e387550fdab836ed7e6dc881de23001b", "89e6c98d92887913cadf06b2adb97f26cde4849b"),
        ("tmpq4x_81ab", "tmpzz00aa_b"),
        ("run-4711", "run-12"),
        ("snap999", "snap1000"),
        ("550e8400-e29b-41d4-a716-446655440000.1", "c0ffee00-abcd-4bcd-8bcd-ffffffffffff.2"),
    ],
)
def test_files_whose_names_every_run_makes_anew_are_no_strangers(names: tuple[str, str], tmp_path: Path) -> None:
    for run, name in enumerate(names):
        (tmp_path / str(run) / "vats" / name).mkdir(parents=True)
        (tmp_path / str(run) / "vats" / name / "state.json").touch()
    normal = normal_of(tmp_path / "0")
    assert normal.strangers(tmp_path / "1") == []
    assert normal.lacking(tmp_path / "1") == []
    (tmp_path / "1" / "vats" / names[1] / "state.json.new").touch()
    assert normal.strangers(tmp_path / "1") == [f"vats/{names[1]}/state.json.new"]


def test_a_daemon_that_can_only_be_started_stopped_and_pinged_has_its_oracles() -> None:
    driver = LittleDriver()
    driver.supports.clear()
    assert WORKLOADS["start"].needs <= driver.supports.keys()
    assert set(promised(driver, Strike())) == {
        "client-ends",
        "failure-legible",
        "nothing-wedged",
        "recovers",
        "not-database-is-locked",
        "ping",
        "stops",
        "nothing-left",
        "no-file-left",
    }


def test_every_oracle_is_promised_for_some_strike_and_has_its_sentence() -> None:
    driver = KernelDriver()
    strikes = (Strike(harmless=True), Strike(lasting=True), Strike(hang=True), None)
    every = {oracle for strike in strikes for oracle in promised(driver, strike, Normal(keeps_log=True))}
    assert every == set(ORACLES)
    assert all(len(sentence.split()) > 3 for sentence in ORACLES.values())


def test_of_a_log_that_is_emptied_in_peace_nothing_is_promised() -> None:
    driver = KernelDriver()
    for normal, kept in ((None, False), (Normal(), False), (Normal(keeps_log=True), True)):
        assert ("log-kept" in promised(driver, None, normal)) is kept


def test_a_name_means_a_point_or_a_case_and_a_delay_of_any_length() -> None:
    cases = [case(1), case(1, "slow=0.2", "slow"), case(2, "slow=0.2", "slow"), case(2, "EIO", "errno")]
    assert named("start:write:store#1", cases) == cases[:2]
    assert named("start:write:store#2=EIO", cases) == [cases[3]]
    assert named("start:write:store#2=slow=4", cases) == [replace(cases[2], fault="slow=4")]
    assert named("start:write:store#2=kill", cases) == []


def test_of_several_cases_in_one_run_the_kinds_of_all_are_those_of_the_one_and_no_power_cut_is_among_them() -> None:
    cut = replace(case(1, "powerloss~all-lost~0", "powerloss"), point="start:write:store#4")
    cases = [case(1), case(2, "slow=0.2", "slow"), case(3, "EIO+", "errno"), cut]
    (both,) = named("start:write:store#2=slow=4&start:write:store#1=kill&start:write:store#3=EIO+", cases)
    assert both.id == "start:write:store#2=slow=4&start:write:store#1=kill&start:write:store#3=EIO+"
    assert both.kinds == ("slow", "kill", "errno")
    assert case(1).kinds == ("kill",)
    assert named("start:write:store#1=kill&start:write:store#4", cases) == []


def test_results_are_known_to_the_next_process_but_for_what_failed(tmp_path: Path) -> None:
    driver = LittleDriver()
    results = Results(str(tmp_path), driver, "seccomp", "gw0")
    passed, failed = trial(), trial(Result.FAILED, "no", case=case(2))
    unreached = trial(Result.NOT_REACHED, case=case(3))
    for found in (passed, failed, unreached):
        results.add(found)
    known = Results(str(tmp_path), driver, "seccomp", "gw1").known("start", KINDS)
    assert known == {found.case.id: found for found in (passed, unreached)}


def test_a_line_that_was_cut_by_a_kill_is_tried_again_and_hurts_nothing(tmp_path: Path) -> None:
    driver = LittleDriver()
    results = Results(str(tmp_path), driver, "seccomp", "main")
    results.add(trial())
    (file,) = tmp_path.rglob("*.jsonl")
    with file.open("a") as cut:
        cut.write('{"case": {"workload"')
    assert list(Results(str(tmp_path), driver, "seccomp", "main").known("start", KINDS)) == ["start:write:store#1=kill"]


def test_what_a_finished_sweep_knew_is_forgotten_and_another_workloads_is_not(tmp_path: Path) -> None:
    driver = LittleDriver()
    results = Results(str(tmp_path), driver, "seccomp", "main")
    other = trial(case=replace(case(), workload="session"))
    results.add(trial())
    results.add(other)
    forget(str(tmp_path), driver, ["start"], KINDS, ["seccomp"])
    assert (results.known("start", KINDS), list(results.known("session", KINDS))) == ({}, [other.case.id])


def test_what_is_known_of_one_build_is_not_known_of_another_and_is_forgotten_with_it(tmp_path: Path) -> None:
    class Built(LittleDriver):
        build = "one"

    one, two = Built(), Built()
    two.build = "two"
    Results(str(tmp_path), one, "seccomp", "main").add(trial())
    assert list(Results(str(tmp_path), one, "seccomp", "main").known("start", KINDS)) == [trial().case.id]
    assert Results(str(tmp_path), two, "seccomp", "main").known("start", KINDS) == {}
    forget(str(tmp_path), two, ["start"], KINDS, None)
    assert Results(str(tmp_path), one, "seccomp", "main").known("start", KINDS) == {}


def test_what_was_found_out_by_one_means_is_not_known_to_another_and_not_forgotten_with_it(tmp_path: Path) -> None:
    driver = LittleDriver()
    means = {name: Results(str(tmp_path), driver, name, "main") for name in MEANS}
    means["seccomp"].add(trial())
    means["phases"].add(trial())
    forget(str(tmp_path), driver, ["start"], KINDS, ["phases"])
    assert {name: len(results.known("start", KINDS)) for name, results in means.items()} == {
        "seccomp": 1,
        "phases": 0,
        "strace": 0,
    }
    forget(str(tmp_path), driver, ["start"], KINDS, None)
    assert means["seccomp"].known("start", KINDS) == {}


def test_causes_are_the_same_when_the_same_check_failed_with_messages_that_read_alike() -> None:
    assert skeleton("s1 answered 3\nmore") == skeleton("s2 answered 14")
    assert skeleton("/tmp/ocapgw0-0a1b2c/h/sock is gone") == skeleton("/tmp/ocapgw1-ffffff/h/sock is gone")
    groups = grouped(
        [trial(Result.FAILED, "pid 4 is left"), trial(Result.FAILED, "no"), trial(Result.FAILED, "pid 7 is left")]
    )
    assert [(check, message, len(members)) for (check, message), members in groups] == [
        ("recovers", "pid # is left", 2),
        ("recovers", "no", 1),
    ]


def test_what_one_shard_leaves_of_its_time_is_the_next_ones() -> None:
    allowance = Allowance(10.0)
    first = allowance.next()
    assert first is not None
    assert allowance.next() == first + 10.0
    assert not allowance.over(first)
    allowance.clock.advance(10.0)
    assert allowance.over(first)
    assert not Allowance(None).over(Allowance(None).next())


def shard(*trials: Trial, left: int = 0) -> Shard:
    return Shard("start", 0, "phases", "phases", ("kill",), (), 3, 3, trials, 0, left, 0.5, 2.0)


def test_a_sweep_in_which_no_fault_struck_is_red_and_one_without_recovery_says_so(wishes: Wishes) -> None:
    from pytest_ocap.report.sweeps import lines

    (nothing,) = as_data([shard(trial(Result.NOT_REACHED))], wishes)
    assert (nothing["verdict"], nothing["red"]) == ("not-measured", True)
    assert any("nothing was measured" in line for line in lines(nothing))
    (green,) = as_data([shard(trial(), left=2)], wishes)
    assert (green["verdict"], green["red"], green["left"]) == ("passed", False, 2)
    assert any("recovery was never entered" in line for line in lines(green))
    assert "2 of 3 cases were left" in green["bound"]
    assert "hang: no point at which" in green["bound"]
    (entered,) = as_data([shard(trial(entered=("pid",)))], wishes)
    assert not any("never entered" in line for line in lines(entered))


def test_an_audit_that_could_not_be_made_is_counted_and_held_against_nobody(wishes: Wishes) -> None:
    from pytest_ocap.report.sweeps import lines

    trials = (trial(audit="sound"), trial(audit="not-made", case=case(2)), trial(case=case(3)))
    (data,) = as_data([shard(*trials)], wishes)
    assert (data["verdict"], data["audits"]) == ("passed", {"not-made": 1, "sound": 1})
    assert "  the daemon's own check of its home: 1 not-made, 1 sound" in lines(data)


def test_a_shard_survives_its_journey_as_data() -> None:
    found = shard(trial(), trial(Result.FAILED, "it is gone", failure="/d", again=True))
    assert Shard.from_json(found.to_json()) == found


@pytest.fixture
def wishes() -> Wishes:
    return Wishes(("kill", "hang"), ("start",), None, None, None, 1, False, "failures", None)


def test_every_workload_can_be_asked_for_by_its_name() -> None:
    """The options are light and name the workloads without importing them."""
    assert tuple(WORKLOADS) == options.WORKLOADS
