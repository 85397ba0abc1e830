"""One crank's effects, applied to the store: all of them or none.

A worker answers a delivery with one frame that holds every effect, in order.  The frame is checked here, name by
name; a vat that breaks the protocol has none of its effects kept.
"""

from __future__ import annotations

from kernel.engine.garbage import disown
from kernel.engine.router import BOOTSTRAP, Call, bootstrap_refused, is_method_name, is_text
from kernel.engine.settlement import Settlement, rejection
from kernel.errors import RefError, VatProtocolError
from kernel.records import Record
from kernel.refs import ROOT_VREF, parse_vref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from kernel.engine.router import Router
    from kernel.engine.translation import Translation
    from kernel.refs import Kref
    from kernel.store import Store
    from kernel.store.deliveries import DeliveryRecord


_MAX_STEPS = 10_000
"""How many system calls and references one crank may have: the kernel does nothing else while it applies them."""

_MAX_KIND_CHARACTERS = 200


class Counters(Record):
    """The first export and promise numbers that the vat has never used."""

    next_export: int
    next_promise: int


class Crank:
    """Applies the outcome of one delivery to one vat; call it inside a unit of the batch."""

    def __init__(self, store: Store, router: Router, vat_id: int, delivery: DeliveryRecord, names: Translation) -> None:
        self._store = store
        self._router = router
        self._vat_id = vat_id
        self._delivery = delivery
        self._names = names
        self._steps = 0
        self.exit: str | None = None
        """Why the vat ends itself with this crank; None when it does not."""

    def apply(self, frame: list[Any]) -> Counters:
        """Apply a ``done`` frame.

        Args:
            frame: What the worker sent.

        Returns:
            The vat's counters after the crank.

        Raises:
            VatProtocolError: The frame is malformed, or names what the vat was not given.
        """
        body = frame[1] if len(frame) == 2 and isinstance(frame[1], dict) else {}
        syscalls = body.get("syscalls")
        next_export, next_promise = _count(body.get("nextExport")), _count(body.get("nextPromise"))
        if not isinstance(syscalls, list) or next_export is None or next_promise is None:
            raise VatProtocolError("the vat's worker sent a malformed 'done' frame", remedy="Its code is broken.")
        # The names go in first: the delivery's own promises are retired below.
        self._names.next_export, self._names.next_promise = next_export, next_promise
        self._names.store_new()
        self._begin()
        self._count_steps(len(syscalls))
        for syscall in syscalls:
            self._perform(syscall)
        self._router.collect()
        reason = body.get("exit")
        if reason is not None and not is_text(reason):
            raise VatProtocolError("the vat ended itself for a reason that is not text", remedy="Its code is broken.")
        self.exit = reason
        return Counters(next_export, next_promise)

    def _begin(self) -> None:
        delivery = self._delivery
        if delivery.kind == "gc":
            return  # what it was told is carried out by whoever told it
        self._store.deliveries.delete(delivery.id)
        if delivery.kind == "notify":
            self._store.references.delete_promise_entry(self._vat_id, delivery.target.number)
            self._router.retired(delivery.target.number)
        elif delivery.result is not None:
            self._store.promises.set_decider(delivery.result, self._vat_id)

    def _count_steps(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _MAX_STEPS:
            raise VatProtocolError(
                f"the vat did too much at once: a delivery may make {_MAX_STEPS} system calls, references included",
                remedy="Do it in several deliveries.",
            )

    def _perform(self, syscall: object) -> None:
        name = syscall[0] if isinstance(syscall, list) and syscall else None
        known = self._syscalls().get(name) if isinstance(name, str) else None
        if not isinstance(syscall, list) or known is None:
            raise VatProtocolError(
                f"the vat made an unknown system call {str(name)[:80]!r}", remedy="Its code is broken."
            )
        perform, arity = known
        if len(syscall) != arity + 1:
            raise VatProtocolError(f"the vat made a malformed system call {name!r}", remedy="Its code is broken.")
        perform(*syscall[1:])

    def _syscalls(self) -> dict[str, tuple[Callable[..., None], int]]:
        return {
            "send": (self._send, 4),
            "subscribe": (self._subscribe, 1),
            "resolve": (self._resolve, 1),
            "baggageSet": (self._baggage_set, 2),
            "baggageDelete": (self._baggage_delete, 1),
            "durableSet": (self._durable_set, 3),
            "durableDelete": (self._durable_delete, 1),
            "dropImports": (self._drop_imports, 1),
            "retireImports": (self._retire_imports, 1),
            "retireExports": (self._retire_exports, 1),
            "abandonExports": (self._abandon_exports, 1),
        }

    def _send(self, target: object, method: object, arguments: object, result: object) -> None:
        if not is_method_name(method):
            raise VatProtocolError("the vat sent a message without a usable method name", remedy="Its code is broken.")
        destination = self._names.to_kernel(target)
        body, slots = self._capdata(arguments)
        answer = None if result is None else self._new_result(result)
        if method == BOOTSTRAP:
            if answer is not None:
                self._router.resolve(answer, rejection(bootstrap_refused()))
            return
        self._router.send(destination, Call(method, body, slots, answer))

    def _new_result(self, vref: object) -> int:
        """Make the promise for a message's answer; it must be new, and until the delivery nobody decides it."""
        ref = self._names.to_kernel(vref)
        promise = self._store.promises.get(ref.number) if ref.kind == "promise" else None
        if promise is None or promise.state != "unresolved" or promise.decider != self._vat_id:
            raise VatProtocolError(f"the vat asked for an answer in {vref}, which is not its to give away")
        self._store.promises.set_decider(ref.number, None)
        return ref.number

    def _subscribe(self, vpid: object) -> None:
        ref = self._promise(vpid)
        promise = self._store.promises.get(ref.number)
        if promise is not None and promise.state == "unresolved":
            self._store.promises.subscribe(ref.number, self._vat_id)
        else:
            self._store.deliveries.insert_notify(self._vat_id, ref.number)
            self._router.work_for(self._vat_id)

    def _resolve(self, resolutions: object) -> None:
        settled: dict[int, Settlement] = {}
        for resolution in resolutions if isinstance(resolutions, list) else [resolutions]:
            if not isinstance(resolution, list) or len(resolution) != 3:
                raise VatProtocolError("the vat sent a malformed resolution", remedy="Its code is broken.")
            vpid, rejected, value = resolution
            ref = self._promise(vpid)
            promise = self._store.promises.get(ref.number) if ref.number not in settled else None
            if promise is None or promise.state != "unresolved" or promise.decider != self._vat_id:
                raise VatProtocolError(f"the vat resolved {vpid}, which is not its to resolve")
            body, slots = self._capdata(value)
            settled[ref.number] = Settlement(bool(rejected), body, slots)
        # Only now are the names given up: the values of promises that are resolved together may mention each other.
        for number, settlement in settled.items():
            self._store.references.delete_promise_entry(self._vat_id, number)
            self._router.resolve(number, settlement)

    def _baggage_set(self, key: object, value: object) -> None:
        if not is_text(key):
            raise VatProtocolError("the vat's baggage has a key that is not text")
        body, slots = self._capdata(value)
        self._store.baggage.set(self._vat_id, key, body, slots)

    def _baggage_delete(self, key: object) -> None:
        if not is_text(key):
            raise VatProtocolError("the vat's baggage has a key that is not text")
        self._store.baggage.delete(self._vat_id, key)

    def _durable_set(self, vref: object, kind: object, state: object) -> None:
        if not is_text(kind) or not 0 < len(kind) <= _MAX_KIND_CHARACTERS:
            raise VatProtocolError("the vat made a durable object of a kind without a usable name")
        name = self._own_object(vref)
        if parse_vref(name).number >= self._names.next_export:
            raise VatProtocolError(f"the vat named {name}, and says that it has not used that name")
        earlier = self._store.durables.kind_of(self._vat_id, name)
        if earlier is not None and earlier != kind:
            raise VatProtocolError(f"the vat changed the kind of its durable object {name}")
        body, slots = self._capdata(state)
        self._store.durables.set(self._vat_id, name, kind, body, slots)

    def _durable_delete(self, vref: object) -> None:
        name = self._own_object(vref)
        if self._store.references.entry(self._vat_id, name) is not None:
            raise VatProtocolError(f"the vat deleted its durable object {name}, which is still known to others")
        self._store.durables.delete(self._vat_id, name)

    def _own_object(self, vref: object) -> str:
        """Check the name of a durable object: an export of this vat other than the root."""
        try:
            parsed = parse_vref(vref)
        except RefError as error:
            raise VatProtocolError(f"the vat named a reference {str(vref)[:80]!r}") from error
        if parsed.kind != "object" or not parsed.exported or vref == ROOT_VREF:
            raise VatProtocolError(f"the vat used {vref} as a durable object", remedy="Its code is broken.")
        return str(vref)

    # --- garbage collection ---

    def _drop_imports(self, vrefs: object) -> None:
        for vref, ref, reachable in self._given_up(vrefs, exported=False):
            if not reachable:
                raise VatProtocolError(f"the vat dropped {vref} twice", remedy="Its code is broken.")
            if self._store.references.is_kept(self._vat_id, ref.number):
                raise VatProtocolError(f"the vat dropped {vref} and keeps it", remedy="Its code is broken.")
            self._store.references.set_reachable(self._vat_id, vref, False)

    def _retire_imports(self, vrefs: object) -> None:
        for vref, _, reachable in self._given_up(vrefs, exported=False):
            if reachable:
                raise VatProtocolError(f"the vat retired {vref} without dropping it", remedy="Its code is broken.")
            self._store.references.delete_entry(self._vat_id, vref)

    def _retire_exports(self, vrefs: object) -> None:
        for vref, ref, reachable in self._given_up(vrefs, exported=True):
            if reachable:
                raise VatProtocolError(f"the vat retired {vref}, which others can reach", remedy="Its code is broken.")
            disown(self._store, self._router, ref.number)

    def _abandon_exports(self, vrefs: object) -> None:
        for vref, ref, _ in self._given_up(vrefs, exported=True):
            if vref == ROOT_VREF:
                raise VatProtocolError("the vat abandoned its root", remedy="Its code is broken.")
            disown(self._store, self._router, ref.number)

    def _given_up(self, vrefs: object, *, exported: bool) -> Iterator[tuple[str, Kref, bool]]:
        # Not counted as steps: a vat gives up no more than it was given, and a frame has its bound.
        for vref in vrefs if isinstance(vrefs, list) else [vrefs]:
            yield self._names.entry(vref, exported=exported)

    def _promise(self, vpid: object) -> Kref:
        ref = self._names.to_kernel(vpid)
        if ref.kind != "promise":
            raise VatProtocolError(f"the vat used {vpid} as a promise", remedy="Its code is broken.")
        return ref

    def _capdata(self, value: object) -> tuple[str, tuple[Kref, ...]]:
        body = value.get("body") if isinstance(value, dict) else None
        slots = value.get("slots") if isinstance(value, dict) else None
        if not is_text(body) or not body.startswith("#") or not isinstance(slots, list):
            raise VatProtocolError("the vat sent something that is not CapData", remedy="Its code is broken.")
        self._count_steps(len(slots))
        return body, self._names.all_to_kernel(slots)


def _count(value: object) -> int | None:
    """Give a number that a worker may count up to, None for anything else."""
    return value if type(value) is int and 0 <= value < 1 << 62 else None
