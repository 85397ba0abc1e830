"""Running vats: a worker process each, started when something first waits for the vat, given one delivery at a time.

Vats run side by side; one that hangs costs its own deadline and nobody else's.  A vat that dies, hangs or breaks the
protocol during a delivery loses that delivery (its sender gets the reason, so a poison message cannot loop) and its
incarnation; the next delivery starts a new incarnation from the baggage.  What an incarnation still had to resolve is
rejected when it ends.
"""

from __future__ import annotations

from kernel.engine import vat_failures as failures
from kernel.engine.crank import Counters, Crank
from kernel.engine.delivery import delivery_frame
from kernel.engine.garbage import DELIVERY
from kernel.engine.pings import ask_for_pong, ask_for_the_dead
from kernel.engine.settlement import rejection
from kernel.engine.starts import Starts
from kernel.engine.translation import Translation
from kernel.engine.vat_process import VatProcess, detail_of
from kernel.errors import (
    NotFoundError,
    OcapError,
    ResourcesExhaustedError,
    StoreError,
    VatError,
    VatProtocolError,
)
from kernel.refs import vat_id as vat_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernel.engine.batch import Batch
    from kernel.engine.bundles import Bundles
    from kernel.engine.garbage import Collector
    from kernel.engine.incarnations import Incarnations
    from kernel.engine.options import KernelOptions
    from kernel.engine.router import Router
    from kernel.events import Log
    from kernel.loop import Loop, TimerHandle
    from kernel.store import Store
    from kernel.store.deliveries import DeliveryRecord
    from kernel.workers import WorkerExit, WorkerPool

_RETRY_SECONDS = 1.0
"""How long the kernel waits before it takes up again what a failing store interrupted."""


