"""The kernel: what a daemon, or a program that embeds it, calls.

It puts the parts together and speaks JSON-able data; every rule lives in the part that it concerns.
"""

from __future__ import annotations

from kernel.capdata import CapData, encode, error_of
from kernel.engine.batch import Batch
from kernel.engine.bundles import Bundles
from kernel.engine.channels import Channels
from kernel.engine.description import describe_kernel, describe_subcluster
from kernel.engine.garbage import Collector
from kernel.engine.incarnations import Incarnations
from kernel.engine.launch import Launcher
from kernel.engine.lookup import Lookup
from kernel.engine.objects import Objects
from kernel.engine.options import KernelOptions
from kernel.engine.quarantine import Quarantine
from kernel.engine.restore import Restore, RestoreReport
from kernel.engine.router import BOOTSTRAP, Call, Router, bootstrap_refused, is_method_name
from kernel.engine.services import Services
from kernel.engine.termination import Termination
from kernel.engine.vats import Vats
from kernel.errors import LaunchError, NotFoundError, RejectedError, UsageError
from kernel.fetch import BundleCache
from kernel.refs import parse_kref, parse_subcluster_id, subcluster_id
from kernel.refs import vat_id as vat_name
from kernel.workers import Limits, WorkerPool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernel.config import ClusterConfig
    from kernel.events import Log
    from kernel.loop import Loop
    from kernel.store import Store
    from kernel.workers import Confinement

_COLLECTIONS = 16
"""How many times vats are asked for their dead at most: what one lets go of may be what another's object held."""


