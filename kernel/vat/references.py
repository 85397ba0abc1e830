"""References as vat code holds them: presences, promises, and ``E`` to send messages to them.

A presence stands for an object of another vat, a promise for a value that is not known yet. Both are opaque: all that
vat code can do with them is pass them on, compare them by identity, send to them, and await a promise.

Invariants: within an incarnation one reference is one Python object; a promise settles once. How a message leaves the
vat is not known here: that is the :class:`Sender`'s part.
"""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from kernel.capdata import RemoteError
from kernel.smallcaps import remote_error
from kernel.vat.exo import Exo
from kernel.vat.texts import has_utf8_form

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from kernel.vat.durable import Durable, Record

METHOD_CHARACTERS = 1000
"""How long the name of a method may be."""

PENDING = "pending"
FULFILLED = "fulfilled"
REJECTED = "rejected"


class Sender(Protocol):
    """What presences and promises need of the vat they live in."""

    def send(self, target: object, method: str, args: tuple[object, ...]) -> Promise:
        """Send a message to a presence, promise or own object."""

    def want(self, promise: Promise) -> None:
        """Have the kernel tell how a promise is settled."""

    def soon(self, call: Callable[[], None]) -> None:
        """Make a call later in this crank."""

    def resolve(self, promise: Promise, value: object) -> None:
        """Settle a promise that is decided here, or have it follow another."""

    def reject(self, promise: Promise, error: BaseException) -> None:
        """Reject a promise that is decided here."""

    def spawn(self, coroutine: Coroutine[Any, None, Any]) -> Promise:
        """Run a coroutine in turns; the promise has its outcome."""

    def adopt(self, made: Durable) -> Record:
        """Give a new durable object its name and its state."""


_current: Sender | None = None


def enter_vat(sender: Sender) -> None:
    """Say which vat's code runs from now on; a worker process has one for its whole life."""
    global _current
    _current = sender


def current_vat() -> Sender:
    """Give the vat whose code is running."""
    if _current is None:
        raise RuntimeError("E() sends messages from inside a vat; no vat is running here")
    return _current


class Presence:
    """A reference to an object that lives in another vat."""

    __slots__ = ("__weakref__", "_iface", "_vref")

    def __init__(self, vref: str, iface: str | None) -> None:
        self._vref = vref
        self._iface = iface

    def __repr__(self) -> str:
        return f"<Presence {self._iface or 'of an object'}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"{self!r} lives in another vat: send with E(...).{name}(...) and await the result")


class Promise:
    """A value that is not known yet; ``await`` gives it, or raises the error that stands in its place."""

    __slots__ = ("__weakref__", "_state", "_value", "_vat", "_waiters", "decided_here", "vref", "wanted")

    def __init__(self, vat: Sender, vref: str | None, *, decided_here: bool) -> None:
        self._vat = vat
        self._state = PENDING
        self._value: Any = None
        self._waiters: list[Callable[[], None]] = []
        self.vref = vref
        self.decided_here = decided_here
        self.wanted = False

    @property
    def state(self) -> str:
        """``pending``, ``fulfilled`` or ``rejected``."""
        return self._state

    @property
    def outcome(self) -> Any:
        """The value of a fulfilled promise, the error of a rejected one."""
        return self._value

    def settle(self, state: str, value: Any) -> None:
        """Fix the outcome and let all who wait go on."""
        if self._state is not PENDING:
            raise RuntimeError("the promise is settled already")
        self._state, self._value = state, value
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._vat.soon(waiter)

    def when_settled(self, waiter: Callable[[], None]) -> None:
        """Make a call soon after the promise is settled; soon from now when it is so already.

        Calls are not made from inside one another, so chains of promises may have any length.
        """
        if self._state is not PENDING:
            self._vat.soon(waiter)
            return
        self._waiters.append(waiter)
        self._vat.want(self)

    def __await__(self) -> Generator[Promise, None, Any]:
        if self._state is PENDING:
            yield self
        if self._state is REJECTED:
            raise raisable(self._value)
        return self._value

    def __repr__(self) -> str:
        return f"<Promise, {self._state}>"


def raisable(reason: object) -> RemoteError:
    """Give the exception to raise for a rejection: a new one each time, as a traceback belongs to one raising.

    It is a RemoteError wherever the error came from: whoever sends need not know whether the object is one of its own
    vat.
    """
    if isinstance(reason, BaseException):
        raised = remote_error(reason)
        raised.__cause__ = None if isinstance(reason, RemoteError) else reason
        return raised
    return RemoteError("Rejected", f"the promise was rejected with {reason!r}")


class E:
    """Send messages: ``await E(counter).increment(2)``.

    The message leaves at once, whether or not the result is awaited. The target may be a presence, an object of this
    vat, or a promise of either, so that calls can be chained without waiting:
    ``E(E(bank).account("alice")).balance()``.
    """

    __slots__ = ("_target",)

    def __init__(self, target: object) -> None:
        if isinstance(target, CoroutineType):
            target = current_vat().spawn(target)
        if not isinstance(target, (Presence, Promise, Exo)):
            raise TypeError(
                f"E() sends to references and promises of references, and a {type(target).__qualname__} is neither"
            )
        self._target = target

    def __getattr__(self, name: str) -> Callable[..., Promise]:
        if name.startswith("_"):
            raise AttributeError(f"methods whose name begins with an underscore cannot be called from outside: {name}")
        if len(name) > METHOD_CHARACTERS or not has_utf8_form(name):
            raise AttributeError(f"no method can have the name {name[:40]!r}: it is too long, or no text")
        target = self._target

        def send(*args: object, **named: object) -> Promise:
            if named:
                raise TypeError(
                    f"messages have positional arguments only: pass {', '.join(named)} of {name}() by position"
                )
            vat = target._vat if isinstance(target, Promise) else current_vat()
            return vat.send(target, name, args)

        return send
