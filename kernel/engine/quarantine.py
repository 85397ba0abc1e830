"""Quarantine: a subcluster that cannot run is set aside, named, kept, and mended when its cause has gone.

The unit is the subcluster: when one of its vats cannot run, none of them does.  Records, c-lists, baggage and the
messages that were queued stay.  Its vats' incarnations end: what they had yet to answer is rejected, and news of the
promises that they knew is for nobody.  A new message to it is rejected at once, and those outside who wait for one
that is queued are told; the message itself is delivered after the repair.
"""

from __future__ import annotations

import json
import time

from kernel.engine.router import quarantined_error
from kernel.errors import (
    ConfigError,
    NotFoundError,
    NotQuarantinedError,
    OcapError,
    RepairError,
    ResourcesExhaustedError,
    StoreError,
    UsageError,
)
from kernel.refs import parse_subcluster_id, subcluster_id
from kernel.refs import vat_id as vat_name
from kernel.store.subclusters import QuarantineRecord
from kernel.timestamps import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.engine.batch import Batch
    from kernel.engine.bundles import Bundles
    from kernel.engine.channels import Channels
    from kernel.engine.incarnations import Incarnations
    from kernel.engine.launch import Launcher
    from kernel.engine.router import Router
    from kernel.engine.termination import Termination
    from kernel.engine.vats import Vats
    from kernel.events import Log
    from kernel.loop import Loop
    from kernel.store import Store
    from kernel.store.subclusters import SubclusterRecord
    from kernel.store.vats import BundleRecord


_NOT_ITS_OWN = (StoreError, ConfigError, ResourcesExhaustedError)
"""Why a repair may fail without a new cause for the quarantine: the store, the request, the machine."""


