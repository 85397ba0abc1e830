"""What a ledger expects of objects that were revoked, or might have been, and what the oracle makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from pytest_ocap.driver import FULL, Capability, Outcome, Subcluster
from pytest_ocap.examination import Examination
from pytest_ocap.persisted import PersistedStore
from pytest_ocap.sweeps.keeping import judge_keeping
from pytest_ocap.sweeps.ledger import Fate, Ledger, Operation
from pytest_ocap.sweeps.promises import promised
from pytest_ocap.verdict import Finding

if TYPE_CHECKING:
    from pytest_ocap.driver import KernelDriver

ONE = Subcluster("s1", "root1", Path("c1.bundle"), "file:///c1.bundle")
CHECK = "revocation-kept"


def operation(verb: str, fate: Fate = Fate.DONE, value: object = None, began: float = 0.0) -> Operation:
    return Operation(verb, "c1", began, began + 1.0, Outcome(fate is Fate.DONE, "said so", 1.0, value), fate, ONE)


LAUNCHED = operation("launch_linked")


def ledger(*operations: Operation) -> Ledger:
    return Ledger(PersistedStore(Path("h"), ()), operations=[LAUNCHED, *operations])


@pytest.mark.parametrize(
    ("operations", "uses"),
    [
        ((), {True}),
        ((operation("revoke"),), {False}),
        ((operation("revoke", Fate.REFUSED),), {True}),
        ((operation("revoke", Fate.UNKNOWN),), {True, False}),
        ((operation("revoke", Fate.UNKNOWN), operation("use", value=False)), {False}),
        ((operation("revoke", Fate.UNKNOWN), operation("use", value=True)), {True, False}),
        ((operation("revoke"), operation("revoke", Fate.UNKNOWN)), {False}),
    ],
)
def test_a_revocation_holds_or_has_not_been_or_may_be_either(
    operations: tuple[Operation, ...], uses: set[bool]
) -> None:
    expectation = ledger(*operations).expectation()
    assert expectation.uses == {"s1": uses}
    assert expectation.misused == ()


@pytest.mark.parametrize(
    "operations",
    [(operation("use", value=False),), (operation("revoke"), operation("use", value=True))],
    ids=["revoked unasked", "revoked in vain"],
)
def test_a_use_that_came_to_what_it_cannot_is_told(operations: tuple[Operation, ...]) -> None:
    assert len(ledger(*operations).expectation().misused) == 1


def test_a_revocation_that_was_under_way_when_the_power_was_cut_may_be_either() -> None:
    whole = ledger(operation("revoke", began=2.0), operation("use", value=False, began=4.0))
    assert [whole.before(moment).expectation().uses for moment in (1.5, 2.5, 3.5)] == [
        {"s1": {True}},
        {"s1": {True, False}},
        {"s1": {False}},
    ]


def test_nothing_is_expected_of_what_was_launched_by_nobody_s_knowledge_when_the_power_was_cut() -> None:
    whole = ledger(operation("revoke", began=2.0), operation("use", value=False, began=4.0))
    cut = whole.before(0.5).expectation()
    assert (cut.uses, cut.misused, cut.unknown_launches) == ({}, (), 1)


class Using:
    """A driver of which nothing but a use is asked, with what each comes to."""

    supports = dict.fromkeys((Capability.LAUNCH, Capability.PROBE, Capability.REVOKE), FULL)

    def __init__(self, value: bool | None) -> None:
        self.value = value

    def use(self, _home: Path, _about: Subcluster, *, timeout: float) -> Outcome:
        return Outcome(self.value is not None, "said so", timeout, self.value)


@pytest.mark.parametrize(
    ("operations", "value", "passes"),
    [
        ((operation("revoke"),), False, True),
        ((operation("revoke"),), True, False),
        ((operation("revoke"),), None, False),
        ((), True, True),
        ((), False, False),
        ((operation("revoke", Fate.UNKNOWN),), True, True),
        ((operation("revoke", Fate.UNKNOWN),), False, True),
        ((operation("use", value=False), operation("revoke")), False, False),
    ],
)
def test_the_oracle_uses_what_may_be_revoked(
    operations: tuple[Operation, ...], value: bool | None, passes: bool
) -> None:
    driver = cast("KernelDriver", Using(value))
    assert CHECK in promised(driver, None)
    examination = Examination()
    examination.expect(CHECK)
    judge_keeping(examination, driver, Path("h"), ledger(*operations).expectation())
    assert examination.checks[CHECK].verdict is (Finding.PASSED if passes else Finding.FAILED)
