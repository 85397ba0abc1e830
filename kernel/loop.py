"""A small event loop: descriptors, timers, threads' results and coroutines, on one thread.

It exists because importing asyncio costs more than starting the interpreter does (70 ms beside 20 ms on the machine
where this was measured), and a daemon that a person waits for pays that twice.  Methods that asyncio's loop has too
have the same names and meanings here.

Invariants: callbacks run on the thread that runs the loop, in the order in which they were scheduled; an exception
out of a callback, or out of a coroutine whose outcome nobody reads, reaches ``on_unhandled`` and is never lost.
Deadlines read the injected clock only, so a frozen or stepping wall clock does no harm.
"""

from __future__ import annotations

import heapq
import os
import selectors
import threading
import time
from collections import deque
from functools import partial

from kernel.sockets import socketpair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Any, Generic, TypeVar, cast

    T = TypeVar("T")
else:  # importing typing for these would cost more than the loop does
    T = None

    class Generic:
        """Stands in for that of ``typing``."""

        __slots__ = ()
        __class_getitem__ = classmethod(lambda cls, _parameters: cls)

    def cast(_kind, value):
        """Give the value."""
        return value


_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE

_PENDING = "pending"
_DONE = "done"


class CancelledError(Exception):
    """The loop was closed before the outcome was known."""


class Future(Generic[T]):
    """An outcome that is not known yet; awaitable in coroutines that run under :meth:`Loop.spawn`."""

    __slots__ = ("_callbacks", "_exception", "_loop", "_read", "_result", "_state")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._state = _PENDING
        self._result: T | None = None
        self._exception: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], object]] = []
        self._read = False

    def done(self) -> bool:
        """Say whether the outcome is known."""
        return self._state is _DONE

    def result(self) -> T:
        """Give the result, or raise the exception that stands in its place; the outcome must be known."""
        self._read = True
        if self._state is _PENDING:
            raise RuntimeError("the outcome is not known yet")
        if self._exception is not None:
            raise self._exception
        return cast("T", self._result)

    def exception(self) -> BaseException | None:
        """Give the exception, or None when there is a result; the outcome must be known."""
        self._read = True
        if self._state is _PENDING:
            raise RuntimeError("the outcome is not known yet")
        return self._exception

    def set_result(self, result: T) -> None:
        """Settle with a result; a second settlement is an error."""
        self._settle(result, None)

    def set_exception(self, exception: BaseException) -> None:
        """Settle with an exception; a second settlement is an error."""
        self._settle(None, exception)

    def add_done_callback(self, callback: Callable[[Future[T]], object]) -> None:
        """Have ``callback(future)`` run soon after the outcome is known (soon from now when it is known already)."""
        self._read = True
        if self._state is _DONE:
            self._loop.call_soon(callback, self)
        else:
            self._callbacks.append(callback)

    def _settle(self, result: T | None, exception: BaseException | None) -> None:
        if self._state is _DONE:
            raise RuntimeError("the outcome is settled already")
        self._state = _DONE
        self._result = result
        self._exception = exception
        for callback in self._callbacks:
            self._loop.call_soon(callback, self)
        self._callbacks.clear()

    def __await__(self) -> Generator[Future[T], None, T]:
        if self._state is _PENDING:
            yield self
        return self.result()

    def __del__(self) -> None:
        if self._exception is not None and not self._read:
            self._loop.report_unhandled(self._exception)


class TimerHandle:
    """A call that waits for its time; it can be cancelled."""

    __slots__ = ("args", "callback", "cancelled")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        """Never make the call; harmless when it was made already."""
        self.cancelled = True
        self.args = ()


