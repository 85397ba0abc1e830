"""The engine of a home on a thread of its own: what an embedding program's coroutines hand their calls to.

The engine has its own loop (:mod:`kernel.loop`) and a store that belongs to one thread, so neither waits for what the
program does on its threads.  Invariants: the home's lock is held from before the store is opened until after it is
closed, so no daemon and no other kernel comes in between; every call that was taken is settled, at the latest with
NotRunningError when the engine ends; an exception that nobody foresaw ends the engine, and whoever closes it is given
it.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from kernel import __version__
from kernel.api.host_services import HostService
from kernel.config import parse_cluster_config
from kernel.daemon.lock import EMBEDDED, FAILED, STOPPED, DaemonLock, remove_pid_file
from kernel.daemon.methods import call_method
from kernel.daemon.process import monotonic
from kernel.daemon.rpc import RpcFaultError
from kernel.engine import Kernel as Engine
from kernel.errors import NotRunningError
from kernel.loop import Loop
from kernel.records import Record
from kernel.store import Store
from kernel.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from kernel.api.host_services import HostCalls
    from kernel.daemon.home import Home
    from kernel.engine import KernelOptions
    from kernel.events import Log
    from kernel.loop import Future as LoopFuture


class HostedService(Record):
    """A service of the program's, and where its calls are made."""

    name: str
    target: object
    calls: HostCalls
    system_only: bool


class EngineThread:
    """One engine; an implementation of :class:`kernel.daemon.methods.Service`."""

    kernel: Engine
    is_host = True

    def __init__(self, home: Home, options: KernelOptions, log: Log, services: Iterable[HostedService] = ()) -> None:
        """Make it; ``services`` are there before the first vat runs."""
        self.home = home
        self._services = services
        self._options = options
        self._log = log
        self._started_at = timestamp(time.time())
        self._loop = Loop(clock=monotonic)
        self._loop.on_unhandled = self._on_unhandled
        self._failure: BaseException | None = None
        self._calls: set[Future[Any]] = set()
        self._guard = threading.Lock()
        self._open = True
        self.started: Future[None] = Future()
        """Settled when the engine is ready, or with what kept it from that."""
        self.ended: Future[None] = Future()
        """Settled when everything has been closed, or with what went wrong."""
        self._thread = threading.Thread(target=self._run, name=f"ocap-kernel-{home.path}", daemon=True)

    # --- from any thread ---

    def start(self) -> None:
        """Begin; ``started`` has the outcome."""
        self._thread.start()

    def call(self, method: str, params: list[Any] | dict[str, Any]) -> Future[Any]:
        """Have a method called; the future has its result or its error.

        A future that is cancelled only stops waiting: the call goes on.
        """
        return self._take(partial(self._call, method, params))

    def register(self, service: HostedService) -> Future[None]:
        """Have a service registered; see :meth:`kernel.engine.services.Services.register`."""

        async def register() -> None:
            self._register(service)

        return self._take(register)

    def launch_system_subcluster(self, name: str, config: dict[str, Any]) -> Future[dict[str, Any]]:
        """Have a system subcluster launched; see :meth:`kernel.engine.Kernel.launch_system_subcluster`."""

        async def launch() -> dict[str, Any]:
            return await self.kernel.launch_system_subcluster(name, parse_cluster_config(config))

        return self._take(launch)

    def terminate_system_subcluster(self, name: str) -> Future[None]:
        """Have one removed; see :meth:`kernel.engine.Kernel.terminate_system_subcluster`."""

        async def terminate() -> None:
            await self.kernel.terminate_system_subcluster(name)

        return self._take(terminate)

    def _take(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Future[Any]:
        outcome: Future[Any] = Future()
        with self._guard:
            if self._open:
                self._calls.add(outcome)
                self._loop.call_soon_threadsafe(self._begin, work, outcome)
                return outcome
        outcome.set_exception(self._closed())
        return outcome

    def stop(self) -> None:
        """Begin to end; ``ended`` has the outcome.  Idempotent."""
        with self._guard:
            if self._open:
                self._loop.call_soon_threadsafe(self._loop.stop)

    def _closed(self) -> NotRunningError:
        error = NotRunningError(
            f"The kernel of {self.home.path} in this process has been closed.",
            remedy="Open it again; what was queued is kept.",
            home=self.home.path,
        )
        error.__cause__ = self._failure
        return error

    # --- on the engine's thread ---

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            with ExitStack() as closing:
                self._enter(closing)
                self.started.set_result(None)
                self._loop.run_forever()
                failure = self._failure
        except BaseException as error:  # noqa: BLE001 - whoever opened it, or closes it, is told
            failure = error
        if not self.started.done():
            self.started.set_exception(failure or self._closed())
            failure = None
        if failure is not None:
            self.ended.set_exception(failure)
        else:
            self.ended.set_result(None)

    def _enter(self, closing: ExitStack) -> None:
        home = self.home
        closing.callback(self._close_loop)
        home.create()
        lock = DaemonLock(home.lock, home.path, __version__)
        lock.acquire(EMBEDDED)
        closing.callback(self._let_go, lock)
        remove_pid_file(home.pid)  # a dead daemon's; a program that embeds the kernel is no daemon to be signalled
        store = Store.open(home.store)
        closing.callback(store.close)
        self.kernel = Engine(store, loop=self._loop, log=self._log, bundles_dir=home.bundles, options=self._options)
        closing.callback(self.kernel.close)
        for service in self._services:
            self._register(service)
        confinement = self.kernel.confinement()
        if confinement.state != "full":
            self._log.warning("daemon.unconfined", reason=confinement.reason, remedy=confinement.remedy)
        self.kernel.restore()
        self.kernel.open_channels()
        self.kernel.run()

    def _let_go(self, lock: DaemonLock) -> None:
        lock.announce(STOPPED if self._failure is None else FAILED)
        lock.release()

    def _close_loop(self) -> None:
        with self._guard:
            self._open = False
            calls, self._calls = self._calls, set()
            self._loop.close()
        for outcome in calls:
            if outcome.set_running_or_notify_cancel():
                outcome.set_exception(self._closed())

    def _begin(self, work: Callable[[], Coroutine[Any, Any, Any]], outcome: Future[Any]) -> None:
        self._loop.spawn(work()).add_done_callback(lambda done: self._settle(done, outcome))

    def _register(self, service: HostedService) -> None:
        target = HostService(service.name, service.target, service.calls, self._loop)
        self.kernel.services.register(service.name, target, system_only=service.system_only)

    async def _call(self, method: str, params: list[Any] | dict[str, Any]) -> object:
        try:
            return await call_method(self, method, params)
        except RpcFaultError as fault:
            raise fault.error from fault.__cause__

    def _settle(self, done: LoopFuture[object], outcome: Future[Any]) -> None:
        with self._guard:
            if outcome not in self._calls:
                return
            self._calls.remove(outcome)
        if not outcome.set_running_or_notify_cancel():
            return
        error = done.exception()
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(done.result())

    def _on_unhandled(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._loop.stop()

    # --- what the methods ask for ---

    def daemon_facts(self) -> dict[str, Any]:
        """Give the ``daemon`` part of ``getStatus``, without ``state``."""
        return {
            "pid": os.getpid(),
            "version": __version__,
            "startedAt": self._started_at,
            "confinement": self.kernel.confinement()._asdict(),
        }

    def request_stop(self) -> None:
        """Stop once the answer is on its way."""
        self._loop.call_soon(self._loop.stop)
