"""Ending vats and subclusters for good: what they were to answer is rejected, what they held is released."""

from __future__ import annotations

from kernel.engine.settlement import rejection
from kernel.errors import VatProtocolError, VatTerminatedError
from kernel.records import Record
from kernel.refs import subcluster_id
from kernel.refs import vat_id as vat_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.engine.batch import Batch
    from kernel.engine.bundles import Bundles
    from kernel.engine.channels import Channels
    from kernel.engine.router import Router
    from kernel.engine.vats import Vats
    from kernel.store import Store
    from kernel.store.vats import VatRecord


class Removed(Record):
    """What was removed with a vat or a subcluster."""

    vats: int = 0
    promises_rejected: int = 0
    messages_dropped: int = 0
    objects_released: int = 0
    baggage_entries: int = 0

    def plus(self, other: Removed) -> Removed:
        """Add up."""
        return Removed(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def to_json(self) -> dict[str, int]:
        """Give it as the wire has it."""
        return {
            "vats": self.vats,
            "promisesRejected": self.promises_rejected,
            "messagesDropped": self.messages_dropped,
            "objectsReleased": self.objects_released,
            "baggageEntries": self.baggage_entries,
        }


class Termination:
    """See the head of this module."""

    def __init__(
        self, store: Store, batch: Batch, router: Router, vats: Vats, channels: Channels, bundles: Bundles
    ) -> None:
        self._store = store
        self._batch = batch
        self._router = router
        self._vats = vats
        self._channels = channels
        self._bundles = bundles

    def remove_subcluster(self, subcluster: int, why: str = "was terminated") -> Removed:
        """Remove a subcluster with all its vats, channels and records.

        Raises:
            StoreError: The store failed; nothing was removed, and its vats start again when needed.
        """
        with self._batch.unit():
            removed = self._remove_subcluster(subcluster, why)
        self._batch.commit()
        return removed

    def _remove_subcluster(self, subcluster: int, why: str) -> Removed:
        removed = Removed()
        for vat in self._store.vats.of_subcluster(subcluster):
            removed = removed.plus(self._remove_vat(vat, why))
        objects = self._store.references.delete_channels(subcluster)
        self._store.subclusters.delete(subcluster)
        released = self._store.references.delete_unreferenced(objects)
        self._batch.after_commit(self._forget, subcluster)
        return removed._replace(objects_released=removed.objects_released + released)

    def vat_left(self, vat_id: int, reason: str) -> None:
        """Remove a vat that ends itself, and its subcluster when it was the last, in the unit of its last crank.

        Raises:
            VatProtocolError: Its subcluster is still being launched.
        """
        vat = self._store.vats.get(vat_id)
        assert vat is not None
        subcluster = self._store.subclusters.get(vat.subcluster_id)
        if subcluster is None or subcluster.state != "running":
            raise VatProtocolError("the vat ended itself while its subcluster was being launched")
        why = f"ended itself: {reason}" if reason else "ended itself"
        if len(self._store.vats.of_subcluster(vat.subcluster_id)) == 1:
            self._remove_subcluster(vat.subcluster_id, why)
        else:
            self._remove_vat(vat, why)

    def remove_vat(self, vat: VatRecord) -> Removed:
        """Remove one vat.

        Raises:
            StoreError: The store failed; nothing was removed.
        """
        with self._batch.unit():
            removed = self._remove_vat(vat, "was terminated")
        self._batch.commit()
        return removed

    def _forget(self, subcluster: int) -> None:
        self._channels.close_all(subcluster)
        self._bundles.forget(subcluster)

    def _remove_vat(self, vat: VatRecord, why: str) -> Removed:
        self._vats.drop(vat.id)
        gone = VatTerminatedError(
            f"vat {vat_name(vat.id)} ({vat.name}) of subcluster {subcluster_id(vat.subcluster_id)} {why}",
            vatId=vat_name(vat.id),
            vat=vat.name,
            subclusterId=subcluster_id(vat.subcluster_id),
        )
        waiting = [delivery for delivery in self._store.deliveries.waiting_for(vat.id) if delivery.kind == "message"]
        decided = self._store.promises.decided_by(vat.id)
        known = self._store.references.promises_known_to(vat.id)
        owned = self._store.references.owned_by(vat.id)
        baggage = len(self._store.baggage.all(vat.id))
        for delivery in waiting:
            self._router.drop(delivery)
        # The vat goes first, so that nothing that its promises' rejection sets off comes back to it.
        self._store.vats.delete(vat.id)
        rejected = decided + [delivery.result for delivery in waiting if delivery.result is not None]
        for number in rejected:
            self._router.resolve(number, rejection(gone))
        for number in known:
            self._router.retired(number)
        self._router.collect()
        released = self._store.references.delete_unreferenced(owned)
        return Removed(1, len(rejected), len(waiting), released, baggage)
