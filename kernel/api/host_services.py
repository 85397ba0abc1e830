"""Services of the program that embeds a kernel, called where the program is: on the event loop that opened the kernel.

The engine has a thread of its own, and knows a service as an object whose methods it calls.  What it is given is a
:class:`HostService`, which hands each call over.  Invariants: the program's object, and what its methods give, are
touched on the program's loop alone; every call that is handed over is settled, or cancelled with the end of the block.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from kernel.capdata import CapData, decode, encode
from kernel.engine.services import method_of
from kernel.errors import RejectedError, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from kernel.loop import Future, Loop

    Settle = Callable[[CapData | None, Exception | None], object]


class HostService:
    """What the engine calls in place of a service of the program's; used on the engine's thread."""

    def __init__(self, name: str, target: object, calls: HostCalls, engine: Loop) -> None:
        self._name = name
        self._target = target
        self._calls = calls
        self._engine = engine

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, CapData]]:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._hand_over, method)

    async def _hand_over(self, method: str, *arguments: Any) -> CapData:
        outcome: Future[CapData] = self._engine.create_future()

        def settle(result: CapData | None, error: Exception | None) -> None:
            if error is not None:
                outcome.set_exception(error)
            elif result is not None:
                outcome.set_result(result)

        work = partial(_perform, self._name, self._target, method, arguments)
        self._calls.begin(work, partial(self._engine.call_soon_threadsafe, settle))
        return await outcome


class HostCalls:
    """The calls of services that are under way on the event loop on which this was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[CapData]] = set()

    def begin(self, work: Callable[[], Coroutine[Any, Any, CapData]], settle: Settle) -> None:
        """Have a call made; from any thread.  ``settle`` is called on this loop's thread.

        Raises:
            RuntimeError: The program's event loop has been closed.
        """
        self._loop.call_soon_threadsafe(self._start, work, settle)

    def _start(self, work: Callable[[], Coroutine[Any, Any, CapData]], settle: Settle) -> None:
        task = self._loop.create_task(work(), context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, settle))

    def _ended(self, settle: Settle, task: asyncio.Task[CapData]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            settle(None, RejectedError("the call was cancelled by the program that has the service"))
            return
        error = task.exception()
        if error is not None:
            settle(None, error if isinstance(error, Exception) else RejectedError(describe(error)))
        else:
            settle(task.result(), None)

    async def close(self) -> None:
        """Cancel what is under way, and wait until it has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _perform(name: str, target: object, method: str, arguments: tuple[Any, ...]) -> CapData:
    """Call a method; what it gives is encoded here and now, since it may be the program's own, and may change."""
    function = method_of(name, target, method)
    try:
        value = function(*arguments)
        if inspect.isawaitable(value):
            value = await value
    except (SystemExit, KeyboardInterrupt) as error:  # whoever calls a service does not end the program that has it
        raise RejectedError(f"{name}.{method}() failed: {describe(error)}") from error
    if isinstance(value, CapData):
        decode(value, what=f"the result of {name}.{method}()")
        return value
    return encode(value, what=f"the result of {name}.{method}()")
