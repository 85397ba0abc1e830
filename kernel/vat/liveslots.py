"""Liveslots: one incarnation of a vat, between its objects and the references that the kernel knows.

A crank is one delivery and all that follows from it inside the vat: it lasts until every coroutine waits for a
promise that the kernel has to settle. What the vat does meanwhile is collected as syscalls and handed over at the end
of the crank, all at once.

Exports of this vat are named ``o+n`` and ``p+n``, by its own count; imports ``o-n`` and ``p-n``, by the kernel's. What
the vat holds of either ends with its last mention, and the kernel is told so at the end of a crank. A
promise that is settled, by whichever side, is forgotten by both right then; passed on later it goes out as a new
promise that is settled in the same breath.

Invariants: one reference is one object for the whole incarnation; a delivery's result is settled exactly once; an
error in the vat's code rejects the result that it concerns and harms nothing else. This module knows nothing of pipes
and processes.
"""

from __future__ import annotations

import gc
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any
from weakref import ref

from kernel.capdata import RemoteError, decode, encode
from kernel.errors import CapDataError
from kernel.refs import ROOT_VREF
from kernel.vat.baggage import Baggage
from kernel.vat.durable import Durable, Durables, record_of
from kernel.vat.exo import Exo, interface_of
from kernel.vat.holdings import Exports, Imports
from kernel.vat.references import FULFILLED, PENDING, REJECTED, Presence, Promise, raisable
from kernel.vat.texts import size_of
from kernel.vat.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from kernel.capdata import CapData
    from kernel.smallcaps import SlotOf
    from kernel.vat.durable import Record

CRANK_BYTES = 12 * 1024 * 1024
"""How many bytes one crank may send, all its syscalls together."""

_SYSCALL_BYTES = 256  # a syscall without its CapData