class Loop:
    """The event loop; see the head of this module."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._timer_count = 0
        self._selector = selectors.DefaultSelector()
        self._watched: dict[int, dict[int, tuple[Callable[..., object], tuple[Any, ...]]]] = {}
        """What to call for each descriptor and event: what the selector knows too, and tells only with detours."""
        self._stopping = False
        self._closed = False
        self._threadsafe: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._wake_receiver, self._wake_sender = socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self.on_unhandled: Callable[[BaseException], object] = _raise
        self.add_reader(self._wake_receiver.fileno(), self._drain_wake_ups)

    def time(self) -> float:
        """Give the loop's time in seconds; only differences mean anything."""
        return self._clock()

    # --- calls ---

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Make a call in the loop's next round."""
        self._ready.append((callback, args))

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> None:
        """Make a call in the loop's next round; allowed from any thread and from signal handlers."""
        self._threadsafe.append((callback, args))
        try:
            self._wake_sender.send(b"\0")
        except (BlockingIOError, OSError):
            return  # full: a wake-up is under way already; closed: nobody is left to wake

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> TimerHandle:
        """Make a call after so many seconds."""
        handle = TimerHandle(callback, args)
        self._timer_count += 1
        heapq.heappush(self._timers, (self._clock() + seconds, self._timer_count, handle))
        return handle

    # --- descriptors ---

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call whenever the descriptor can be read; replaces an earlier reader."""
        self._register(fd, selectors.EVENT_READ, (callback, args))

    def remove_reader(self, fd: int) -> None:
        """Stop watching for reads; harmless when nothing watches."""
        self._unregister(fd, selectors.EVENT_READ)

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call whenever the descriptor can be written; replaces an earlier writer."""
        self._register(fd, selectors.EVENT_WRITE, (callback, args))

    def remove_writer(self, fd: int) -> None:
        """Stop watching for writes; harmless when nothing watches."""
        self._unregister(fd, selectors.EVENT_WRITE)

    def _register(self, fd: int, event: int, call: tuple[Callable[..., object], tuple[Any, ...]]) -> None:
        calls = self._watched.get(fd)
        if calls is None:
            self._selector.register(fd, event)
            self._watched[fd] = {event: call}
        else:
            if event not in calls:
                self._selector.modify(fd, _BOTH)
            calls[event] = call

    def _unregister(self, fd: int, event: int) -> None:
        calls = self._watched.get(fd)
        if calls is None or event not in calls:
            return
        if len(calls) > 1:
            self._selector.modify(fd, _BOTH & ~event)
            del calls[event]
        else:
            self._selector.unregister(fd)
            del self._watched[fd]

    def _drain_wake_ups(self) -> None:
        try:
            while self._wake_receiver.recv(4096):
                pass
        except BlockingIOError:
            return

    # --- coroutines and threads ---

    def create_future(self) -> Future[Any]:
        """Make a future that somebody else will settle."""
        return Future(self)

    def spawn(self, coroutine: Coroutine[Future[Any], None, T]) -> Future[T]:
        """Run a coroutine from the loop's next round on; the future has its outcome."""
        outcome: Future[T] = Future(self)
        self.call_soon(self._step, coroutine, outcome)
        return outcome

    def _step(self, coroutine: Coroutine[Future[Any], None, T], outcome: Future[T]) -> None:
        try:
            awaited = coroutine.send(None)
        except StopIteration as stop:
            outcome.set_result(stop.value)
        except Exception as error:  # noqa: BLE001 - it is the coroutine's outcome
            outcome.set_exception(error)
        else:
            awaited.add_done_callback(partial(self._resume, coroutine, outcome))
        finally:
            # The exception's traceback holds this frame; without this the frame would hold the future that holds the
            # exception, and an outcome that nobody reads would go unreported until the cycle collector came by.
            del outcome

    def _resume(self, coroutine: Coroutine[Future[Any], None, T], outcome: Future[T], _awaited: Future[Any]) -> None:
        self._step(coroutine, outcome)

    def run_in_thread(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Run a blocking function on a thread of its own; the future has its outcome.

        The thread is a daemon thread: it does not keep the process alive.
        """
        outcome: Future[T] = Future(self)

        def settle(result: T | None, error: BaseException | None) -> None:
            if error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(cast("T", result))

        def work() -> None:
            try:
                result = function(*args)
            except BaseException as error:  # noqa: BLE001 - it is the call's outcome
                self.call_soon_threadsafe(settle, None, error)
            else:
                self.call_soon_threadsafe(settle, result, None)

        threading.Thread(target=work, name=f"ocap-{function.__name__}", daemon=True).start()
        return outcome

    # --- running ---

    def run_forever(self) -> None:
        """Run until :meth:`stop`."""
        self._stopping = False
        while not self._stopping:
            self._round()

    def run_until_complete(self, coroutine: Coroutine[Future[Any], None, T]) -> T:
        """Run until a coroutine has ended, and give its result or raise its exception."""
        outcome = self.spawn(coroutine)
        outcome.add_done_callback(lambda _future: self.stop())
        self.run_forever()
        return outcome.result()

    def stop(self) -> None:
        """End :meth:`run_forever` after the round under way."""
        self._stopping = True

    def close(self) -> None:
        """Release the loop's own descriptors; idempotent."""
        if self._closed:
            return
        self._closed = True
        for callback, args in self._ready:
            if callback == self._step:
                args[0].close()  # one that has not begun: nobody shall be warned that it never will
        self._ready.clear()
        self._timers.clear()
        self._threadsafe.clear()
        self._watched.clear()
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def report_unhandled(self, error: BaseException) -> None:
        """Hand an exception that nobody can catch any more to ``on_unhandled``."""
        if not self._closed:
            self.call_soon(self.on_unhandled, error)

    def _round(self) -> None:
        """Wait for something to do, and do it."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        timeout: float | None = None
        if self._ready or self._threadsafe or self._stopping:
            timeout = 0.0
        elif self._timers:
            timeout = max(0.0, self._timers[0][0] - self._clock())
        for key, events in self._selector.select(timeout):
            for event, call in self._watched[key.fd].items():
                if events & event:
                    self._ready.append((self._call_if_watched, (key.fd, event, call)))
        while self._threadsafe:
            self._ready.append(self._threadsafe.popleft())
        if self._timers:
            now = self._clock()
            while self._timers and self._timers[0][0] <= now:
                handle = heapq.heappop(self._timers)[2]
                if not handle.cancelled:
                    self._ready.append((self._fire, (handle,)))
        for _ in range(len(self._ready)):
            if not self._ready:
                return  # the loop was closed by a callback
            callback, args = self._ready.popleft()
            try:
                callback(*args)
            except Exception as error:  # noqa: BLE001 - handed to on_unhandled
                self.on_unhandled(error)

    def _call_if_watched(self, fd: int, event: int, call: tuple[Callable[..., object], tuple[Any, ...]]) -> None:
        """Skip an event whose watcher was removed (and its descriptor perhaps reused) earlier in the round."""
        calls = self._watched.get(fd)
        if calls is not None and calls.get(event) is call:
            callback, args = call
            callback(*args)

    @staticmethod
    def _fire(handle: TimerHandle) -> None:
        if not handle.cancelled:
            handle.callback(*handle.args)


async def sleep(loop: Loop, seconds: float) -> None:
    """Wait so many seconds of the loop's time."""
    woken: Future[None] = loop.create_future()
    loop.call_later(seconds, woken.set_result, None)
    await woken


def set_nonblocking(fd: int) -> None:
    """Make reads and writes on a descriptor return at once."""
    os.set_blocking(fd, False)


def _raise(error: BaseException) -> None:
    raise error
