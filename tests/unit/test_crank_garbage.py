"""Cranks in which a vat gives up references, or keeps durable objects: what the kernel takes, and what is a breach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.engine.batch import Batch
from kernel.engine.crank import Crank
from kernel.engine.garbage import DELIVERY, Actions, Collector
from kernel.engine.router import Call, Router
from kernel.engine.translation import Translation
from kernel.errors import VatProtocolError
from kernel.events import NullLog
from kernel.loop import Loop
from kernel.refs import Kref
from kernel.store import Store
from kernel.store.audit import audit

DATA = {"body": "#1", "slots": []}


def naming(*slots: str) -> dict[str, Any]:
    return {"body": "#[" + ",".join(f'"${index}"' for index in range(len(slots))) + "]", "slots": list(slots)}


class World:
    """Two vats that run, so far as the collector is told; the first knows the second's root as ``o-1``."""

    def __init__(self, directory: Path) -> None:
        self.loop = Loop()
        self.store = Store.open(str(directory / "kernel.sqlite"))
        self.batch = Batch(self.store, self.loop, NullLog())
        self.router = Router(self.store, self.batch, self.loop)
        self.collector = Collector(self.store, self.router)
        self.running = {1, 2}
        self.poked: set[int] = set()
        self.collector.runs = self.running.__contains__
        self.router.work_for = self.poked.add
        self.batch.before_commit = self.collector.settle
        with self.batch.unit():
            subcluster = self.store.subclusters.insert("{}", "now")
            self.vats = [self.store.vats.insert(subcluster, name) for name in ("one", "two")]
            roots = [self.store.references.insert_object(vat) for vat in self.vats]
            for vat, root in zip(self.vats, roots, strict=True):
                self.store.references.insert_entry(vat, "o+0", Kref("object", root))
            self.store.references.insert_entry(1, "o-1", Kref("object", roots[1]))
            self.store.vats.advance(1, 1, 1, 2)
        self.batch.commit()

    def work(self, vat_id: int, *syscalls: Any, actions: Actions | None = None, deliver: bool = False) -> None:
        """Apply a crank of a vat: of what waits for it, or of garbage collection."""
        record = self.store.vats.get(vat_id)
        assert record is not None
        names = Translation(self.store, vat_id, record.next_import)
        delivery = DELIVERY
        if deliver:
            first = self.store.deliveries.first(vat_id)
            assert first is not None
            delivery = first
            names.to_vat(delivery.target)
            names.all_to_vat(self.store.deliveries.slots(delivery.id))
        frame = ["done", {"syscalls": list(syscalls), "nextExport": 100, "nextPromise": 100}]
        with self.batch.unit():
            self.collector.carry_out(vat_id, actions)
            counters = Crank(self.store, self.router, vat_id, delivery, names).apply(frame)
            self.store.vats.advance(vat_id, *counters, names.next_import)
        self.batch.commit()

    def pass_one(self) -> None:
        """Have the first vat pass its ``o+1``, which the second then knows as ``o-1``."""
        self.work(1, ["send", "o-1", "take", naming("o+1"), None])
        self.work(2, deliver=True)

    def told(self, vat_id: int) -> list[Any] | None:
        """Give what a vat is to be told now."""
        actions = self.collector.actions(vat_id, patient=False, reap=False)
        return None if actions is None else [*actions.frame()[1].values()][:3]

    def tell(self, vat_id: int, *syscalls: Any) -> None:
        """Have a vat do what it is to be told."""
        self.work(vat_id, *syscalls, actions=self.collector.actions(vat_id, patient=False, reap=False))

    def names(self, vat_id: int) -> dict[str, int]:
        """Give a vat's names for objects, and whether each is reachable."""
        rows = self.store.connection.execute("SELECT vref, reachable FROM clist WHERE vat_id = ?", (vat_id,))
        return dict(rows)

    def objects(self) -> int:
        return self.store.references.count()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    assert audit(world.store.connection) == []
    world.store.close()
    world.loop.close()


