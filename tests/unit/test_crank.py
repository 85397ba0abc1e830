"""Cranks: what a worker sends is checked name by name, and a frame that breaks the rules leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.engine.batch import Batch
from kernel.engine.crank import Crank
from kernel.engine.router import Call, Router
from kernel.engine.settlement import Settlement
from kernel.engine.translation import Translation
from kernel.errors import VatProtocolError
from kernel.events import NullLog
from kernel.loop import Loop
from kernel.refs import Kref
from kernel.store import Store


class World:
    """Two vats with their roots; the first knows the second's root as ``o-1`` and works on a message."""

    def __init__(self, directory: Path) -> None:
        self.loop = Loop()
        self.store = Store.open(str(directory / "kernel.sqlite"))
        self.batch = Batch(self.store, self.loop, NullLog())
        self.router = Router(self.store, self.batch, self.loop)
        with self.batch.unit():
            subcluster = self.store.subclusters.insert("{}", "now")
            self.vats = [self.store.vats.insert(subcluster, name) for name in ("one", "two")]
            self.roots = [self.store.references.insert_object(vat) for vat in self.vats]
            for vat, root in zip(self.vats, self.roots, strict=True):
                self.store.references.insert_entry(vat, "o+0", Kref("object", root))
            self.store.references.insert_entry(self.vats[0], "o-1", Kref("object", self.roots[1]))
            self.result = self.store.promises.insert()
            self.router.send(Kref("object", self.roots[0]), Call("go", "#[]", (), self.result))
        self.batch.commit()

    def apply(self, *syscalls: Any, **frame: Any) -> None:
        """Apply a frame with these system calls as the outcome of the first vat's message."""
        delivery = self.store.deliveries.first(self.vats[0])
        assert delivery is not None
        names = Translation(self.store, self.vats[0], 2)
        names.to_vat(Kref("promise", self.result))
        body = {"syscalls": list(syscalls), "nextExport": 1, "nextPromise": 1, **frame}
        with self.batch.unit():
            Crank(self.store, self.router, self.vats[0], delivery, names).apply(["done", body])
        self.batch.commit()

    def dump(self) -> list[str]:
        """Give all that the store holds."""
        return list(self.store.connection.iterdump())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()
    world.loop.close()


DATA = {"body": "#1", "slots": []}


def test_a_well_formed_crank_sends_resolves_and_keeps(world: World) -> None:
    world.apply(
        ["send", "o-1", "hello", {"body": '#["$0"]', "slots": ["o+1"]}, "p+1"],
        ["subscribe", "p+1"],
        ["baggageSet", "peer", {"body": '#"$0"', "slots": ["o-1"]}],
        ["resolve", [["p-2", False, DATA]]],
        nextExport=2,
        nextPromise=2,
    )
    promise = world.store.promises.get(world.result)
    assert promise is None, "it is answered, and nobody mentions it"
    sent = world.store.deliveries.first(world.vats[1])
    assert sent is not None
    assert (sent.method, sent.target) == ("hello", Kref("object", world.roots[1]))
    assert [item.key for item in world.store.baggage.all(world.vats[0])] == ["peer"]


