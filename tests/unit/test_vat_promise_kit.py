"""Promises that vat code settles itself."""

from __future__ import annotations

import pytest
from vatbench import Vat, outcomes, sent

from kernel.capdata import Slot, encode
from kernel.vat import E, Exo, Promise, PromiseKit, references


class Keeper(Exo):
    def __init__(self) -> None:
        self.kit: PromiseKit

    def hold(self) -> Promise:
        self.kit = PromiseKit()
        return self.kit.promise

    def fulfil(self, value: object) -> None:
        self.kit.resolve(value)

    def refuse(self) -> None:
        self.kit.reject("not today")

    def refuse_with(self) -> None:
        self.kit.reject(KeyError("k"))

    def settle_thrice(self) -> None:
        self.kit.resolve(1)
        self.kit.resolve(2)
        self.kit.reject("three")

    def settle_with_itself(self) -> None:
        self.kit.resolve(self.kit.promise)

    def pass_on(self, peer: object) -> Promise:
        self.kit = PromiseKit()
        return E(peer).take(self.kit.promise)


def keeper(answer: str = "p-1") -> Vat:
    vat = Vat(Keeper())
    assert outcomes(vat.message("hold", result=answer)) == {}
    return vat


def test_an_answer_waits_until_the_promise_is_settled() -> None:
    vat = keeper()
    assert outcomes(vat.message("fulfil", 5, result="p-2")) == {"p-1": 5, "p-2": None}


def test_a_rejection_is_an_error_or_a_text_for_one() -> None:
    assert outcomes(keeper().message("refuse", result="p-2"))["p-1"] == ("Error", "not today")
    assert outcomes(keeper().message("refuse_with", result="p-2"))["p-1"] == ("KeyError", "'k'")


def test_the_first_settlement_counts() -> None:
    assert outcomes(keeper().message("settle_thrice", result="p-2"))["p-1"] == 1


def test_a_promise_cannot_become_itself() -> None:
    rejection = outcomes(keeper().message("settle_with_itself", result="p-2"))["p-1"]
    assert rejection == ("TypeError", "a promise cannot be resolved to itself")


def test_a_promise_that_was_passed_on_is_settled_by_its_name() -> None:
    vat = Vat(Keeper())
    vat.liveslots.deliver_message("o+0", "pass_on", encode([Slot("o-7")]), "p-1")
    ((_target, method, (promise,), _result),) = sent(vat.finish())
    assert method == "take"
    assert isinstance(promise, Slot)
    assert promise.id.startswith("p+")
    settled = outcomes(vat.message("fulfil", "late", result="p-2"))
    assert settled[promise.id] == "late"


def test_outside_of_a_vat_there_is_nobody_to_settle_for() -> None:
    inside, references._current = references._current, None
    try:
        with pytest.raises(RuntimeError, match="no vat is running"):
            PromiseKit()
    finally:
        references._current = inside