class Liveslots:
    """One incarnation of a vat; see the head of this module."""

    def __init__(
        self,
        *,
        next_export: int,
        next_promise: int,
        baggage: dict[str, CapData],
        log: Callable[[str, str], None],
        crank_bytes: int = CRANK_BYTES,
        durables: Iterable[tuple[str, str, CapData, bool]] = (),
    ) -> None:
        """Begin an incarnation.

        Args:
            next_export: The number of the next object to export.
            next_promise: The number of the next promise to export.
            baggage: What earlier incarnations left.
            log: Takes a level and a text for the kernel's log.
            crank_bytes: Bound for what one crank sends.
            durables: The durable objects that earlier incarnations left; see :meth:`kernel.vat.durable.Durables.load`.
        """
        encode_durable = partial(self._encode, slot_of=self._slot_of_durable)
        self._imports = Imports()
        self._exports = Exports()
        self.baggage = Baggage(dict(baggage), encode_durable, self._value_of, self._imports)
        self.durables = Durables(self._imports, encode_durable, self._value_of, self._new_export_vref, self._charge)
        self.durables.load(durables)
        self._next_export = max(1, next_export)
        self._next_promise = max(1, next_promise)
        self._crank_bytes = crank_bytes
        self._leaving: str | None = None
        self._sent_bytes = 0
        self._syscalls: list[list[Any]] = []
        self._turns = Turns(partial(Promise, self, None, decided_here=True), self.resolve, self.reject, log)
        self._promises: dict[str, Promise] = {}
        self._fresh: list[Promise] = []
        self._to_announce: list[Promise] = []
        self._results: list[tuple[list[Any], ref[Promise]]] = []

    # --- deliveries ---

    def set_root(self, root: Exo) -> None:
        """Export the root object."""
        self._exports.add(ROOT_VREF, root)

    def deliver_message(self, target: str, method: str, args: CapData, result: str | None) -> None:
        """Begin a crank with a message for one of this vat's objects."""
        promise = self._promise_to_decide(result)
        self._imports.arrived(args.slots)
        try:
            arguments = decode(args, self._value_of, what="arguments")
        except CapDataError as error:  # of the sender's making: the kernel does not read what it carries
            self.reject(promise, TypeError(f"the arguments of {method}() cannot be read: {error.message}"))
            return
        if not isinstance(arguments, list):
            self.reject(promise, TypeError(f"the arguments of {method}() are not a list"))
            return
        exo = self._exports.get(target) or self.durables.get(target)
        if exo is None:
            self.reject(
                promise,
                RemoteError(
                    "NotFoundError",
                    "the object does not exist any more: it did not survive the restart of the vat",
                    "not-found",
                ),
            )
        else:
            self._turns.call(promise, exo, method, arguments)

    def deliver_notify(self, resolutions: list[tuple[str, bool, CapData]]) -> None:
        """Begin a crank with the outcome of promises, each (vref, whether it is a rejection, value)."""
        settled: list[tuple[Promise, bool, object]] = []
        for vref, rejected, data in resolutions:
            self._imports.arrived(data.slots)
            promise = self._promises.get(vref)
            if promise is None or promise.state is not PENDING:
                continue
            try:
                value = decode(data, self._value_of, what="the value of a promise")
            except CapDataError as error:  # of the resolver's making, as with arguments
                unreadable = TypeError(f"what a promise was resolved to cannot be read: {error.message}")
                settled.append((promise, True, unreadable))
            else:
                settled.append((promise, rejected, value))
        for promise, rejected, value in settled:  # after all are decoded: resolutions may mention each other
            self._forget(promise)
            promise.decided_here = True  # when it was resolved to another promise, what becomes of it is known here
            if rejected:
                promise.settle(REJECTED, value)
            else:
                self.resolve(promise, value)

    def deliver_garbage(
        self, drop: list[str], retire_exports: list[str], retire_imports: list[str], *, reap: bool
    ) -> None:
        """Begin a crank with what others let go of; ``reap`` looks for what this vat can let go of, cycles too."""
        for vref in drop:
            self._exports.dropped(vref)
        for vref in retire_exports:
            self._exports.retired(vref)
            self.durables.retired(vref)
        for vref in retire_imports:
            self._imports.retired(vref)
        if reap:
            gc.collect()

    def finish_crank(self) -> dict[str, Any]:
        """Run the vat's code until it has nothing left to do, and hand over what it did."""
        self._turns.run()
        self._ask_for_results()
        self._fresh = []
        syscalls = self._syscalls + self.baggage.take_changes() + self.durables.take_changes()
        if self.durables:
            for syscall in syscalls:
                self.durables.mentioned(syscall)
            syscalls += self.durables.take_deleted()
        syscalls += self._given_up()
        self._syscalls = []
        self._sent_bytes = 0
        done = {"syscalls": syscalls, "nextExport": self._next_export, "nextPromise": self._next_promise}
        return done if self._leaving is None else {**done, "exit": self._leaving}

    def _given_up(self) -> list[list[Any]]:
        dropped, retired = self._imports.take_dropped(), self._exports.take_retired()
        # Vat code can recognize an import by the presence only, so what it cannot reach it cannot recognize either.
        syscalls: list[list[Any]] = [["dropImports", dropped], ["retireImports", dropped]] if dropped else []
        return [*syscalls, ["retireExports", retired]] if retired else syscalls

    def _ask_for_results(self) -> None:
        """Subscribe to the results of this crank's messages, and send those without one whose result nobody holds."""
        results, self._results = self._results, []
        for syscall, reference in results:
            promise = reference()
            if promise is None:
                syscall[4] = None
            elif promise.state is PENDING and promise.vref is not None:
                self._promises[promise.vref] = promise
                self.want(promise)

    # --- what presences and promises need (the Sender protocol) ---

    def send(self, target: object, method: str, args: tuple[object, ...]) -> Promise:
        """Send a message; the promise is of its result."""
        while isinstance(target, Promise) and target.state is FULFILLED:
            target = target.outcome
        if isinstance(target, Promise) and target.state is REJECTED:
            return self._rejected(raisable(target.outcome))
        if not isinstance(target, (Promise, Presence, Exo)):
            return self._rejected(TypeError(f"cannot send {method}() to a {type(target).__name__}: it is data"))
        try:
            data = self._encode(list(args), f"the arguments of {method}():")
        except CapDataError as error:
            raise TypeError(error.message) from None
        vref = self._vref_of(target)
        result = Promise(self, self._new_promise_vref(), decided_here=False)
        syscall = ["send", vref, method, data.to_json(), result.vref]
        self._syscalls.append(syscall)
        self._results.append((syscall, ref(result)))
        self._announce_settled()
        return result

    def want(self, promise: Promise) -> None:
        """Subscribe to a promise that another vat decides."""
        if promise.vref is not None and not promise.decided_here and not promise.wanted:
            promise.wanted = True
            self._promises[promise.vref] = promise
            self._syscalls.append(["subscribe", promise.vref])

    def soon(self, call: Callable[[], None]) -> None:
        """Make a call later in this crank."""
        self._turns.soon(call)

    def leave(self, reason: str) -> None:
        """Have the kernel end this vat for good after this crank."""
        self._leaving = reason

    def adopt(self, made: Durable) -> Record:
        """Give a new durable object its name and its state."""
        return self.durables.adopt(made)

    def spawn(self, coroutine: Coroutine[Any, None, Any]) -> Promise:
        """Run a coroutine in turns; the promise, which is decided here, has its outcome."""
        return self._turns.spawn(coroutine)

    # --- settling promises that are decided here ---

    def _promise_to_decide(self, vref: str | None) -> Promise:
        if vref is None:
            return Promise(self, None, decided_here=True)
        promise = self._promises.get(vref)
        if promise is None:
            promise = self._promises[vref] = Promise(self, vref, decided_here=True)
        promise.decided_here = True
        return promise

    def resolve(self, promise: Promise, value: Any) -> None:
        """Settle with a value, or follow it when it is itself a promise."""
        if isinstance(value, CoroutineType):
            value = self._turns.promise_of(value)
        if not isinstance(value, Promise):
            self._settle(promise, FULFILLED, value)
        elif self._leads_to(value, promise):
            self.reject(promise, TypeError("a promise cannot be resolved to itself"))
        else:
            value.when_settled(partial(self._follow, promise, value))

    def _follow(self, promise: Promise, followed: Promise) -> None:
        if followed.state is REJECTED:
            self._settle(promise, REJECTED, followed.outcome)
        else:
            self.resolve(promise, followed.outcome)

    @staticmethod
    def _leads_to(value: object, promise: Promise) -> bool:
        while isinstance(value, Promise):
            if value is promise:
                return True
            value = value.outcome if value.state is FULFILLED else None
        return False

    def reject(self, promise: Promise, error: BaseException) -> None:
        """Settle with an error."""
        self._settle(promise, REJECTED, error)

    def _settle(self, promise: Promise, state: str, value: Any) -> None:
        if promise.vref is None:
            promise.settle(state, value)
            return
        try:
            data = self._encode(value, "the result")
        except CapDataError as error:
            state, value = REJECTED, TypeError(error.message)
            data = encode(value)
        vref = promise.vref
        promise.settle(state, value)
        self._forget(promise)
        self._syscalls.append(["resolve", [[vref, state is REJECTED, data.to_json()], *self._settled_mentioned()]])

    def _rejected(self, error: BaseException) -> Promise:
        promise = Promise(self, None, decided_here=True)
        promise.settle(REJECTED, error)
        return promise

    def _forget(self, promise: Promise) -> None:
        if promise.vref is not None:
            self._promises.pop(promise.vref, None)
            promise.vref = None

    # --- references ---

    def _encode(self, value: object, what: str, slot_of: SlotOf | None = None) -> CapData:
        self._fresh = []
        try:
            data = encode(value, slot_of or self._slot_of, what=what)
            self._charge(_SYSCALL_BYTES + size_of(data.body))
        except BaseException:
            for promise in self._fresh:  # the kernel will not hear of these names
                self._forget(promise)
            raise
        self._to_announce += [promise for promise in self._fresh if promise.state is not PENDING]
        return data

    def _charge(self, size: int) -> None:
        if self._sent_bytes + size > self._crank_bytes:
            raise CapDataError(
                f"would make this delivery send more than {self._crank_bytes} bytes", remedy="Send less at a time."
            )
        self._sent_bytes += size

    def _announce_settled(self) -> None:
        resolutions = self._settled_mentioned()
        if resolutions:
            self._syscalls.append(["resolve", resolutions])

    def _settled_mentioned(self) -> list[list[Any]]:
        """Settle anew the settled promises that the last syscalls mention, and those that these mention in turn."""
        resolutions: list[list[Any]] = []
        announced: list[Promise] = []
        while self._to_announce:
            promise = self._to_announce.pop()
            announced.append(promise)
            state = promise.state
            try:
                data = self._encode(promise.outcome, "the value of a promise")
            except CapDataError as error:
                state, data = REJECTED, encode(TypeError(error.message))
            resolutions.append([promise.vref, state is REJECTED, data.to_json()])
        for promise in announced:
            self._forget(promise)
        return resolutions

    def _slot_of(self, value: object) -> tuple[str, str | None] | None:
        if isinstance(value, CoroutineType):
            value = self._turns.promise_of(value)
        if isinstance(value, Exo):
            return self._vref_of(value), interface_of(value)
        if isinstance(value, Presence):
            return value._vref, value._iface
        if isinstance(value, Promise):
            return self._vref_of(value), None
        return None

    def _slot_of_durable(self, value: object) -> tuple[str, str | None] | None:
        if isinstance(value, Exo) and not isinstance(value, Durable) and self._exports.name_of(value) != ROOT_VREF:
            raise CapDataError(
                f"is a {type(value).__qualname__} of this vat, which will not survive a restart: "
                f"of a vat's own objects only the root and durable ones can be kept in the baggage"
            )
        if isinstance(value, (Promise, CoroutineType)):
            raise CapDataError("is a promise, which will not survive a restart: await it and keep what it gives")
        return self._slot_of(value)

    def _vref_of(self, value: Exo | Presence | Promise) -> str:
        if isinstance(value, Presence):
            return value._vref
        if isinstance(value, Durable):
            return record_of(value).vref
        if isinstance(value, Exo):
            vref = self._exports.name_of(value)
            if vref is None:
                vref = self._new_export_vref()
                self._exports.add(vref, value)
            return vref
        if value.vref is None:
            value.vref = self._new_promise_vref()
            self._fresh.append(value)
        self._promises[value.vref] = value  # it was mentioned, so the name must go on meaning this promise
        return value.vref

    def _new_export_vref(self) -> str:
        vref = f"o+{self._next_export}"
        self._next_export += 1
        return vref

    def _new_promise_vref(self) -> str:
        vref = f"p+{self._next_promise}"
        self._next_promise += 1
        return vref

    def _value_of(self, slot: str, iface: str | None) -> object:
        if slot.startswith("p"):
            promise = self._promises.get(slot)
            if promise is None:
                promise = self._promises[slot] = Promise(self, slot, decided_here=False)
            return promise
        # What is named as an export and is none belonged to an earlier incarnation: the kernel answers messages to it.
        return self._exports.get(slot) or self.durables.get(slot) or self._imports.presence(slot, iface)