class Vats:
    """The vats that run; see the head of this module."""

    def __init__(
        self,
        store: Store,
        batch: Batch,
        router: Router,
        bundles: Bundles,
        incarnations: Incarnations,
        collector: Collector,
        pool: WorkerPool,
        loop: Loop,
        log: Log,
        options: KernelOptions,
    ) -> None:
        self._store = store
        self._batch = batch
        self._router = router
        self._bundles = bundles
        self._incarnations = incarnations
        self._collector = collector
        self._pool = pool
        self._loop = loop
        self._log = log
        self._options = options
        self._processes: dict[int, VatProcess] = {}
        self._poked: set[int] = set()
        self._delivering: set[int] = set()
        self._starts = Starts(self._begin_turn)
        self._running = False
        self._retry: TimerHandle | None = None
        self.may_run: Callable[[int], bool] = lambda _vat_id: True
        self.left: Callable[[int, str], object] = lambda _vat_id, _reason: None
        self.start_failed: Callable[[int, OcapError], object] = lambda _vat_id, _error: None

    def run(self) -> None:
        """Begin to deliver what waits."""
        self._running = True
        self._retry = None
        try:
            with self._store.reading():
                waiting = self._store.deliveries.vats_with_work()
        except StoreError as error:
            self._store_failed(error)
            return
        for vat_id in waiting:
            self.poke(vat_id)

    def _store_failed(self, error: StoreError) -> None:
        self._log.error("store.failed", error=error.to_json())
        self._run_later()

    def _run_later(self) -> None:
        """Take up what the store's failure interrupted in a while: at once would only keep the disk busy failing."""
        if self._running and self._retry is None:
            self._retry = self._loop.call_later(_RETRY_SECONDS, self.run)

    def poke(self, vat_id: int) -> None:
        """Say that something may wait for a vat."""
        if vat_id not in self._poked:
            self._poked.add(vat_id)
            self._loop.call_soon(self._dispatch, vat_id)

    def runs(self, vat_id: int) -> bool:
        """Say whether a vat has a worker, or is being given one."""
        return vat_id in self._processes

    async def reap(self) -> None:
        """Have every running vat find out what it can no longer reach, and tell it what it can let go of."""
        await ask_for_the_dead(list(self._processes.values()), self._loop, self.poke)

    def process_ids(self) -> dict[int, int | None]:
        """Give the process id of each vat that has a worker (None while it is being made)."""
        return {vat_id: process.worker.pid for vat_id, process in self._processes.items() if process.worker}

    def at_work(self) -> bool:
        """Say whether a vat is working on a delivery now."""
        return bool(self._delivering)

    # --- starting ---

    async def start(self, vat_id: int) -> VatProcess:
        """Have a vat running: start it, or wait until its start is done.

        Raises:
            BundleError: Its bundle cannot be had.
            VatInitError: Its code failed, or its worker ended.
            VatInitTimeoutError: It did not start in time.
            ResourcesExhaustedError: The machine has too little left to start it now.
            NotFoundError: There is no such vat.
        """
        process = self._processes.get(vat_id)
        if process is None:
            process = self._begin_start(vat_id)
        assert process.started is not None
        await process.started
        return process

    def _begin_start(self, vat_id: int) -> VatProcess:
        record = self._store.vats.get(vat_id)
        if record is None:
            raise NotFoundError(f"there is no vat {vat_name(vat_id)}", vatId=vat_name(vat_id))
        process = VatProcess(vat_id, record.name)
        process.started = self._loop.create_future()
        # Somebody always reads the outcome: those who wait, and the dispatcher through start_failed.
        process.started.add_done_callback(lambda _future: None)
        self._processes[vat_id] = process
        self._starts.add(process)
        return process

    def _begin_turn(self, process: VatProcess) -> None:
        self._loop.spawn(self._start(process)).add_done_callback(lambda future: future.result())

    async def _start(self, process: VatProcess) -> None:
        assert process.started is not None
        try:
            with self._store.reading():
                bundle = await self._bundles.load(process.vat_id)
                if process.ended:
                    return
                frames, process.next_import = self._incarnations.begin(process.vat_id, bundle)
            worker = self._pool.start(process.name)
            process.worker = worker
            worker.on_frame = lambda received: self._on_frame(process, received)
            worker.on_exit = lambda exit_: self._on_exit(process, exit_)
            for frame in frames:
                worker.send(frame)
            expired = failures.init_expired(process.vat_id, process.name, self._options.init_timeout)
            process.timer = self._loop.call_later(self._options.init_timeout, self._fail_start, process, expired)
        except OcapError as error:
            self._fail_start(process, error)
        except Exception as error:  # noqa: BLE001 - a fault that nobody foresaw is the affair of this vat
            self._fail_start(process, failures.unforeseen(process.vat_id, process.name, error))

    def _fail_start(self, process: VatProcess, error: OcapError) -> None:
        if process.ended:
            return
        assert process.started is not None
        self.drop(process.vat_id, error)
        if isinstance(error, StoreError):
            self._store_failed(error)  # the store's trouble, not the vat's
        elif isinstance(error, ResourcesExhaustedError):
            self._postpone(process, error)  # and this is the machine's
        else:
            self.start_failed(process.vat_id, error)

    def _postpone(self, process: VatProcess, error: ResourcesExhaustedError) -> None:
        self._log.error("vat.start-postponed", vatId=vat_name(process.vat_id), vat=process.name, error=error.to_json())
        try:
            with self._batch.unit():
                self._router.tell_who_waits_for(process.vat_id, failures.postponed(process.vat_id, error))
        except StoreError:
            return  # undone and reported by the batch, which has told them its own reason
        self._run_later()

    # --- ending ---

    def drop(self, vat_id: int, why: OcapError | None = None) -> None:
        """End a vat's worker at once and forget it; what it did not answer waits for its next incarnation."""
        process = self._processes.pop(vat_id, None)
        if process is None:
            return
        self._delivering.discard(vat_id)
        process.end(why or failures.ended(vat_id, process.name))
        self._starts.over(process)

    def restart_after_loss(self, error: StoreError) -> None:
        """Forget workers that saw what was then undone; deliveries begin anew from what is durable."""
        for vat_id in list(self._processes):
            self.drop(vat_id, error)
        self._run_later()

    def close(self) -> None:
        """Deliver nothing any more and end every worker."""
        self._running = False
        if self._retry is not None:
            self._retry.cancel()
        for vat_id in list(self._processes):
            self.drop(vat_id)

    # --- delivering ---

    def _dispatch(self, vat_id: int) -> None:
        self._poked.discard(vat_id)
        if self._running:
            try:
                with self._store.reading():
                    self._deliver_next(vat_id)
            except StoreError as error:
                self._store_failed(error)

    def _deliver_next(self, vat_id: int) -> None:
        if not self.may_run(vat_id):
            return
        process = self._processes.get(vat_id)
        if process is not None and (not process.ready or process.delivery is not None):
            return
        delivery = self._store.deliveries.first(vat_id)
        if process is not None and process.ready:
            reap = bool(process.reaping)
            actions = self._collector.actions(vat_id, patient=delivery is not None, reap=reap)
            if actions is not None:
                process.actions = actions
                self._deliver(process, DELIVERY, Translation(self._store, vat_id, process.next_import), actions.frame())
                return
        if delivery is None:
            return
        if process is None:
            try:
                self._begin_start(vat_id)
            except NotFoundError:
                return  # terminated since it was poked; its deliveries went with it
        else:
            names = Translation(self._store, vat_id, process.next_import)
            frame = delivery_frame(self._store, delivery, names)
            if frame is not None:
                self._deliver(process, delivery, names, frame)
                return
            with self._batch.unit():  # the vat has forgotten the promise meanwhile: no news for it
                self._store.deliveries.delete(delivery.id)
                self._router.retired(delivery.target.number)
                self._router.collect()
            self.poke(vat_id)

    def _deliver(self, process: VatProcess, delivery: DeliveryRecord, names: Translation, frame: list[Any]) -> None:
        assert process.worker is not None
        process.delivery = delivery
        process.names = names
        if delivery is not DELIVERY:  # answers need not wait for what nobody waits for
            self._delivering.add(process.vat_id)
        process.timer = self._loop.call_later(self._options.delivery_timeout, self._delivery_expired, process)
        process.worker.send(frame)

    def _delivery_expired(self, process: VatProcess) -> None:
        # The kernel may have been the one who was busy: what the worker has said by now is heard first.
        self._loop.call_soon(self._end_overdue, process, process.delivery)

    def _end_overdue(self, process: VatProcess, delivery: DeliveryRecord | None) -> None:
        if process.ended or process.delivery is not delivery:
            return
        error = failures.delivery_expired(process.vat_id, process.name, self._options.delivery_timeout)
        self._abort_delivery(process, error)

    def _abort_delivery(self, process: VatProcess, error: VatError) -> None:
        """End a vat that failed during a delivery; the delivery is answered with the reason and not made again."""
        delivery = process.delivery
        self.drop(process.vat_id)
        self._log.warning(
            "vat.ended",
            vatId=vat_name(process.vat_id),
            vat=process.name,
            code=error.code,
            method=delivery.method if delivery is not None else None,
            error=error.message,
        )
        try:
            with self._batch.unit():
                if delivery is not None:
                    self._router.drop(delivery)
                    if delivery.result is not None:
                        self._router.resolve(delivery.result, rejection(error))
                self._incarnations.end(process.vat_id)
        except StoreError:
            return  # undone and reported by the batch; the delivery is made again
        self.poke(process.vat_id)

    # --- what workers say ---

    def _on_frame(self, process: VatProcess, frame: list[Any]) -> None:
        if process.ended:
            return
        kind = frame[0] if frame and isinstance(frame[0], str) else ""
        if kind == "log":
            process.write_log(self._log, frame)
        elif kind == "pong":
            pings, process.pings = process.pings, []
            for ping in pings:
                ping.set_result("pong")
        elif kind == "started" and not process.ready:
            self._on_started(process)
        elif kind == "failed" and not process.ready:
            self._fail_start(process, failures.init_failed(process.vat_id, process.name, detail_of(frame)))
        elif kind == "done" and process.delivery is not None:
            self._on_done(process, frame)
        else:
            self._breach(process, VatProtocolError(f"the vat's worker sent an unexpected frame {kind[:80]!r}"))

    def _on_started(self, process: VatProcess) -> None:
        process.stop_timer()
        process.ready = True
        self._starts.over(process)
        assert process.started is not None
        process.started.set_result(None)
        self._log.debug("vat.started", vatId=vat_name(process.vat_id), vat=process.name)
        self.poke(process.vat_id)

    def _on_done(self, process: VatProcess, frame: list[Any]) -> None:
        delivery, names = process.delivery, process.names
        assert delivery is not None
        assert names is not None
        crank = Crank(self._store, self._router, process.vat_id, delivery, names)
        try:
            with self._batch.unit():
                self._collector.carry_out(process.vat_id, process.actions)
                counters: Counters = crank.apply(frame)
                self._store.vats.advance(process.vat_id, *counters, names.next_import)
                if crank.exit is not None:
                    self.left(process.vat_id, crank.exit)
        except VatProtocolError as error:
            self._breach(process, error)
            return
        except StoreError:
            return  # undone and reported by the batch, which has forgotten this worker
        except Exception as error:  # noqa: BLE001 - whatever a worker can bring about here is the affair of its vat
            self._breach(process, failures.not_carried_out(error))
            return
        process.end_delivery(names.next_import)
        self._delivering.discard(process.vat_id)
        self.poke(process.vat_id)

    def _breach(self, process: VatProcess, error: VatProtocolError) -> None:
        error.data.update(vat=process.name, vatId=vat_name(process.vat_id))
        if process.ready:
            self._abort_delivery(process, error)
        else:
            self._fail_start(process, error)

    def _on_exit(self, process: VatProcess, exit_: WorkerExit) -> None:
        if process.ended:
            return
        if process.ready:
            self._abort_delivery(process, failures.died(process.vat_id, process.name, exit_))
        elif exit_.from_outside and not process.started_again:
            self._start_again(process, exit_)
        else:
            self._fail_start(process, failures.died_starting(process.vat_id, process.name, exit_))

    def _start_again(self, process: VatProcess, exit_: WorkerExit) -> None:
        """Try a start once more that was killed from outside: that says nothing of the bundle."""
        process.stop_timer()
        process.started_again = True
        vat = vat_name(process.vat_id)
        self._log.warning("vat.start-again", vatId=vat, vat=process.name, reason=exit_.reason)
        self._begin_turn(process)

    async def ping(self, vat_id: int) -> str:
        """Ask a vat's worker for a sign of life, starting it if need be; gives ``"pong"``."""
        return await ask_for_pong(await self.start(vat_id), self._loop, self._options.delivery_timeout)