class Kernel(Objects):
    """One kernel over one open store; call :meth:`restore`, :meth:`open_channels` and :meth:`run`, in that order."""

    def __init__(
        self,
        store: Store,
        *,
        loop: Loop,
        log: Log,
        bundles_dir: str,
        options: KernelOptions | None = None,
    ) -> None:
        """Make a kernel.

        Args:
            store: Its store; the caller closes it after the kernel.
            loop: Where it waits.
            log: Where it reports.
            bundles_dir: Absolute path of the directory for pinned bundles; made when first needed.
            options: Its bounds.

        Raises:
            ConfinementError: Confinement is required and this machine has none.
        """
        options = options or KernelOptions()
        self._store = store
        self._pool = WorkerPool(
            loop, log, limits=Limits(memory_bytes=options.memory_bytes), require_confinement=options.require_confinement
        )
        self._batch = Batch(store, loop, log)
        self._router = Router(store, self._batch, loop)
        self._bundles = Bundles(store, self._batch, BundleCache(bundles_dir), loop, log, options)
        self._collector = collector = Collector(store, self._router)
        self._incarnations = incarnations = Incarnations(store, self._batch, self._router, self._bundles, collector)
        self._vats = Vats(
            store, self._batch, self._router, self._bundles, incarnations, collector, self._pool, loop, log, options
        )
        self._channels = Channels(self._batch, self._router, loop, log)
        self._termination = Termination(store, self._batch, self._router, self._vats, self._channels, self._bundles)
        self.services = Services(store, self._batch, self._router, loop, log, self)
        self._launcher = Launcher(
            store,
            self._batch,
            self._router,
            self._bundles,
            self._vats,
            self._channels,
            self._termination,
            self.services,
            loop,
            log,
            options,
        )
        self._quarantine = Quarantine(
            store,
            self._batch,
            self._bundles,
            self._router,
            self._vats,
            incarnations,
            self._channels,
            self._launcher,
            self._termination,
            loop,
            log,
        )
        self._restore = Restore(
            store,
            self._batch,
            self._router,
            self._bundles,
            incarnations,
            self._channels,
            self._quarantine,
            self._termination,
            log,
        )
        self._batch.at_work = self._vats.at_work
        self._lookup = Lookup(store, self._router, self._quarantine)
        self._batch.reset_workers = self._vats.restart_after_loss
        self._batch.before_commit = collector.settle
        collector.runs = self._vats.runs
        self._batch.keeps_failing = self._router.give_up_all
        self._router.work_for = self._vats.poke
        self._router.call_service = self.services.call
        self._router.call_channel = self._channels.call
        self._router.quarantine_of_vat = self._quarantine.of_vat
        self._vats.left = self._termination.vat_left
        self._vats.may_run = self._quarantine.may_run
        self._vats.start_failed = self._quarantine.on_start_failed

    # --- life ---

    def restore(self, progress: Callable[[int, int], object] = lambda _done, _total: None) -> RestoreReport:
        """Decide which persisted subclusters can run; those that cannot are quarantined and never end the restore.

        Raises:
            StoreError: The store failed as a whole.
        """
        return self._restore.run(progress)

    def open_channels(self) -> None:
        """Open the IO channels of persisted subclusters; a failing one quarantines its subcluster.

        Raises:
            StoreError: The store failed as a whole.
        """
        self._restore.open_channels()

    def run(self) -> None:
        """Begin to deliver; the home is this kernel's own from here on, so what nobody needs is removed from it."""
        self._bundles.remove_unused_copies()
        self._vats.run()
        self._quarantine.retry_starts()

    def close(self) -> None:
        """End workers and channels; what was not delivered waits for the next start.

        Raises:
            StoreError: The last commit failed; what it held was never acknowledged.
        """
        try:
            self._batch.commit()
        finally:
            self._vats.close()
            self._channels.close()
            self._pool.close()

    def confinement(self) -> Confinement:
        """Say whether, and why not, the operating system confines vats here."""
        return self._pool.confinement()

    def worker_pids(self) -> dict[str, int | None]:
        """Give the process id of the worker of each vat that has one (None while it is being made)."""
        return {vat_name(vat): pid for vat, pid in self._vats.process_ids().items()}

    # --- subclusters; ``by_host`` is False for clients, who cannot end a system subcluster or replace its code ---

    async def launch_subcluster(self, config: ClusterConfig) -> dict[str, Any]:
        """Launch a subcluster; see :meth:`kernel.engine.launch.Launcher.launch`."""
        return await self._launcher.launch(config)

    async def launch_system_subcluster(self, name: str, config: ClusterConfig) -> dict[str, Any]:
        """Launch a subcluster of the host's own, which may have services for system subclusters, unless there is it.

        Args:
            name: The host's name for it.
            config: Its configuration; one that was launched in an earlier life of the kernel keeps its own.

        Returns:
            Its state, as the wire's ``getStatus`` has it.

        Raises:
            ConfigError, LaunchError, StoreError: As for :meth:`launch_subcluster`.
        """
        number = self._store.subclusters.system(name)
        if number is None:
            launched = await self._launcher.launch(config, system=name)
            number = parse_subcluster_id(launched["subclusterId"])
        record = self._store.subclusters.get(number)
        assert record is not None
        return describe_subcluster(self._store, record, self._quarantine.records)

    async def terminate_system_subcluster(self, name: str) -> None:
        """Remove a system subcluster by the host's name.

        Raises:
            NotFoundError: There is none of that name.
            StoreError: The store failed; nothing was removed.
        """
        number = self._store.subclusters.system(name)
        if number is None:
            raise NotFoundError(f"there is no system subcluster {name!r}", remedy="Launch it.")
        await self.terminate_subcluster(subcluster_id(number))

    async def terminate_subcluster(self, name: str, *, by_host: bool = True) -> None:
        """Remove a subcluster, running or quarantined, with all that it has.

        Raises:
            NotFoundError: There is no such subcluster.
            SystemSubclusterError: It is the host's.
            StoreError: The store failed; nothing was removed.
        """
        record = self._lookup.subcluster(name)
        self._lookup.check_owner(record.id, by_host)
        self._termination.remove_subcluster(record.id)
        self._quarantine.forget(record.id)

    async def terminate_vat(self, name: str, *, by_host: bool = True) -> None:
        """Remove one vat; a subcluster whose last vat goes, goes with it.

        Raises:
            NotFoundError: There is no such vat.
            SystemSubclusterError: It is the host's.
            StoreError: The store failed; nothing was removed.
        """
        vat = self._lookup.vat(name)
        self._lookup.check_owner(vat.subcluster_id, by_host)
        if len(self._store.vats.of_subcluster(vat.subcluster_id)) == 1:
            await self.terminate_subcluster(subcluster_id(vat.subcluster_id))
        else:
            self._termination.remove_vat(vat)

    async def terminate_all_vats(self, *, by_host: bool = True) -> None:
        """Remove every subcluster; those of the host's own for the host only."""
        for record in self._store.subclusters.all():
            if record.state == "running" and (by_host or record.system is None):
                await self.terminate_subcluster(subcluster_id(record.id))

    async def restart_vat(self, name: str) -> None:
        """End a vat's worker and start a new incarnation from its baggage.

        Raises:
            NotFoundError: There is no such vat.
            QuarantinedError: Its subcluster is quarantined.
            VatError: It does not start; its subcluster is now quarantined.
        """
        vat = self._lookup.runnable_vat(name)
        self._vats.drop(vat.id)
        self._incarnations.finish(vat.id)
        await self._vats.start(vat.id)

    async def ping_vat(self, name: str) -> str:
        """Ask a vat for a sign of life, starting it if need be; gives ``"pong"``.

        Raises:
            NotFoundError: There is no such vat.
            QuarantinedError: Its subcluster is quarantined.
            VatError: It does not start or does not answer.
        """
        return await self._vats.ping(self._lookup.runnable_vat(name).id)

    async def repair_subcluster(
        self, name: str, bundles: dict[str, str] | None = None, *, by_host: bool = True
    ) -> dict[str, Any]:
        """Let a quarantined subcluster run again; see :meth:`kernel.engine.quarantine.Quarantine.repair`."""
        self._lookup.check_owner(parse_subcluster_id(name), by_host or not bundles, "the bundles of ")
        record = await self._quarantine.repair(name, bundles)
        return describe_subcluster(self._store, record, self._quarantine.records)

    async def prune_subclusters(
        self, names: list[str] | None, quarantined: bool = False, *, by_host: bool = True
    ) -> dict[str, Any]:
        """Remove quarantined subclusters for good; see :meth:`kernel.engine.quarantine.Quarantine.prune`."""
        for name in names or ():
            self._lookup.check_owner(parse_subcluster_id(name), by_host)
        return self._quarantine.prune(names, quarantined=quarantined, system_too=by_host)

    # --- messages ---

    async def queue_message(self, kref: str, method: str, arguments: list[Any]) -> CapData:
        """Send a message and wait for its answer, which is durable when this returns.

        Args:
            kref: The object, or a promise for one.
            method: The method's name.
            arguments: Anything that can be passed; a ``Slot`` has a kref.

        Returns:
            The answer; its slots are krefs.

        Raises:
            RefError: ``kref`` is malformed.
            UsageError: ``method`` cannot be a method's name.
            NotFoundError: Nothing has it, or what an argument refers to.
            CapDataError: An argument cannot be passed.
            RevokedError, QuarantinedError, VatTerminatedError: The target takes no messages, and why.
            RejectedError: The vat rejected; the message is the vat's own, ``data`` has ``body`` and ``slots``.
            VatError: The vat was ended while it worked on the message.
            StoreError: The store failed; the message was not sent.
        """
        target = parse_kref(kref)
        if not is_method_name(method):
            raise UsageError("a method's name is text of 1 to 1000 characters, without lone surrogates", method=method)
        data = encode(arguments)
        if method == BOOTSTRAP:
            raise bootstrap_refused()
        slots = tuple(parse_kref(slot) for slot in data.slots)
        with self._store.reading():
            error = self._lookup.why_no_message(target) or self._lookup.missing(slots)
        if error is not None:
            raise error
        with self._batch.unit():
            result = self._store.promises.insert()
            answer = self._router.wait_for(result)
            self._router.send(target, Call(method, data.body, slots, result))
        settlement = await answer
        if settlement.error is not None:
            raise settlement.error
        answered = settlement.outside()
        if settlement.rejected:
            name, message = error_of(answered) or ("", answered.body)
            raise RejectedError(message, errorName=name, body=answered.body, slots=list(answered.slots))
        return answered

    # --- the store ---

    def count_quarantined(self) -> int:
        """Say how many subclusters are quarantined."""
        return len(self._quarantine.records)

    def status(self, state: str | None = None) -> dict[str, Any]:
        """Give the vats and subclusters, all or those in one state, as the wire's ``getStatus`` has them."""
        with self._store.reading():
            return describe_kernel(self._store, self._quarantine.records, state)

    async def collect_garbage(self) -> None:
        """Remove what nobody holds: promises, and objects, of which running vats are asked what they still hold.

        Raises:
            StoreError: The store failed; what is left is removed another time.
        """
        with self._batch.unit():
            for number in self._store.promises.unreferenced():
                self._router.retired(number)
            self._router.collect()
            self._collector.end_all_that_rest()
            self._store.garbage.suspect_all()
        for _ in range(_COLLECTIONS):
            self._batch.commit()
            before = self._store.references.count()
            await self._vats.reap()
            self._batch.commit()
            if self._store.references.count() == before and not self._store.garbage.any():
                return

    async def clear_state(self, *, by_host: bool = True) -> None:
        """Remove every subcluster and all that belongs to them; identifiers are not used again.

        Raises:
            SystemSubclusterError: There is one of the host's; nothing was removed.
            LaunchError: A launch is under way; nothing was removed.
            StoreError: The store failed; what is left can be cleared again.
        """
        for record in self._store.subclusters.all():
            self._lookup.check_owner(record.id, by_host)
        if self._launcher.launching:
            raise LaunchError("a launch is under way, so nothing was cleared", remedy="Try again when it has ended.")
        await self.terminate_all_vats()
        with self._batch.unit():
            self._store.clear()
        self._batch.commit()

    def execute_query(self, sql: str) -> list[dict[str, Any]]:
        """Run one read-only statement on the store; see :meth:`kernel.store.Store.query`."""
        self._batch.commit()
        return self._store.query(sql)
