"""A kernel in this process: ``async with Kernel.open(path) as kernel:``; the daemon's engine, without the daemon."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from kernel.api.async_calls import AsyncCalls
from kernel.api.engine_thread import EngineThread, HostedService
from kernel.api.host_services import HostCalls
from kernel.api.standard_log import StandardLog
from kernel.daemon.client import params_of
from kernel.daemon.home import Home
from kernel.engine.options import KernelOptions

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Mapping, Sequence
    from concurrent.futures import Future
    from typing import Self

    from kernel.api.shapes import SubclusterStatus
    from kernel.events import Log


class Kernel(AsyncCalls):
    """A kernel in this process, while the ``async with`` block of :meth:`open` lasts.

    It serves any number of coroutines, of any event loop and thread.  After the block, or after :meth:`shutdown`, every
    method raises NotRunningError.
    """

    def __init__(self, engine: EngineThread, calls: HostCalls) -> None:
        """Use :meth:`open` instead."""
        self._engine = engine
        self._calls = calls

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        options: KernelOptions | None = None,
        log: Log | None = None,
        services: Mapping[str, object] | None = None,
        system_services: Mapping[str, object] | None = None,
    ) -> AsyncIterator[Self]:
        """Run the kernel of a home directory, for the length of an ``async with`` block.

        What cannot be restored is quarantined, as ``get_status`` says.  The block's end ends the vats' processes; what
        was not delivered yet is kept for the next start, by the daemon or by a program.

        Args:
            path: The home directory, made when there is none; ``$OCAP_HOME``, else ``~/.ocap``, when left out.
            options: Bounds, in seconds and bytes.
            log: Where the kernel reports, from a thread of its own; the logger ``kernel`` of the standard library's
                :mod:`logging` when left out.
            services: Kernel services by name, as :meth:`register_service` takes them; they are there before the first
                vat of an earlier life runs.
            system_services: The same, for system subclusters only.

        Raises:
            UsageError: There is a service of one of the names already.
            DaemonRunningError: A daemon, or another program, runs the kernel of this home.
            HomeError: The home directory cannot be used.
            StoreError: The store cannot be opened.
            ConfinementError: ``options`` require that vats are confined, and this machine has no means to.
        """
        calls = HostCalls()
        hosted = [HostedService(name, target, calls, False) for name, target in (services or {}).items()]
        hosted += [HostedService(name, target, calls, True) for name, target in (system_services or {}).items()]
        engine = EngineThread(Home(path), options or KernelOptions(), log or StandardLog(), hosted)
        engine.start()
        try:
            await asyncio.wrap_future(engine.started)
            yield cls(engine, calls)
        finally:
            engine.stop()
            try:
                await _end_of(engine.ended)
            finally:
                await calls.close()

    @property
    def home(self) -> str:
        """The home directory."""
        return self._engine.home.path

    async def call(self, method: str, params: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Call a method by its name on the wire, and give its result as the wire has it.

        Arguments of messages may be anything that can be passed, bytes and integers of any size too.
        """
        return await asyncio.wrap_future(self._engine.call(method, params_of(params)))

    async def register_service(self, name: str, target: object, *, system_only: bool = False) -> None:
        """Let vats have a service of this program's: the public methods of an object, for as long as this block lasts.

        Methods are called on the event loop on which the kernel was opened, and may be coroutines.  They take and give
        what can be passed, references as :class:`~kernel.api.Slot`; the :class:`~kernel.api.CapData` of an answer is
        passed on as it is.  What a method raises rejects the call.

        Args:
            name: What a cluster configuration names it by under ``services``.
            target: The object.
            system_only: Whether it is for system subclusters only.

        Raises:
            UsageError: There is a service of that name.
        """
        await asyncio.wrap_future(self._engine.register(HostedService(name, target, self._calls, system_only)))

    async def launch_system_subcluster(self, name: str, config: Mapping[str, Any]) -> SubclusterStatus:
        """Launch a subcluster of this program's own, which may have the services for system subclusters.

        One that was launched under that name before, in an earlier life of the kernel too, is not launched again: it
        keeps its configuration, and its state is given.

        Args:
            name: The program's name for it.
            config: The cluster configuration, as ``docs/wire.md`` has it.

        Raises:
            ConfigError, BundleError, LaunchError, VatError: As for :meth:`launch_subcluster`.
        """
        state = await asyncio.wrap_future(self._engine.launch_system_subcluster(name, dict(config)))
        return cast("SubclusterStatus", state)

    async def terminate_system_subcluster(self, name: str) -> None:
        """Remove a system subcluster, running or quarantined, by the program's name (NotFoundError: there is none)."""
        await asyncio.wrap_future(self._engine.terminate_system_subcluster(name))


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
