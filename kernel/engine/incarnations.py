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


class Incarnations:
    """See the head of this module."""

    def __init__(self, store: Store, batch: Batch, router: Router, bundles: Bundles, collector: Collector) -> None:
        self._store = store
        self._collector = collector
        self._batch = batch
        self._router = router
        self._bundles = bundles

    def begin(self, vat_id: int, bundle: dict[str, Any]) -> tuple[list[Any], int]:
        """Begin an incarnation of a vat that exists.

        Args:
            vat_id: The vat.
            bundle: Its bundle, as a worker wants it.

        Returns:
            The frame that starts its worker, and the first import number that its c-list has never used.

        Raises:
            StoreError: The store failed; no incarnation has begun.
        """
        with self._batch.unit():
            self.end(vat_id)
            incarnation = self._store.vats.begin_incarnation(vat_id)
            record = self._store.vats.get(vat_id)
            assert record is not None
            names = Translation(self._store, vat_id, record.next_import)
            baggage = {
                item.key: {"body": item.body, "slots": names.all_to_vat(item.slots)}
                for item in self._store.baggage.all(vat_id)
            }
            durables = [
                [item.vref, item.kind, {"body": item.body, "slots": names.all_to_vat(item.slots)}, item.exported]
                for item in self._store.durables.all(vat_id)
            ]
            names.store_new()
        config = self._bundles.config_of(vat_id)
        start = {
            "vatId": vat_name(vat_id),
            "name": record.name,
            "bundle": bundle,
            "parameters": config.parameters,
            "globals": list(config.globals),
            "baggage": baggage,
            "durables": durables,
            "nextExport": record.next_export,
            "nextPromise": record.next_promise,
            "incarnation": incarnation,
        }
        return ["start", start], names.next_import

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