def test_what_is_dropped_but_recognized_is_dropped_by_its_exporter_and_keeps_its_names(world: World) -> None:
    world.pass_one()
    assert world.told(1) is None
    world.work(2, ["dropImports", ["o-1"]])
    assert world.poked >= {1}
    assert world.told(1) == [["o+1"], [], []]
    world.tell(1)
    assert (world.names(1)["o+1"], world.names(2)["o-1"]) == (0, 0)
    assert world.told(1) is None


def test_what_is_retired_by_all_is_dropped_and_retired_at_once(world: World) -> None:
    world.pass_one()
    world.work(2, ["dropImports", ["o-1"]], ["retireImports", ["o-1"]])
    assert world.told(1) == [["o+1"], ["o+1"], []]
    world.tell(1)
    assert (world.names(1), world.names(2)) == ({"o+0": 1, "o-1": 1}, {"o+0": 1})
    assert world.objects() == 2


def test_the_last_who_recognizes_a_dropped_object_retires_its_name_at_home(world: World) -> None:
    world.pass_one()
    world.work(2, ["dropImports", ["o-1"]])
    world.tell(1)
    world.work(2, ["retireImports", ["o-1"]])
    assert world.told(1) == [[], ["o+1"], []]
    world.tell(1)
    assert world.objects() == 2


def test_an_exporter_that_retires_a_dropped_object_has_it_retired_by_who_recognizes_it(world: World) -> None:
    world.pass_one()
    world.work(2, ["dropImports", ["o-1"]])
    world.tell(1, ["retireExports", ["o+1"]])
    assert world.told(2) == [[], [], ["o-1"]]
    world.tell(2)
    assert world.names(2) == {"o+0": 1}
    assert world.objects() == 2


def test_a_dropped_object_that_is_passed_again_is_reachable_again_for_both(world: World) -> None:
    world.pass_one()
    world.work(2, ["dropImports", ["o-1"]])
    world.tell(1)
    world.pass_one()
    assert (world.names(1)["o+1"], world.names(2)["o-1"]) == (1, 1)


def test_an_abandoned_object_answers_to_nobody_and_goes_when_it_is_dropped(world: World) -> None:
    world.pass_one()
    with world.batch.unit():
        result = world.store.promises.insert()
        (number,) = {world.store.references.ref_of(2, "o-1")}
        assert number is not None
        world.router.send(number, Call("read", "#[]", (), result))
        waiting = world.router.wait_for(result)
    world.work(1, ["abandonExports", ["o+1"]])
    assert waiting.done()
    settlement = world.loop.run_until_complete(_outcome(waiting))
    assert settlement.rejected
    assert "does not exist any more" in settlement.body
    assert world.router.why_undeliverable(number.number) is not None
    world.work(2, ["dropImports", ["o-1"]], ["retireImports", ["o-1"]])
    assert world.objects() == 2


async def _outcome(future: Any) -> Any:
    return await future


def test_a_message_from_outside_that_crosses_the_retirement_is_answered(world: World) -> None:
    world.pass_one()
    number = world.store.references.ref_of(2, "o-1")
    assert number is not None
    world.work(2, ["dropImports", ["o-1"]], ["retireImports", ["o-1"]])
    actions = world.collector.actions(1, patient=False, reap=False)
    with world.batch.unit():
        result = world.store.promises.insert()
        waiting = world.router.wait_for(result)
        world.router.send(number, Call("read", "#[]", (), result))
    world.work(1, actions=actions)
    assert world.loop.run_until_complete(_outcome(waiting)).rejected
    assert world.objects() == 2


def test_for_a_vat_that_does_not_run_the_kernel_lets_go(world: World) -> None:
    world.pass_one()
    world.running.discard(1)
    world.work(2, ["dropImports", ["o-1"]], ["retireImports", ["o-1"]])
    assert (world.objects(), world.names(1)) == (2, {"o+0": 1, "o-1": 1})


