from __future__ import annotations

from typing import Any

import pytest

from kernel.capdata import CapData, encode
from kernel.vat import E, Exo, Presence
from kernel.vat.liveslots import Liveslots
from kernel.vat.references import enter_vat


class Root(Exo):
    async def coroutine(self) -> None: ...


def liveslots(entries: dict[str, CapData] | None = None) -> Liveslots:
    made = Liveslots(next_export=1, next_promise=1, baggage=entries or {}, log=lambda _level, _text: None)
    enter_vat(made)
    made.set_root(Root())
    return made


def changes(vat: Liveslots) -> list[list[Any]]:
    found: list[list[Any]] = vat.finish_crank()["syscalls"]
    return found


def test_what_is_put_in_is_told_at_the_end_of_the_crank() -> None:
    vat = liveslots()
    vat.baggage["count"] = 1
    vat.baggage["peer"] = Presence("o-4", "Alleged: Peer")
    assert changes(vat) == [
        ["baggageSet", "count", {"body": "#1", "slots": []}],
        ["baggageSet", "peer", {"body": '#"$0.Alleged: Peer"', "slots": ["o-4"]}],
    ]
    assert changes(vat) == []


def test_only_the_last_of_several_changes_is_told() -> None:
    vat = liveslots()
    vat.baggage["count"] = 1
    vat.baggage["count"] = 2
    vat.baggage["gone"] = 1
    del vat.baggage["gone"]
    assert changes(vat) == [["baggageSet", "count", {"body": "#2", "slots": []}], ["baggageDelete", "gone"]]


def test_putting_in_what_is_there_already_changes_nothing() -> None:
    vat = liveslots({"count": encode(1)})
    vat.baggage["count"] = 1
    assert changes(vat) == []
    vat.baggage["count"] = True
    assert changes(vat) == [["baggageSet", "count", {"body": "#true", "slots": []}]]


def test_what_earlier_incarnations_left_is_there() -> None:
    vat = liveslots({"count": encode(7), "peer": CapData('#"$0.Alleged: Peer"', ("o-4",))})
    assert dict(vat.baggage) == {"count": 7, "peer": vat.baggage["peer"]}
    assert isinstance(vat.baggage["peer"], Presence)
    assert vat.baggage["peer"] is vat.baggage["peer"]
    assert "count" in vat.baggage
    assert len(vat.baggage) == 2
    assert repr(vat.baggage) == "<Baggage with 2 entries>"


def test_values_are_read_anew_so_a_change_counts_only_when_it_is_put_back() -> None:
    vat = liveslots({"list": encode([1])})
    vat.baggage["list"].append(2)
    assert vat.baggage["list"] == [1]
    vat.baggage["list"] = vat.baggage["list"] + [2]
    assert vat.baggage["list"] == [1, 2]


def test_the_root_can_be_kept_and_comes_back_as_itself() -> None:
    vat = liveslots()
    root = Root()
    vat.set_root(root)
    vat.baggage["self"] = {"root": root}
    assert vat.baggage["self"]["root"] is root
    assert changes(vat) == [["baggageSet", "self", {"body": '#{"root":"$0.Alleged: Root"}', "slots": ["o+0"]}]]


def test_a_missing_key_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        liveslots().baggage["nothing"]
    assert liveslots().baggage.get("nothing", 5) == 5


def test_what_would_not_survive_is_refused_in_words() -> None:
    vat = liveslots()
    with pytest.raises(TypeError, match=r"baggage\['x'\]\[0\] is a Root of this vat, which will not survive a restart"):
        vat.baggage["x"] = [Root()]
    promise = E(Presence("o-1", None)).get()
    with pytest.raises(TypeError, match=r"baggage\['x'\] is a promise, which will not survive"):
        vat.baggage["x"] = promise
    coroutine = Root().coroutine()
    with pytest.raises(TypeError, match=r"baggage\['x'\] is a promise, which will not survive"):
        vat.baggage["x"] = coroutine
    coroutine.close()
    with pytest.raises(TypeError, match=r"baggage\['x'\] is of type object, which cannot be passed"):
        vat.baggage["x"] = object()
    with pytest.raises(TypeError, match="keys of the baggage are str, not int"):
        vat.baggage[1] = 1  # type: ignore[index]  # what is tried
    with pytest.raises(TypeError, match="has a lone surrogate"):
        vat.baggage["\ud800"] = 1
    assert "x" not in vat.baggage
    assert [name for name, *_ in changes(vat)] == ["send", "subscribe"]


def test_what_a_delivery_puts_in_is_bounded() -> None:
    vat = Liveslots(next_export=1, next_promise=1, baggage={}, log=lambda _level, _text: None, crank_bytes=1000)
    with pytest.raises(TypeError, match="would make this delivery send more than 1000 bytes"):
        vat.baggage["x"] = "x" * 1000
    assert changes(vat) == []
