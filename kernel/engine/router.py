"""The run queue's two movements: a message goes to its target, a resolution to those who wait for it.

Everything here happens inside a unit of the batch.  Order: messages between the same two parties keep their order,
because each vat is given its deliveries oldest first, and a message that a promise held back keeps its place in time.
A message that cannot be delivered is answered at once with a rejection that says why, so that no caller hangs.
"""

from __future__ import annotations

from collections import deque

from kernel.capdata import CapData
from kernel.engine.settlement import Settlement, rejection
from kernel.errors import (
    NotFoundError,
    QuarantinedError,
    RejectedError,
    RevokedError,
    StoreError,
    VatTerminatedError,
)
from kernel.records import Record
from kernel.refs import Kref, object_kref, promise_kref, subcluster_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard

    from kernel.engine.batch import Batch
    from kernel.errors import OcapError
    from kernel.loop import Future, Loop
    from kernel.store import Store
    from kernel.store.deliveries import DeliveryRecord
    from kernel.store.references import ChannelRecord
    from kernel.store.subclusters import QuarantineRecord


BOOTSTRAP = "bootstrap"
"""The method that the kernel calls once, at launch; nobody else can."""


_MAX_METHOD_CHARACTERS = 1000


def is_text(value: object) -> TypeGuard[str]:
    """Say whether a value is text that the store can keep: a lone surrogate has no form in UTF-8."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_method_name(value: object) -> TypeGuard[str]:
    """Say whether a value can be a method's name."""
    return is_text(value) and 0 < len(value) <= _MAX_METHOD_CHARACTERS


def bootstrap_refused() -> RejectedError:
    """Make the error for one who sends ``bootstrap`` himself."""
    return RejectedError("'bootstrap' is sent once, by the kernel, at launch", remedy="Give the vat another method.")


class Call(Record):
    """A message without its target; ``result`` is the promise that its answer resolves."""

    method: str
    body: str
    slots: tuple[Kref, ...]
    result: int | None