def test_a_durable_object_of_a_vat_that_does_not_run_goes_with_what_it_alone_held(world: World) -> None:
    world.work(
        1,
        ["durableSet", "o+2", "Leaf", DATA],
        ["durableSet", "o+1", "Node", naming("o+2")],
        ["send", "o-1", "take", naming("o+1"), None],
    )
    world.work(2, deliver=True)
    world.running.discard(1)
    world.work(2, ["dropImports", ["o-1"]], ["retireImports", ["o-1"]])
    assert world.store.durables.all(1) == []
    assert world.objects() == 2


def test_a_durable_object_is_held_by_another_ones_state_only_as_long_as_that_says_so(world: World) -> None:
    world.work(1, ["durableSet", "o+2", "Leaf", DATA], ["durableSet", "o+1", "Node", naming("o+2")])
    assert world.told(1) is None
    world.work(1, ["durableSet", "o+1", "Node", DATA])
    assert world.told(1) == [["o+2"], ["o+2"], []]
    world.tell(1, ["durableDelete", "o+2"])
    assert [item.vref for item in world.store.durables.all(1)] == ["o+1"]


BREACHES: dict[str, list[Any]] = {
    "an import that it was not given": [["dropImports", ["o-9"]]],
    "an export as an import": [["dropImports", ["o+0"]]],
    "a promise as an object": [["dropImports", ["p-1"]]],
    "a name that is no string": [["dropImports", [7]]],
    "names that are no list": [["dropImports", {"o-1": 1}]],
    "an import dropped twice": [["dropImports", ["o-1"]], ["dropImports", ["o-1"]]],
    "an import retired but not dropped": [["retireImports", ["o-1"]]],
    "an import retired twice": [["dropImports", ["o-1"]], ["retireImports", ["o-1", "o-1"]]],
    "a dropped import in a message": [["dropImports", ["o-1"]], ["send", "o-1", "m", DATA, None]],
    "a retired import in its baggage": [
        ["dropImports", ["o-1"]],
        ["retireImports", ["o-1"]],
        ["baggageSet", "x", naming("o-1")],
    ],
    "an export that others can reach, retired": [["baggageSet", "x", naming("o+5")], ["retireExports", ["o+5"]]],
    "an export that it never had": [["abandonExports", ["o+9"]]],
    "its root": [["abandonExports", ["o+0"]]],
    "an import that its baggage keeps": [["baggageSet", "x", naming("o-1")], ["dropImports", ["o-1"]]],
    "an import that a durable object keeps": [["durableSet", "o+3", "A", naming("o-1")], ["dropImports", ["o-1"]]],
    "an export that it says it has not named yet": [["send", "o-1", "m", naming("o+100"), None]],
    "a promise that it says it has not named yet": [["send", "o-1", "m", naming("p+100"), None]],
    "a durable object that it says it has not named yet": [["durableSet", "o+100", "A", DATA]],
    "an import as a durable object": [["durableSet", "o-1", "Kind", DATA]],
    "its root as a durable object": [["durableSet", "o+0", "Kind", DATA]],
    "a promise as a durable object": [["durableSet", "p+1", "Kind", DATA]],
    "a durable object without a kind": [["durableSet", "o+3", "", DATA]],
    "a durable object of a kind that has no form in UTF-8": [["durableSet", "o+3", "\ud800", DATA]],
    "a durable object of a very long kind": [["durableSet", "o+3", "k" * 201, DATA]],
    "a durable object whose kind changes": [["durableSet", "o+3", "A", DATA], ["durableSet", "o+3", "B", DATA]],
    "a durable object whose state is no CapData": [["durableSet", "o+3", "A", 7]],
    "a durable object that others know, deleted": [
        ["durableSet", "o+3", "A", DATA],
        ["baggageSet", "x", naming("o+3")],
        ["durableDelete", "o+3"],
    ],
}


@pytest.mark.parametrize("breach", sorted(BREACHES))
def test_a_breach_is_refused_and_leaves_nothing(world: World, breach: str) -> None:
    before = list(world.store.connection.iterdump())
    with pytest.raises(VatProtocolError):
        world.work(1, ["baggageSet", "before", DATA], *BREACHES[breach])
    world.batch.commit()
    assert list(world.store.connection.iterdump()) == before
