"""Liveslots: messages to a vat's objects, references, and what bounds a delivery."""

from __future__ import annotations

from typing import Any

import pytest
from vatbench import RESULT, Cell, Vat, result, sent

from kernel.capdata import CapData, Slot, encode
from kernel.vat import E, Exo, Presence

PEER = Slot("o-1", "Alleged: Peer")


# --- messages ---------------------------------------------------------------------------------------------------------


class Greeter(Exo):
    def greet(self, name: str) -> str:
        return f"hello {name}"

    def fail(self) -> None:
        raise ValueError("no, word for word")

    def leave(self) -> None:
        raise SystemExit(3)

    def recurse(self) -> object:
        return self.recurse()

    def exhaust(self) -> int:
        return len(bytearray(1 << 62))

    def unpassable(self) -> object:
        return {"file": object()}


def test_a_method_answers() -> None:
    assert result(Vat(Greeter()).message("greet", "bob")) == "hello bob"


def test_a_message_without_result_is_delivered_and_answered_to_nobody() -> None:
    assert Vat(Greeter()).message("greet", "bob", result=None) == []


def test_an_exception_rejects_with_its_name_and_message_word_for_word() -> None:
    vat = Vat(Greeter())
    assert result(vat.message("fail")) == ("ValueError", "no, word for word")
    [(level, text)] = vat.logged
    assert level == "debug"
    assert text.startswith("Traceback")
    assert "vat/liveslots.py" not in text  # what the vat's author reads is about the vat


@pytest.mark.parametrize(
    ("method", "name"), [("leave", "SystemExit"), ("recurse", "RecursionError"), ("exhaust", "MemoryError")]
)
def test_whatever_a_method_raises_answers_the_message(method: str, name: str) -> None:
    vat = Vat(Greeter())
    answer = result(vat.message(method))
    assert isinstance(answer, tuple)
    assert answer[0] == name
    assert result(vat.message("greet", "bob")) == "hello bob"


def test_a_result_that_cannot_be_passed_is_a_rejection_that_names_the_place() -> None:
    answer = result(Vat(Greeter()).message("unpassable"))
    assert isinstance(answer, tuple)
    assert answer[0] == "TypeError"
    assert answer[1].startswith('the result["file"] is of type object, which cannot be passed')


def test_an_object_that_does_not_exist_any_more_is_a_typed_rejection() -> None:
    answer = result(Vat(Greeter()).message("greet", "bob", target="o+7"))
    assert answer == (
        "NotFoundError",
        "the object does not exist any more: it did not survive the restart of the vat",
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (CapData("#7", ()), "the arguments of greet() are not a list"),
        (CapData("#[", ()), "the arguments of greet() cannot be read"),
        (CapData('#["$0"]', ()), "the arguments of greet() cannot be read: arguments[0] names slot 0"),
    ],
)
def test_arguments_that_cannot_be_read_are_rejected_and_harm_nobody(args: CapData, message: str) -> None:
    vat = Vat(Greeter())
    vat.liveslots.deliver_message("o+0", "greet", args, RESULT)
    answer = result(vat.finish())
    assert isinstance(answer, tuple)
    assert answer[0] == "TypeError"
    assert answer[1].startswith(message)
    assert result(vat.message("greet", "bob")) == "hello bob"


# --- references -------------------------------------------------------------------------------------------------------


class Maker(Exo):
    def __init__(self) -> None:
        self.cell = Cell(7)
        self.seen: list[object] = []

    def make(self) -> Cell:
        return self.cell

    def see(self, thing: Any) -> bool:
        self.seen.append(thing)
        return thing is self.cell

    def me(self) -> Exo:
        return self


def test_an_exo_that_is_passed_becomes_an_export_and_can_be_called() -> None:
    vat = Vat(Maker())
    assert result(vat.message("make")) == Slot("o+1", "Alleged: Cell")
    assert result(vat.message("get", target="o+1")) == 7
    assert result(vat.message("make")) == Slot("o+1", "Alleged: Cell")


def test_an_own_export_comes_back_as_the_same_object() -> None:
    vat = Vat(Maker())
    vat.message("make")
    assert result(vat.message("see", Slot("o+1"))) is True


def test_the_root_is_export_zero() -> None:
    assert result(Vat(Maker()).message("me")) == Slot("o+0", "Alleged: Maker")


def test_a_reference_is_one_presence_for_the_whole_incarnation() -> None:
    maker = Maker()
    vat = Vat(maker)
    vat.message("see", Slot("o-1", "Alleged: Bank"))
    vat.message("see", Slot("o-1"))
    vat.message("see", Slot("o-2"))
    first, second, other = maker.seen
    assert isinstance(first, Presence)
    assert first is second
    assert first is not other
    assert repr(first) == "<Presence Alleged: Bank>"


def test_a_presence_has_no_methods_of_its_own_and_says_how_to_send() -> None:
    with pytest.raises(AttributeError, match=r"send with E\(\.\.\.\)\.balance\(\.\.\.\) and await"):
        Presence("o-1", "Alleged: Bank").balance()


def test_the_counters_are_handed_over_with_the_crank() -> None:
    vat = Vat(Maker())
    vat.liveslots.deliver_message("o+0", "make", encode([]), RESULT)
    done = vat.liveslots.finish_crank()
    assert done["nextExport"] == 2
    assert done["nextPromise"] == 1


# --- bounds -----------------------------------------------------------------------------------------------------------


class Flood(Exo):
    def __init__(self) -> None:
        self.sent = 0

    def flood(self, peer: Presence) -> None:
        while True:
            E(peer).take("x" * 1000)
            self.sent += 1

    def big(self, size: int) -> str:
        return '"' * size

    def small(self) -> int:
        return 1


def test_what_a_delivery_sends_is_bounded() -> None:
    flood = Flood()
    vat = Vat(flood, crank_bytes=10_000)
    syscalls = vat.message("flood", PEER)
    answer = result(syscalls)
    assert isinstance(answer, tuple)
    assert "would make this delivery send more than 10000 bytes" in answer[1]
    assert len(sent(syscalls)) == flood.sent < 10
    assert result(vat.message("small")) == 1


@pytest.mark.parametrize(("size", "fits"), [(2000, True), (4000, False)])
def test_a_result_counts_as_it_is_written_in_the_frame(size: int, fits: bool) -> None:
    answer = result(Vat(Flood(), crank_bytes=10_000).message("big", size))
    assert isinstance(answer, str) is fits
