"""Launching a subcluster: all of it, or nothing.

Bundles are fetched and channels bound before anything is stored.  The record says ``launching`` until every vat runs
and ``bootstrap`` has answered; a launch that fails, or that a dying daemon cuts short, is rolled back whole.
"""

from __future__ import annotations

import json
import time

from kernel.capdata import CapData, encode
from kernel.engine.router import BOOTSTRAP, Call
from kernel.errors import LaunchError, OcapError, StoreError, VatInitTimeoutError
from kernel.refs import ROOT_VREF, Kref, object_kref, parse_kref, subcluster_id
from kernel.store.references import ChannelRecord
from kernel.timestamps import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.config import ClusterConfig
    from kernel.engine.batch import Batch
    from kernel.engine.bundles import Bundles
    from kernel.engine.channels import Channels
    from kernel.engine.options import KernelOptions
    from kernel.engine.router import Router
    from kernel.engine.services import Services
    from kernel.engine.settlement import Settlement
    from kernel.engine.termination import Termination
    from kernel.engine.vats import Vats
    from kernel.events import Log
    from kernel.fetch import Fetched
    from kernel.loop import Future, Loop
    from kernel.store import Store


class Placed:
    """What a launch has stored so far."""

    def __init__(self, subcluster: int, vats: dict[str, int], roots: dict[str, int], services: dict[str, int]) -> None:
        self.subcluster = subcluster
        self.vats = vats
        self.roots = roots
        self.services = services


class Launcher:
    """See the head of this module."""

    def __init__(
        self,
        store: Store,
        batch: Batch,
        router: Router,
        bundles: Bundles,
        vats: Vats,
        channels: Channels,
        termination: Termination,
        services: Services,
        loop: Loop,
        log: Log,
        options: KernelOptions,
    ) -> None:
        self._store = store
        self._batch = batch
        self._router = router
        self._bundles = bundles
        self._vats = vats
        self._channels = channels
        self._termination = termination
        self._services = services
        self._loop = loop
        self._log = log
        self._options = options
        self._provisional = 0
        self.launching: set[int] = set()
        """Subclusters whose launch is under way: their vats' failures are the launch's affair."""
        self.unfinished: set[int] = set()
        """Subclusters whose roll-back the store refused; removed with the next launch, or at the next start."""

    async def launch(self, config: ClusterConfig, system: str | None = None) -> dict[str, Any]:
        """Launch a subcluster; ``system`` names a system subcluster.

        Returns:
            ``subclusterId``, ``rootKref`` and ``bootstrapResult`` (CapData, or None when the root has no
            ``bootstrap``).

        Raises:
            ConfigError: It asks for a service that there is not.
            LaunchError: A vat or channel failed; ``data["vat"]`` names it, ``data["cause"]`` has the code of the cause.
            StoreError: The store failed, for instance because the disk is full.
        """
        for name in config.services:
            if name not in config.io:
                self._services.check(name, system=system is not None)
        self._remove_unfinished()
        fetched = await self._fetch_all(config)
        self._provisional -= 1
        provisional = self._provisional
        try:
            self._channels.open_all(provisional, config.io)
        except OcapError as error:
            raise _launch_error(error, None) from error
        try:
            placed = self._place(config, fetched, system)
            self._batch.commit()  # the id is this launch's own from here on, whatever becomes of later work
        except BaseException:
            self._channels.close_all(provisional)
            raise
        self._channels.rename(provisional, placed.subcluster)
        self.launching.add(placed.subcluster)
        try:
            result = await self._bring_up(config, placed)
            with self._batch.unit():
                self._store.subclusters.set_running(placed.subcluster)
            self._batch.commit()
        except BaseException:
            self._roll_back(placed.subcluster)
            raise
        finally:
            self.launching.discard(placed.subcluster)
        self._log.info("subcluster.launched", subclusterId=subcluster_id(placed.subcluster), vats=sorted(placed.vats))
        return {
            "subclusterId": subcluster_id(placed.subcluster),
            "rootKref": object_kref(placed.roots[config.bootstrap]),
            "bootstrapResult": result,
        }

    async def _fetch_all(self, config: ClusterConfig) -> dict[str, Fetched]:
        pending: dict[str, Future[Fetched]] = {}
        for name, vat in config.vats.items():
            pending[name] = self._loop.spawn(self._bundles.fetch(vat))
            pending[name].add_done_callback(lambda _future: None)  # read below, unless another fails first
        fetched: dict[str, Fetched] = {}
        for name, future in pending.items():
            try:
                fetched[name] = await future
            except OcapError as error:
                raise _launch_error(error, name) from error
        return fetched

    def _place(self, config: ClusterConfig, fetched: dict[str, Fetched], system: str | None) -> Placed:
        """Store the subcluster, its vats with their roots, and its channels."""
        text = json.dumps(config.to_json(), separators=(",", ":"))
        with self._batch.unit():
            subcluster = self._store.subclusters.insert(text, timestamp(time.time()), system)
            placed = Placed(subcluster, {}, {}, {})
            for name, vat in config.vats.items():
                number = self._store.vats.insert(subcluster, name)
                try:
                    self._bundles.remember(number, vat, fetched[name])
                except OcapError as error:
                    raise _launch_error(error, name) from error
                root = self._store.references.insert_object(number)
                self._store.references.insert_entry(number, ROOT_VREF, Kref("object", root))
                placed.vats[name] = number
                placed.roots[name] = root
            for name in config.io:
                service = self._store.references.insert_object(None)
                self._store.references.insert_channel(ChannelRecord(service, subcluster, name))
                placed.services[name] = service
            for name in config.services:
                if name not in config.io:
                    placed.services[name] = self._services.object_of(name)
        self._bundles.forget(subcluster)
        return placed

    async def _bring_up(self, config: ClusterConfig, placed: Placed) -> dict[str, Any] | None:
        starts = {name: self._loop.spawn(self._vats.start(number)) for name, number in placed.vats.items()}
        for start in starts.values():
            start.add_done_callback(lambda _future: None)  # read below, unless another fails first
        for name, start in starts.items():
            try:
                await start
            except OcapError as error:
                raise _launch_error(error, name) from error
        settlement = await self._bootstrap(config, placed)
        if settlement.rejected:
            raise _bootstrap_error(settlement, config.bootstrap)
        return settlement.outside().to_json()

    async def _bootstrap(self, config: ClusterConfig, placed: Placed) -> Settlement:
        data, slots = _bootstrap_arguments(placed)
        with self._batch.unit():
            result = self._store.promises.insert()
            answer = self._router.wait_for(result)
            target = Kref("object", placed.roots[config.bootstrap])
            self._router.send(target, Call(BOOTSTRAP, data.body, slots, result))
        expired = VatInitTimeoutError(
            f"bootstrap of vat {config.bootstrap!r} did not answer within {self._options.bootstrap_timeout:g} s",
            vat=config.bootstrap,
            remedy="Look for something that it awaits and that never comes.",
        )
        timer = self._loop.call_later(self._options.bootstrap_timeout, self._router.give_up, result, expired)
        try:
            return await answer
        except VatInitTimeoutError as error:
            raise _launch_error(error, config.bootstrap) from error
        finally:
            timer.cancel()

    def _roll_back(self, subcluster: int) -> None:
        try:
            self._termination.remove_subcluster(subcluster, "failed to launch")
        except StoreError as error:
            self.unfinished.add(subcluster)
            self._channels.close_all(subcluster)
            self._log.warning(
                "subcluster.roll-back-postponed", subclusterId=subcluster_id(subcluster), error=error.to_json()
            )

    def _remove_unfinished(self) -> None:
        for subcluster in sorted(self.unfinished):
            self._termination.remove_subcluster(subcluster, "failed to launch")
            self.unfinished.discard(subcluster)


