"""Verdicts and examinations: passed means that everything promised was checked and held."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ocap.driver import Capability, Outcome
from pytest_ocap.examination import Examination, scenario
from pytest_ocap.verdict import NOT_REACHED, Check, Declared, Finding, HarnessBrokenError, UnsupportedError, Verdict

if TYPE_CHECKING:
    from pytest_ocap.driver import KernelDriver

HOME = Path("/nonexistent/h")


class Mute:
    """A driver without any capability; its verbs are not reached."""

    name = "mute"
    phases = ()
    supports = MappingProxyType({Capability.FETCH: "there is no network here"})


class Armed:
    """A fault that fires when told so, and remembers what was done with it."""

    id = "armed"

    def __init__(self, *, fires: bool = True, breaks: bool = False) -> None:
        self.done: list[str] = []
        self._fires = fires
        self._breaks = breaks

    def arrange(self) -> None:
        self.done.append("arranged")
        if self._breaks:
            raise UnsupportedError("not on this platform")

    def fired(self) -> str | None:
        return "seen" if self._fires else None

    def undo(self) -> None:
        self.done.append("undone")


def judge(body: Any, *needs: Capability) -> Verdict:
    driver: KernelDriver = Mute()  # type: ignore[assignment]  # what it lacks is not reached
    return scenario(*needs, edition="2026.1", checks={"one": "one holds", "two": "two holds"})(body)(driver, HOME)


def test_a_scenario_passes_when_every_promised_check_held() -> None:
    def body(examination: Examination, _driver: object, _home: Path) -> None:
        examination.expect("one", "two")
        assert examination.check("two", True, "fine")
        assert examination.check("one", True, "fine")

    verdict = judge(body)
    assert verdict.verdict is Finding.PASSED
    assert [check.id for check in verdict.checks] == ["one", "two"], "in the order in which they were promised"


def test_one_broken_check_fails_it_and_what_was_not_reached_is_no_pass() -> None:
    def body(examination: Examination, _driver: object, _home: Path) -> None:
        examination.expect("one", "two")
        examination.check("one", False, "broken\nwith evidence")

    verdict = judge(body)
    assert verdict.verdict is Finding.FAILED
    assert [check.verdict for check in verdict.checks] == [Finding.FAILED, Finding.NOT_MEASURED]
    assert verdict.explain().splitlines()[1:3] == ["  FAILED one: broken", "      with evidence"]


def test_a_promised_check_that_nobody_made_breaks_the_harness() -> None:
    verdict = judge(lambda examination, _driver, _home: examination.expect("one"))
    assert verdict.verdict is Finding.HARNESS_BROKEN


@pytest.mark.parametrize("promised", [(), ("one",)])
def test_a_check_is_made_once_and_only_when_promised(promised: tuple[str, ...]) -> None:
    def body(examination: Examination, _driver: object, _home: Path) -> None:
        examination.expect(*promised)
        for _ in range(2):
            examination.check("one", True, "")

    assert judge(body).verdict is Finding.HARNESS_BROKEN


def test_a_fault_that_does_not_fire_is_not_measured_and_undone() -> None:
    fault = Armed(fires=False)

    def body(examination: Examination, _driver: object, _home: Path) -> None:
        examination.expect("one")
        with examination.armed(fault):
            examination.check("one", True, "never reached")

    verdict = judge(body)
    assert verdict.verdict is Finding.NOT_MEASURED
    fired = verdict.checks[0]
    assert (fired.id, fired.verdict) == ("fired", Finding.NOT_MEASURED)
    assert fired.detail == "the fault 'armed' was arranged and did not fire"
    assert verdict.red
    assert fault.done == ["arranged", "undone"]


def test_a_fault_that_cannot_be_arranged_is_unsupported_and_those_before_it_are_undone() -> None:
    first, second = Armed(), Armed(breaks=True)

    def body(examination: Examination, _driver: object, _home: Path) -> None:
        with examination.armed(first, second):
            raise AssertionError

    verdict = judge(body)
    assert (verdict.verdict, verdict.checks[0].detail) == (Finding.UNSUPPORTED, "not on this platform")
    assert first.done == second.done == ["arranged", "undone"]


def test_a_lacking_capability_is_named_with_its_reason() -> None:
    def body(*_: object) -> None:
        raise AssertionError

    verdict = judge(body, Capability.FETCH, Capability.STORE)
    assert verdict.verdict is Finding.UNSUPPORTED
    assert verdict.checks[0].detail == "driver 'mute' lacks 'fetch' (there is no network here), 'store'"


@pytest.mark.parametrize("error", [HarnessBrokenError("no start"), ZeroDivisionError("the harness's own fault")])
def test_what_is_not_the_daemons_fault_is_not_held_against_it(error: Exception) -> None:
    def body(examination: Examination, _driver: object, _home: Path) -> None:
        examination.expect("one")
        raise error

    verdict = judge(body)
    assert verdict.verdict is Finding.HARNESS_BROKEN
    assert str(error) in verdict.checks[0].detail


def test_a_failed_check_outweighs_a_harness_that_broke_later() -> None:
    def body(examination: Examination, _driver: object, _home: Path) -> None:
        examination.expect("one")
        examination.check("one", False, "broken")
        raise HarnessBrokenError("and then it did not stop")

    assert judge(body).verdict is Finding.FAILED


ONE, TWO = Check("one", Finding.FAILED, "broken"), Check("two", Finding.NOT_MEASURED, NOT_REACHED)
BASELINE = Check("baseline", Finding.HARNESS_BROKEN, "and then it did not stop")
FIRED = Check("fired", Finding.NOT_MEASURED, "the fault did not fire")


@pytest.mark.parametrize(
    ("finding", "checks", "declared", "new", "red"),
    [
        (Finding.PASSED, (), (), False, False),
        (Finding.UNSUPPORTED, (Check("capability", Finding.UNSUPPORTED, ""),), (), False, False),
        (Finding.FAILED, (ONE, TWO), (), False, True),
        (Finding.FAILED, (ONE, TWO), ("one",), False, False),
        (Finding.FAILED, (ONE, TWO), ("two",), False, True),
        (Finding.FAILED, (ONE, BASELINE), ("one",), False, False),
        (Finding.FAILED, (ONE, Check("harness", Finding.HARNESS_BROKEN, "")), ("one",), False, True),
        (Finding.FAILED, (ONE,), (), True, False),
        (Finding.NOT_MEASURED, (FIRED, TWO), (), False, True),
        (Finding.NOT_MEASURED, (FIRED, TWO), ("fired",), False, False),
        (Finding.NOT_MEASURED, (FIRED, TWO), (), True, False),
        (Finding.HARNESS_BROKEN, (BASELINE, TWO), (), False, True),
        (Finding.HARNESS_BROKEN, (BASELINE, TWO), ("baseline",), False, True),
        (Finding.HARNESS_BROKEN, (TWO,), ("two",), False, True),
    ],
)
def test_what_fails_a_run(
    finding: Finding, checks: tuple[Check, ...], declared: tuple[str, ...], new: bool, red: bool
) -> None:
    known = Declared(dict.fromkeys(declared, "known"))
    assert Verdict("x", finding, 0.1, checks, new=new, declared=known).red is red


def test_a_declared_check_that_passed_after_all_fails_the_run_until_that_is_mended() -> None:
    assert Verdict("x", Finding.PASSED, 0.1, (), declared=Declared({"one": "known"}, mended=("one",))).red


def test_a_late_success_is_a_failure() -> None:
    examination = Examination()
    examination.expect("boots")
    assert not examination.outcome("boots", Outcome(True, "ready", seconds=3.0), within=2.0)
