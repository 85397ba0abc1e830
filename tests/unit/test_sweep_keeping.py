"""What the oracles on what has to be there make of a daemon that cannot say what there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from pytest_ocap.driver import FULL, QUARANTINED, Capability, Listed, Outcome, Subcluster
from pytest_ocap.examination import Examination
from pytest_ocap.sweeps.keeping import judge_keeping
from pytest_ocap.sweeps.ledger import Expectation
from pytest_ocap.verdict import Finding

if TYPE_CHECKING:
    from pytest_ocap.driver import KernelDriver

ONE = Subcluster("s1", "root1", Path("c1.bundle"), "file:///c1.bundle")
TWO = Subcluster("s2", "root2", Path("c2.bundle"), "file:///c2.bundle")
FAILED = Outcome(False, "internal error: KeyError: 'count'", 0.0)


class Listing:
    """A driver that lists what it is told to, and each of whose subclusters answers."""

    supports = dict.fromkeys((Capability.LAUNCH, Capability.LIST, Capability.PROBE), FULL)

    def __init__(self, *entries: Listed) -> None:
        self.outcome = Outcome(True, "listed", 0.0, list(entries)) if entries else FAILED
        self.probed: list[str] = []

    def list(self, _home: Path, *, timeout: float) -> Outcome:
        assert timeout > 0
        return self.outcome

    def probe(self, _home: Path, about: Subcluster, *, timeout: float) -> Outcome:
        self.probed.append(about.id)
        refused = any(entry.id == about.id and entry.state == QUARANTINED for entry in self.outcome.value or ())
        return Outcome(not refused and about.id == "s1", "answered", timeout, self.probed.count(about.id))

    def repair(self, _home: Path, about: Subcluster, *, timeout: float) -> Outcome:
        return Outcome(True, f"repaired {about.id}", timeout)


def judged(driver: Listing, expectation: Expectation, *checks: str) -> Examination:
    examination = Examination()
    examination.expect(*checks)
    judge_keeping(examination, cast("KernelDriver", driver), Path("h"), expectation)
    assert tuple(examination.checks) == checks
    return examination


def failed(examination: Examination) -> set[str]:
    return {name for name, check in examination.checks.items() if check.verdict is Finding.FAILED}


LISTED = ("kept", "nothing-half-there", "set-aside")


@pytest.mark.parametrize("expectation", [Expectation(), Expectation(unknown_launches=1)], ids=["none", "maybe one"])
def test_a_list_that_fails_is_no_empty_list(expectation: Expectation) -> None:
    examination = judged(Listing(), expectation, *LISTED)
    assert failed(examination) == set(LISTED)
    assert all("KeyError: 'count'" in check.detail for check in examination.checks.values())


def test_what_was_removed_or_is_to_be_mended_is_not_found_out_without_a_list() -> None:
    expectation = Expectation((ONE,), {"s1": (0, 0)}, returned=frozenset({"s1"}), removed=(TWO,))
    examination = judged(Listing(), expectation, *LISTED, "mended", "stays-removed")
    assert failed(examination) == {*LISTED, "mended", "stays-removed"}
    assert all("KeyError: 'count'" in check.detail for check in examination.checks.values())


def test_what_asks_for_nothing_of_a_list_is_not_charged_with_its_failure() -> None:
    examination = judged(Listing(), Expectation(), *LISTED, "mended", "stays-removed")
    assert failed(examination) == set(LISTED)


def test_whoever_must_answer_is_asked_without_a_list_too() -> None:
    driver = Listing()
    expectation = Expectation((ONE, TWO), {"s1": (0, 0), "s2": (0, 0)}, bad=frozenset({"s2"}))
    examination = judged(driver, expectation, *LISTED, "healthy-answer", "state-kept")
    assert failed(examination) == set(LISTED)
    assert set(driver.probed) == {"s1"}


def test_a_list_is_judged_by_what_it_has() -> None:
    expectation = Expectation((ONE, TWO), {"s1": (0, 0), "s2": (0, 0)}, bad=frozenset({"s2"}))
    whole = Listing(Listed("s1", "running", ""), Listed("s2", QUARANTINED, "its bundle is gone"))
    assert failed(judged(whole, expectation, *LISTED, "healthy-answer")) == set()
    assert failed(judged(Listing(Listed("s1", QUARANTINED, "")), expectation, *LISTED)) == {"kept", "set-aside"}