def _bootstrap_arguments(placed: Placed) -> tuple[CapData, tuple[Kref, ...]]:
    """Give the arguments of ``bootstrap``: the vats' roots by name, and the services by name."""
    from kernel.capdata import Slot

    def slots_by_name(numbers: dict[str, int]) -> dict[str, Slot]:
        return {name: Slot(object_kref(number)) for name, number in numbers.items()}

    data = encode([slots_by_name(placed.roots), slots_by_name(placed.services)])
    return data, tuple(parse_kref(slot) for slot in data.slots)


def _launch_error(error: OcapError, vat: str | None) -> OcapError:
    """Say which vat of the subcluster failed; a store that failed speaks for itself."""
    if isinstance(error, (StoreError, LaunchError)):
        return error
    where = f"vat {vat!r}: " if vat is not None else ""
    facts = {key: value for key, value in error.data.items() if key not in ("vat", "cause")}
    return LaunchError(
        f"the subcluster was not launched: {where}{error.message}",
        remedy=error.remedy,
        vat=vat if vat is not None else error.data.get("vat"),
        cause=error.code,
        **facts,
    )


def _bootstrap_error(settlement: Settlement, vat: str) -> OcapError:
    from kernel.capdata import error_of

    if settlement.error is not None:
        return _launch_error(settlement.error, vat)
    name, message = error_of(settlement.outside()) or ("", settlement.body)
    return LaunchError(
        f"the subcluster was not launched: bootstrap of vat {vat!r} failed: {name + ': ' if name else ''}{message}",
        vat=vat,
        cause="rejected",
        remedy="Mend the bundle's bootstrap method and launch again.",
    )