class Router:
    """Moves messages and resolutions; see the head of this module."""

    def __init__(self, store: Store, batch: Batch, loop: Loop) -> None:
        self._store = store
        self._batch = batch
        self._loop = loop
        self._resolutions: deque[tuple[int, Settlement]] = deque()
        self._resolving = False
        self._resolved: list[int] = []
        self._waiters: dict[int, Future[Settlement]] = {}
        self.work_for: Callable[[int], object] = lambda _vat_id: None
        self.call_channel: Callable[[ChannelRecord, str, CapData, int | None], object] = lambda *_call: None
        self.call_service: Callable[[str, str, str, tuple[Kref, ...], int | None], object] = lambda *_call: None
        self.quarantine_of_vat: Callable[[int], QuarantineRecord | None] = lambda _vat_id: None

    # --- messages ---

    def send(self, target: Kref, call: Call) -> None:
        """Send a message, or answer it at once when it cannot be delivered."""
        destination = self._destination_or_answer(target, call)
        if destination is not None:
            owner, place = destination
            self._store.deliveries.insert_message(owner, place, call.method, call.body, call.slots, call.result)

    def why_undeliverable(self, number: int) -> OcapError | None:
        """Say why an object cannot be sent messages; None when it can."""
        record = self._store.references.object(number)
        kref = object_kref(number)
        if record is None:
            return NotFoundError(
                f"there is no object {kref}", kref=kref, remedy="`ocap daemon status` lists the roots."
            )
        if record.revoked:
            return RevokedError(
                f"the object {kref} has been revoked", kref=kref, remedy="Ask its owner for another one."
            )
        if record.abandoned:
            from kernel.engine.garbage import abandoned

            return abandoned(number)
        if record.owner is None:
            if self._store.references.channel(number) is not None or self._store.references.service_name(number):
                return None
            return VatTerminatedError(
                f"the vat that owned the object {kref} has been terminated", kref=kref, remedy="Launch it anew."
            )
        quarantine = self.quarantine_of_vat(record.owner)
        return None if quarantine is None else quarantined_error(quarantine)

    def _destination_or_answer(self, target: Kref, call: Call) -> tuple[int | None, Kref] | None:
        """Give where a message waits next: for a vat (with the object that it owns), or at an unresolved promise.

        Returns:
            None when the message goes no further: the kernel took it, or it was answered with the reason.
        """
        place = self._follow(target)
        if isinstance(place, Settlement):
            self._settle_result(call.result, place)
            return None
        if place.kind == "promise":
            return None, place
        error = self.why_undeliverable(place.number)
        if error is not None:
            self._settle_result(call.result, rejection(error))
            return None
        record = self._store.references.object(place.number)
        assert record is not None
        if record.owner is not None:
            self.work_for(record.owner)
            return record.owner, place
        channel = self._store.references.channel(place.number)
        if channel is None:
            service = self._store.references.service_name(place.number)
            assert service is not None
            self.call_service(service, call.method, call.body, call.slots, call.result)
            return None
        # IO channels take data only: what the slots stand for is of no use to them.
        self.call_channel(channel, call.method, CapData(call.body, ("",) * len(call.slots)), call.result)
        return None

    def _follow(self, target: Kref) -> Kref | Settlement:
        """Follow resolved promises to an object or an unresolved promise; where there is none, give the answer."""
        seen: set[int] = set()
        while target.kind == "promise":
            promise = self._store.promises.get(target.number)
            if promise is None:
                return rejection(NotFoundError(f"there is no promise {promise_kref(target.number)}"))
            if promise.state == "unresolved":
                return target
            settlement = self._settlement_of(target.number)
            following = settlement.target()
            if settlement.rejected:
                return settlement
            if following is None or target.number in seen:
                return rejection(
                    RejectedError(
                        f"the promise {promise_kref(target.number)} is resolved to "
                        f"{'data' if following is None else 'itself'}, and messages can be sent to objects only"
                    )
                )
            seen.add(target.number)
            target = following
        return target

    def _settle_result(self, result: int | None, settlement: Settlement) -> None:
        if result is not None:
            self.resolve(result, settlement)

    # --- resolutions ---

    def resolve(self, number: int, settlement: Settlement) -> None:
        """Resolve a promise, tell who waits for it, and move on the messages that it held back.

        Chains of promises are followed without recursion, however long they are.
        """
        self._resolutions.append((number, settlement))
        if self._resolving:
            return
        self._resolving = True
        try:
            while self._resolutions:
                self._resolve_one(*self._resolutions.popleft())
        finally:
            self._resolving = False
            self._resolutions.clear()
        self.collect()

    def _resolve_one(self, number: int, settlement: Settlement) -> None:
        promise = self._store.promises.get(number)
        if promise is None or promise.state != "unresolved":
            return
        self._store.promises.resolve(number, rejected=settlement.rejected, body=settlement.body, slots=settlement.slots)
        self._resolved.append(number)
        for vat_id in self._store.promises.take_subscribers(number):
            self._store.deliveries.insert_notify(vat_id, number)
            self.work_for(vat_id)
        if number in self._waiters:
            for slot in settlement.slots:
                if slot.kind == "object":
                    self._store.outside.lease(slot.number)
            self._batch.after_commit(self._tell_waiter, number, settlement)
        for message in self._store.deliveries.held_by(number):
            self._move_on(message)

    def _move_on(self, message: DeliveryRecord) -> None:
        """Take a message that a promise held back to where the promise led; it keeps its place in time."""
        assert message.method is not None
        assert message.body is not None
        slots = self._store.deliveries.slots(message.id)
        destination = self._destination_or_answer(
            message.target, Call(message.method, message.body, slots, message.result)
        )
        if destination is None:
            self.drop(message)
        else:
            self._store.deliveries.retarget(message.id, *destination)

    def drop(self, delivery: DeliveryRecord) -> None:
        """Remove a delivery that nobody is given; a promise that only it mentioned goes at the next ``collect``."""
        for slot in self._store.deliveries.slots(delivery.id):
            if slot.kind == "promise":
                self.retired(slot.number)
        self._store.deliveries.delete(delivery.id)

    def _settlement_of(self, number: int) -> Settlement:
        promise = self._store.promises.get(number)
        assert promise is not None
        assert promise.body is not None
        return Settlement(promise.state == "rejected", promise.body, self._store.promises.slots(number))

    def retired(self, number: int) -> None:
        """Note that a promise lost a mention; it goes when it has lost them all."""
        self._resolved.append(number)

    def collect(self) -> None:
        """Remove the resolved promises that nothing mentions any more, and those that only they mentioned."""
        while self._resolved:
            number = self._resolved.pop()
            mentioned = [slot.number for slot in self._store.promises.slots(number) if slot.kind == "promise"]
            if self._store.promises.delete_unreferenced(number):
                self._resolved.extend(mentioned)

    # --- those outside who wait ---

    def wait_for(self, number: int) -> Future[Settlement]:
        """Give a future for a promise's settlement; it is settled only when that is durable.

        Call it inside the unit that made the promise: should that unit be lost, so is the wait, with the store's error.
        """
        future: Future[Settlement] = self._loop.create_future()
        # A unit that is lost raises the reason itself, and then nobody comes to read it here.
        future.add_done_callback(lambda _future: None)
        self._waiters[number] = future
        self._batch.if_lost(lambda error: self.give_up(number, error))
        return future

    def is_awaited(self, number: int) -> bool:
        """Say whether anybody still waits for a promise, so far as the store can tell."""
        if number in self._waiters:
            return True
        try:
            with self._store.reading():
                return self._store.promises.is_mentioned(number)
        except StoreError:
            return True

    def give_up(self, number: int, error: OcapError) -> None:
        """End a wait whose time is over with an error; the promise itself is not touched."""
        future = self._waiters.pop(number, None)
        if future is not None:
            future.set_exception(error)

    def give_up_all(self, error: StoreError) -> None:
        """End every wait, since the store goes on failing: nobody knows when what is durable can be gone on with.

        Those whose work was undone have been told so before.
        """
        kept = type(error)(
            f"{error.message}; and so it did before: what was durable is gone on with when the store works again",
            remedy=error.remedy,
            **{**error.data, "queued": True},
        )
        for number in list(self._waiters):
            self.give_up(number, kept)

    def tell_who_waits_for(self, vat_id: int, error: OcapError) -> None:
        """Once the unit under way is durable, end the waits for answers to what is queued for a vat; that stays."""
        if self._waiters:
            for delivery in self._store.deliveries.waiting_for(vat_id):
                if delivery.result in self._waiters:
                    self._batch.after_commit(self.give_up, delivery.result, error)

    def _tell_waiter(self, number: int, settlement: Settlement) -> None:
        future = self._waiters.pop(number, None)
        if future is not None:
            future.set_result(settlement)


def quarantined_error(quarantine: QuarantineRecord, *, queued: bool = False) -> QuarantinedError:
    """Make the error that a sender to a quarantined subcluster gets; ``queued`` when its message is kept."""
    name = subcluster_id(quarantine.subcluster_id)
    return QuarantinedError(
        f"subcluster {name} is quarantined ({quarantine.code}): {quarantine.message}",
        subclusterId=name,
        cause=quarantine.code,
        vat=quarantine.vat,
        path=quarantine.path,
        bundleSpec=quarantine.bundle_spec,
        queued=queued,
        remedy=f"Remove the cause, then run 'ocap subcluster repair {name}'"
        + ("; your message is kept and delivered then." if queued else "."),
    )