class Quarantine:
    """Which subclusters are set aside, and why; see the head of this module."""

    def __init__(
        self,
        store: Store,
        batch: Batch,
        bundles: Bundles,
        router: Router,
        vats: Vats,
        incarnations: Incarnations,
        channels: Channels,
        launcher: Launcher,
        termination: Termination,
        loop: Loop,
        log: Log,
    ) -> None:
        self._store = store
        self._batch = batch
        self._bundles = bundles
        self._router = router
        self._vats = vats
        self._incarnations = incarnations
        self._channels = channels
        self._launcher = launcher
        self._termination = termination
        self._loop = loop
        self._log = log
        self.records: dict[int, QuarantineRecord] = store.subclusters.quarantines()
        self._repairing: set[int] = set()

    # --- asking ---

    def of_vat(self, vat_id: int) -> QuarantineRecord | None:
        """Give the quarantine that a vat is under."""
        if not self.records:
            return None
        vat = self._store.vats.get(vat_id)
        return None if vat is None else self.records.get(vat.subcluster_id)

    def may_run(self, vat_id: int) -> bool:
        """Say whether deliveries to a vat may be made."""
        return self.of_vat(vat_id) is None

    # --- setting aside ---

    def impose(self, subcluster: int, error: OcapError, *, vat: str | None) -> None:
        """Set a subcluster aside because of an error, and say so in one structured warning.

        Raises:
            StoreError: The store failed; the subcluster is set aside in memory all the same.
        """
        earlier = self.records.get(subcluster)
        data = error.data
        same = earlier is not None and (earlier.code, earlier.vat) == (error.code, vat)
        record = QuarantineRecord(
            subcluster,
            error.code,
            error.message,
            error.remedy,
            vat,
            data.get("bundleSpec"),
            data.get("path") or data.get("url"),
            earlier.since if same and earlier is not None else timestamp(time.time()),
        )
        self.records[subcluster] = record
        members = self._store.vats.of_subcluster(subcluster)
        for member in members:
            self._vats.drop(member.id)
        self._channels.close_all(subcluster)
        self._log.warning(
            "subcluster.quarantined",
            subclusterId=subcluster_id(subcluster),
            vat=vat,
            bundleSpec=record.bundle_spec,
            path=record.path,
            code=record.code,
            error=record.message,
            remedy=record.remedy,
            since=record.since,
        )
        with self._batch.unit():
            self._store.subclusters.quarantine(record)
            for member in members:
                self._incarnations.end(member.id, quarantined_error(record))
                self._router.tell_who_waits_for(member.id, quarantined_error(record, queued=True))

    def on_start_failed(self, vat_id: int, error: OcapError) -> None:
        """A vat of a running subcluster could not be started."""
        try:
            with self._store.reading():
                vat = self._store.vats.get(vat_id)
                if vat is None or vat.subcluster_id in self._launcher.launching | self._repairing:
                    return
                self.impose(vat.subcluster_id, error, vat=vat.name)
        except StoreError as failure:
            self._log.error("store.failed", error=failure.to_json())  # the vat is tried again at its next message

    def release(self, subcluster: int, event: str) -> None:
        """Let a subcluster run again.

        Raises:
            StoreError: The store failed; it stays set aside.
        """
        record = self.records.get(subcluster)
        with self._batch.unit():
            self._store.subclusters.release(subcluster)
            if record is not None:
                self._batch.if_lost(lambda _error: self.records.setdefault(subcluster, record))
        self.records.pop(subcluster, None)
        self._log.info(event, subclusterId=subcluster_id(subcluster))
        for vat in self._store.vats.of_subcluster(subcluster):
            self._vats.poke(vat.id)

    # --- mending ---

    async def repair(self, name: str, bundles: dict[str, str] | None) -> SubclusterRecord:
        """Let a subcluster run again if its cause has gone; start its vats to be sure.

        Args:
            name: The subcluster's id.
            bundles: New bundle URLs by vat name, for bundles that moved.

        Raises:
            NotFoundError: There is no such subcluster.
            ConfigError: ``bundles`` names a vat that it has not.
            RepairError: The cause has not gone, or there is another; the subcluster stays set aside.
        """
        number = parse_subcluster_id(name)
        record = self._store.subclusters.get(number)
        if record is None or record.state != "running":
            raise _no_subcluster(number)
        if number in self._repairing:
            raise RepairError(f"subcluster {name} is being repaired already", subclusterId=name, remedy="Wait for it.")
        if number not in self.records:
            if bundles:
                raise RepairError(
                    f"subcluster {name} is not quarantined, so its bundles stay as they are",
                    subclusterId=name,
                    remedy="Launch the new bundle as a subcluster of its own.",
                )
            return record
        before = record.config
        members = self._store.vats.of_subcluster(number)
        replaced = [self._store.vats.bundle(vat.id) for vat in members if vat.name in (bundles or {})]
        self._repairing.add(number)
        try:
            if bundles:
                self._point_elsewhere(record, bundles)
            with self._store.reading():
                await self._try_to_run(number)
            self.release(number, "subcluster.repaired")
            self._batch.commit()
        except OcapError as error:
            self._after_failed_repair(number, before, replaced, error)
            if isinstance(error, _NOT_ITS_OWN):
                raise
            raise RepairError(
                f"subcluster {name} stays quarantined: {error.message}",
                remedy=error.remedy,
                cause=error.code,
                subclusterId=name,
                **{key: value for key, value in error.data.items() if key not in ("cause", "subclusterId")},
            ) from error
        finally:
            self._repairing.discard(number)
        repaired = self._store.subclusters.get(number)
        assert repaired is not None
        return repaired

    def _point_elsewhere(self, record: SubclusterRecord, bundles: dict[str, str]) -> None:
        config = self._bundles.config(record)
        for vat in bundles:
            if vat not in config.vats:
                raise ConfigError(
                    f"subcluster {subcluster_id(record.id)} has no vat {vat!r}",
                    key=vat,
                    remedy=f"Its vats are {', '.join(sorted(config.vats))}.",
                )
        changed = config.to_json()
        for vat, spec in bundles.items():
            changed["vats"][vat]["bundleSpec"] = spec
        with self._batch.unit():
            self._store.subclusters.set_config(record.id, json.dumps(changed, separators=(",", ":")))
            for member in self._store.vats.of_subcluster(record.id):
                known = self._store.vats.bundle(member.id)
                if member.name in bundles and config.vats[member.name].pin and known is not None:
                    # Whatever place is named, the same one too, is where the copy is to be made from anew.
                    self._store.vats.set_bundle(known._replace(spec=""))
        self._bundles.forget(record.id)

    async def _try_to_run(self, number: int) -> None:
        record = self._store.subclusters.get(number)
        assert record is not None
        config = self._bundles.config(record)
        members = self._store.vats.of_subcluster(number)
        for vat in members:
            try:
                self._bundles.check(vat.id, config.vats[vat.name], self._store.vats.bundle(vat.id))
            except OcapError as error:
                error.data.setdefault("vat", vat.name)
                raise
        self._channels.open_all(number, config.io)
        for vat in members:
            try:
                await self._vats.start(vat.id)
            except OcapError as error:
                error.data.setdefault("vat", vat.name)
                raise
        if self._store.subclusters.get(number) is None:
            raise _no_subcluster(number)

    def _after_failed_repair(
        self, number: int, config_before: str, replaced: list[BundleRecord | None], error: OcapError
    ) -> None:
        record = self._store.subclusters.get(number)
        if record is None:
            return  # terminated or pruned meanwhile
        for vat in self._store.vats.of_subcluster(number):
            self._vats.drop(vat.id)
        self._channels.close_all(number)
        if replaced:
            with self._batch.unit():
                self._store.subclusters.set_config(number, config_before)
                for bundle in replaced:
                    if bundle is not None:
                        self._store.vats.set_bundle(bundle)
            self._bundles.forget(number)
        if not replaced and not isinstance(error, _NOT_ITS_OWN):
            self.impose(number, error, vat=error.data.get("vat"))

    def retry_starts(self) -> None:
        """Try once more, in the background, the subclusters whose vats failed in an earlier life of the daemon."""
        for number, record in self.records.items():
            if record.code.startswith("vat-"):
                self._loop.spawn(self._retry(subcluster_id(number)))

    async def _retry(self, name: str) -> None:
        try:
            await self.repair(name, None)
        except OcapError:
            return  # it stays set aside, and the log says why

    # --- removing ---

    def prune(self, names: list[str] | None, *, quarantined: bool, system_too: bool = True) -> dict[str, Any]:
        """Remove quarantined subclusters for good.

        Args:
            names: Their ids; or None together with
            quarantined: all of them,
            system_too: those of the host's own too.

        Returns:
            ``{"pruned": [...]}``, saying for each what was removed.

        Raises:
            UsageError: Neither or both were given.
            NotFoundError: There is no such subcluster; nothing was removed.
            NotQuarantinedError: One of them runs; nothing was removed.
        """
        if bool(names) == quarantined:
            raise UsageError("name the subclusters to prune, or ask for all that are quarantined")
        numbers = [parse_subcluster_id(name) for name in names or ()]
        numbers = numbers or [number for number in sorted(self.records) if system_too or not self._is_system(number)]
        for number in numbers:
            if self._store.subclusters.get(number) is None:
                raise NotFoundError(
                    f"there is no subcluster {subcluster_id(number)}",
                    subclusterId=subcluster_id(number),
                    remedy="See 'ocap subcluster list'; nothing was removed.",
                )
            if number not in self.records:
                raise NotQuarantinedError(
                    f"subcluster {subcluster_id(number)} runs, and only quarantined ones can be pruned",
                    subclusterId=subcluster_id(number),
                    remedy=f"Use 'ocap subcluster terminate {subcluster_id(number)}'; nothing was removed.",
                )
        return {"pruned": [self._prune_one(number) for number in dict.fromkeys(numbers)]}

    def _is_system(self, number: int) -> bool:
        record = self._store.subclusters.get(number)
        return record is not None and record.system is not None

    def _prune_one(self, number: int) -> dict[str, Any]:
        record = self.records[number]
        names = {vat.name: vat_name(vat.id) for vat in self._store.vats.of_subcluster(number)}
        removed = self._termination.remove_subcluster(number, "was pruned")
        self.records.pop(number, None)
        report = {"id": subcluster_id(number), "code": record.code, "bundleSpec": record.bundle_spec, "names": names}
        self._log.info("subcluster.pruned", **{**report, **removed.to_json()})
        return {**report, **removed.to_json()}

    def forget(self, subcluster: int) -> None:
        """A subcluster was removed by other means."""
        self.records.pop(subcluster, None)


def _no_subcluster(number: int) -> NotFoundError:
    name = subcluster_id(number)
    return NotFoundError(f"there is no subcluster {name}", subclusterId=name, remedy="See 'ocap subcluster list'.")
