"""A kernel in this process: ``async with Kernel.open(path) as kernel:``; the daemon's engine, without the daemon."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kernel.api.async_calls import AsyncCalls
from kernel.api.engine_thread import EngineThread
from kernel.api.standard_log import StandardLog
from kernel.daemon.client import params_of
from kernel.daemon.home import Home
from kernel.engine.options import KernelOptions

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Sequence
    from concurrent.futures import Future
    from typing import Self

    from kernel.events import Log


class Kernel(AsyncCalls):
    """A kernel in this process, while the ``async with`` block of :meth:`open` lasts.

    It serves any number of coroutines, of any event loop and thread.  After the block, or after :meth:`shutdown`, every
    method raises NotRunningError.
    """

    def __init__(self, engine: EngineThread) -> None:
        """Use :meth:`open` instead."""
        self._engine = engine

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: str | os.PathLike[str] | None = None, *, options: KernelOptions | None = None, log: Log | None = None
    ) -> AsyncIterator[Self]:
        """Run the kernel of a home directory, for the length of an ``async with`` block.

        What cannot be restored is quarantined, as ``get_status`` says.  The block's end ends the vats' processes; what
        was not delivered yet is kept for the next start, by the daemon or by a program.

        Args:
            path: The home directory, made when there is none; ``$OCAP_HOME``, else ``~/.ocap``, when left out.
            options: Bounds, in seconds and bytes.
            log: Where the kernel reports, from a thread of its own; the logger ``kernel`` of the standard library's
                :mod:`logging` when left out.

        Raises:
            DaemonRunningError: A daemon, or another program, runs the kernel of this home.
            HomeError: The home directory cannot be used.
            StoreError: The store cannot be opened.
            ConfinementError: ``options`` require that vats are confined, and this machine has no means to.
        """
        engine = EngineThread(Home(path), options or KernelOptions(), log or StandardLog())
        engine.start()
        try:
            await asyncio.wrap_future(engine.started)
            yield cls(engine)
        finally:
            engine.stop()
            await _end_of(engine.ended)

    @property
    def home(self) -> str:
        """The home directory."""
        return self._engine.home.path

    async def call(self, method: str, params: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Call a method by its name on the wire, and give its result as the wire has it.

        Arguments of messages may be anything that can be passed, bytes and integers of any size too.
        """
        return await asyncio.wrap_future(self._engine.call(method, params_of(params)))


async def _end_of(ended: Future[None]) -> None:
    """Wait for the engine's end, whatever cancels the waiting: a home is not left half open."""
    waiting = asyncio.wrap_future(ended)
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        waiting.exception()  # the cancellation is what the caller hears of
        raise cancelled
    waiting.result()
