"""A vat's incarnations: what a new one is given, and what becomes of the promises of one that has ended.

Baggage and durable objects pass from one incarnation to the next; promises and other objects do not.  What an
incarnation still had to resolve is rejected when it ends, so that nobody waits for an answer that cannot come.
"""

from __future__ import annotations

from kernel.engine.settlement import rejection
from kernel.engine.translation import Translation
from kernel.errors import DisconnectedError
from kernel.refs import vat_id as vat_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.engine.batch import Batch
    from kernel.engine.bundles import Bundles
    from kernel.engine.garbage import Collector
    from kernel.engine.router import Router
    from kernel.errors import OcapError
    from kernel.store import Store


_ENTRY_CHARACTERS = 100
_SLOT_CHARACTERS = 20
_FRAME_CHARACTERS = 1 << 20
"""From how many characters of state on a frame is full: encoded, they are some bytes each, and the bound is 16 MiB."""


class State:
    """What a new incarnation is given of its state: in the frame ``start``, and what is too much for that in others.

    Those go before it.  One entry came in one frame, so one frame can carry it.
    """

    def __init__(self) -> None:
        self.frames: list[list[Any]] = []
        self.last: dict[str, Any] = {"baggage": {}, "durables": []}
        self._characters = 0

    def add_baggage(self, key: str, value: dict[str, Any]) -> None:
        """Add an entry of the baggage."""
        self._make_room(len(key), value)
        self.last["baggage"][key] = value

    def add_durable(self, item: list[Any]) -> None:
        """Add a durable object."""
        self._make_room(0, item[2])
        self.last["durables"].append(item)

    def _make_room(self, characters: int, value: dict[str, Any]) -> None:
        characters += _ENTRY_CHARACTERS + len(value["body"]) + _SLOT_CHARACTERS * len(value["slots"])
        if self._characters + characters > _FRAME_CHARACTERS and self._characters:
            self.frames.append(["state", self.last])
            self.last = {"baggage": {}, "durables": []}
            self._characters = 0
        self._characters += characters


class Incarnations:
    """See the head of this module."""

    def __init__(self, store: Store, batch: Batch, router: Router, bundles: Bundles, collector: Collector) -> None:
        self._store = store
        self._collector = collector
        self._batch = batch
        self._router = router
        self._bundles = bundles

    def begin(self, vat_id: int, bundle: dict[str, Any]) -> tuple[list[list[Any]], int]:
        """Begin an incarnation of a vat that exists.

        Args:
            vat_id: The vat.
            bundle: Its bundle, as a worker wants it.

        Returns:
            The frames that start its worker, in order, and the first import number that its c-list has never used.

        Raises:
            StoreError: The store failed; no incarnation has begun.
        """
        with self._batch.unit():
            self.end(vat_id)
            incarnation = self._store.vats.begin_incarnation(vat_id)
            record = self._store.vats.get(vat_id)
            assert record is not None
            names = Translation(self._store, vat_id, record.next_import)
            state = State()
            for entry in self._store.baggage.all(vat_id):
                state.add_baggage(entry.key, {"body": entry.body, "slots": names.all_to_vat(entry.slots)})
            for item in self._store.durables.all(vat_id):
                value = {"body": item.body, "slots": names.all_to_vat(item.slots)}
                state.add_durable([item.vref, item.kind, value, item.exported])
            names.store_new()
        config = self._bundles.config_of(vat_id)
        start = {
            "vatId": vat_name(vat_id),
            "name": record.name,
            "bundle": bundle,
            "parameters": config.parameters,
            "globals": list(config.globals),
            **state.last,
            "nextExport": record.next_export,
            "nextPromise": record.next_promise,
            "incarnation": incarnation,
        }
        return [*state.frames, ["start", start]], names.next_import

    def finish(self, vat_id: int) -> None:
        """Do what :meth:`end` does, as a unit of its own.

        Raises:
            StoreError: The store failed; the next start does it again.
        """
        with self._batch.unit():
            self.end(vat_id)

    def end(self, vat_id: int, why: OcapError | None = None) -> None:
        """Reject what the vat's last incarnation still had to resolve, and forget what it alone knew.

        Call it inside a unit.  ``why`` is the reason, where it is not a restart.
        """
        lost = why or DisconnectedError(
            f"vat {vat_name(vat_id)} was restarted before it answered", vatId=vat_name(vat_id), remedy="Send it again."
        )
        known = self._store.references.promises_known_to(vat_id)
        for number in self._store.promises.decided_by(vat_id):
            self._router.resolve(number, rejection(lost))
        self._store.promises.unsubscribe_all(vat_id)
        self._store.deliveries.delete_notifications(vat_id)
        self._store.references.forget_promises(vat_id)
        for number in known:
            self._router.retired(number)
        self._router.collect()
        self._collector.end_incarnation(vat_id)
