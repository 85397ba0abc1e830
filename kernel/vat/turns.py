"""Turns: running the vat's code, a call or one step of a coroutine at a time, until all of it waits.

Invariant: whatever vat code raises, SystemExit too, becomes the outcome of the promise that it concerns, and harms
nothing else.  How a promise is settled is not known here.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from kernel.capdata import RemoteError
from kernel.vat.exo import Exo, invoke
from kernel.vat.failures import traceback_of
from kernel.vat.references import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import CoroutineType


class Turns:
    """What is to be run in this crank; see the head of this module."""

    def __init__(
        self,
        new_promise: Callable[[], Promise],
        resolve: Callable[[Promise, Any], None],
        reject: Callable[[Promise, BaseException], None],
        log: Callable[[str, str], None],
    ) -> None:
        """Begin with nothing to run.

        Args:
            new_promise: Makes a promise that is decided here.
            resolve: Settles a promise with what code gave, which may be a promise.
            reject: Settles a promise with what code raised.
            log: Takes a level and a text for the kernel's log.
        """
        self._new_promise = new_promise
        self._resolve = resolve
        self._reject = reject
        self._log = log
        self._ready: deque[Callable[[], None]] = deque()
        self._coroutines: dict[int, tuple[CoroutineType[Any, Any, Any], Promise]] = {}

    def run(self) -> None:
        """Run until there is nothing left to do."""
        while self._ready:
            self._ready.popleft()()

    def soon(self, call: Callable[[], None]) -> None:
        """Make a call later in this crank."""
        self._ready.append(call)

    def call(self, promise: Promise, exo: Exo, method: str, arguments: list[Any]) -> None:
        """Call a method later in this crank; the promise has its outcome."""
        self._ready.append(partial(self._call, promise, exo, method, arguments))

    def spawn(self, coroutine: Coroutine[Any, None, Any]) -> Promise:
        """Run a coroutine in turns; the promise has its outcome."""
        promise = self._new_promise()
        self._ready.append(partial(self._step, coroutine, promise, None))
        return promise

    def promise_of(self, coroutine: CoroutineType[Any, Any, Any]) -> Promise:
        """Give the promise of a coroutine that was passed on instead of awaited."""
        known = self._coroutines.get(id(coroutine))
        if known is None:
            promise = self.spawn(coroutine)
            self._coroutines[id(coroutine)] = coroutine, promise
            promise.when_settled(partial(self._coroutines.__delitem__, id(coroutine)))
            return promise
        return known[1]

    def _call(self, promise: Promise, exo: Exo, method: str, arguments: list[Any]) -> None:
        try:
            value = invoke(exo, method, arguments)
        except BaseException as error:  # noqa: BLE001  (whatever vat code raises, SystemExit too, answers the message)
            self._explain(error)
            self._reject(promise, error)
        else:
            self._resolve(promise, value)

    def _step(self, coroutine: Coroutine[Any, None, Any], outcome: Promise, error: BaseException | None) -> None:
        try:
            awaited = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            self._resolve(outcome, stop.value)
        except BaseException as raised:  # noqa: BLE001  (as in _call)
            self._explain(raised)
            self._reject(outcome, raised)
        else:
            if isinstance(awaited, Promise):
                awaited.when_settled(partial(self._step, coroutine, outcome, None))
                return
            wrong = TypeError(f"a vat can await promises only, and a {type(awaited).__qualname__} is none")
            self._ready.append(partial(self._step, coroutine, outcome, wrong))

    def _explain(self, error: BaseException) -> None:
        if not isinstance(error, RemoteError):
            self._log("debug", traceback_of(error))
        error.__traceback__ = None  # its frames would keep alive what the vat's code has let go of