BREACHES: dict[str, list[Any]] = {
    "an import that it was not given": [["send", "o-9", "hello", DATA, None]],
    "a promise that it was not given": [["subscribe", "p-9"]],
    "a slot that it was not given": [["send", "o-1", "hello", {"body": '#["$0"]', "slots": ["o-77"]}, None]],
    "a kref in place of a vref": [["send", "ko1", "hello", DATA, None]],
    "a vref with leading zeros": [["send", "o-01", "hello", DATA, None]],
    "a name that is no string": [["send", ["o-1"], "hello", DATA, None]],
    "an object as a promise": [["subscribe", "o-1"]],
    "a resolution of what another decides": [["send", "o-1", "m", DATA, "p+1"], ["resolve", [["p+1", False, DATA]]]],
    "a second resolution": [["resolve", [["p-2", False, DATA]]], ["resolve", [["p-2", False, DATA]]]],
    "an answer promised twice": [["send", "o-1", "m", DATA, "p+1"], ["send", "o-1", "m", DATA, "p+1"]],
    "an unknown system call": [["format", "disk"]],
    "a system call whose name cannot be looked up": [[["send"]]],
    "a method that has no form in UTF-8": [["send", "o-1", "\ud800", DATA, None]],
    "a body that has no form in UTF-8": [["send", "o-1", "m", {"body": '#"\ud800"', "slots": []}, None]],
    "a baggage key that has no form in UTF-8": [["baggageSet", "\ud800", DATA]],
    "the removal of a baggage key that has no form in UTF-8": [["baggageDelete", "\ud800"]],
    "a system call that is no list": ["send"],
    "a system call with too few words": [["send", "o-1"]],
    "a system call with too many words": [["subscribe", "p-2", "p-2"]],
    "a malformed resolution": [["resolve", [["p-2"]]]],
    "resolutions that are no list": [["resolve", 7]],
    "no method": [["send", "o-1", "", DATA, None]],
    "something that is not CapData": [["send", "o-1", "m", {"body": 7, "slots": []}, None]],
    "a body without its mark": [["send", "o-1", "m", {"body": "1", "slots": []}, None]],
    "too many system calls": [["baggageSet", "key", DATA]] * 10_001,
    "too many references": [["send", "o-1", "m", {"body": "#[]", "slots": ["o-1"] * 10_000}, None]],
    "a baggage key that is no string": [["baggageSet", 7, DATA]],
}


@pytest.mark.parametrize("breach", sorted(BREACHES))
def test_a_breach_of_protocol_is_refused_and_leaves_nothing(world: World, breach: str) -> None:
    before = world.dump()
    syscalls = [["baggageSet", "before", DATA], *BREACHES[breach]]
    with pytest.raises(VatProtocolError):
        world.apply(*syscalls)
    assert world.dump() == before


@pytest.mark.parametrize(
    "frame",
    [{"syscalls": None}, {"nextExport": -1}, {"nextExport": True}, {"nextPromise": "1"}, {"nextPromise": 1 << 70}],
)
def test_a_malformed_frame_is_refused(world: World, frame: dict[str, Any]) -> None:
    before = world.dump()
    with pytest.raises(VatProtocolError):
        world.apply(**frame)
    assert world.dump() == before


def test_a_promise_resolved_to_itself_answers_its_messages_and_does_not_loop(world: World) -> None:
    world.apply(
        ["resolve", [["p-2", False, {"body": '#"&0"', "slots": ["p+5"]}]]],
        ["resolve", [["p+5", False, {"body": '#"&0"', "slots": ["p+6"]}]]],
        nextPromise=7,
    )
    with world.batch.unit():
        chain = [world.store.promises.insert() for _ in range(2)]
        world.store.promises.resolve(chain[0], rejected=False, body='#"&0"', slots=[Kref("promise", chain[1])])
        world.store.promises.resolve(chain[1], rejected=False, body='#"&0"', slots=[Kref("promise", chain[0])])
        answer = world.store.promises.insert()
        world.router.send(Kref("promise", chain[0]), Call("hello", "#[]", (), answer))
        record = world.store.promises.get(answer)
    assert record is None or record.state == "rejected"


def test_a_long_chain_of_held_back_messages_is_answered_without_recursion(world: World) -> None:
    with world.batch.unit():
        first = previous = world.store.promises.insert()
        for _ in range(5000):
            answer = world.store.promises.insert()
            world.router.send(Kref("promise", previous), Call("next", "#[]", (), answer))
            previous = answer
        waiting = world.router.wait_for(previous)
        world.router.resolve(first, Settlement(True, '#{"#error":"no","name":"Error"}', ()))
    world.batch.commit()
    assert waiting.result().rejected
    assert world.store.connection.execute("SELECT count(*) FROM promises").fetchone()[0] == 1, "only the message's own"


def test_an_answer_that_names_a_slot_with_thousands_of_digits_is_data_like_any_other(world: World) -> None:
    world.apply(["resolve", [["p-2", False, {"body": '#"$' + "9" * 5000, "slots": []}]]])
    assert Settlement(False, '#"$' + "9" * 5000, ()).target() is None
