"""Restore: what a kernel does at start so that every subcluster that can run does, whatever has become of the others.

Nothing that concerns one subcluster ends the restore: it quarantines that subcluster.  Its cost must not grow with
what need not run: bundles are looked at, not read, unless they changed; vats start when something first waits for
them.
"""

from __future__ import annotations

from kernel.engine.settlement import rejection
from kernel.errors import (
    DisconnectedError,
    OcapError,
    RecordCorruptError,
    ResourcesExhaustedError,
    StoreError,
    describe,
)
from kernel.records import Record
from kernel.refs import subcluster_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.config import ClusterConfig
    from kernel.engine.batch import Batch
    from kernel.engine.bundles import Bundles
    from kernel.engine.channels import Channels
    from kernel.engine.incarnations import Incarnations
    from kernel.engine.quarantine import Quarantine
    from kernel.engine.router import Router
    from kernel.engine.termination import Termination
    from kernel.events import Log
    from kernel.store import Store
    from kernel.store.subclusters import QuarantineRecord, SubclusterRecord
    from kernel.store.vats import BundleRecord, VatRecord


class RestoreReport(Record):
    """How a restore went: ids of the subclusters that can run, and the quarantines of those that cannot."""

    restored: tuple[int, ...]
    quarantined: tuple[QuarantineRecord, ...]


class Restore:
    """See the head of this module."""

    def __init__(
        self,
        store: Store,
        batch: Batch,
        router: Router,
        bundles: Bundles,
        incarnations: Incarnations,
        channels: Channels,
        quarantine: Quarantine,
        termination: Termination,
        log: Log,
    ) -> None:
        self._store = store
        self._batch = batch
        self._router = router
        self._bundles = bundles
        self._incarnations = incarnations
        self._channels = channels
        self._quarantine = quarantine
        self._termination = termination
        self._log = log
        self._with_channels: list[SubclusterRecord] = []

    def run(self, progress: Callable[[int, int], object]) -> RestoreReport:
        """Decide for each subcluster whether it can run.

        Args:
            progress: Called with how many subclusters are done, and of how many.

        Raises:
            StoreError: The store failed as a whole.
        """
        with self._store.reading():
            self._finish_broken_launches()
            self._end_incarnations()
            records = self._store.subclusters.all()
            members: dict[int, list[VatRecord]] = {}
            for vat in self._store.vats.all():
                members.setdefault(vat.subcluster_id, []).append(vat)
            bundles = self._store.vats.bundles()
        for done, record in enumerate(records):
            progress(done, len(records))
            self._restore(record, members.get(record.id, []), bundles)
        progress(len(records), len(records))
        self._batch.commit()
        return self._report(records)

    def open_channels(self) -> None:
        """Open the channels of every subcluster that can run, each on its own.

        Raises:
            StoreError: The store failed as a whole.
        """
        with_channels, self._with_channels = self._with_channels, []
        for record in with_channels:
            quarantine = self._quarantine.records.get(record.id)
            if quarantine is not None and quarantine.code != "io-channel-failed":
                continue
            try:
                self._channels.open_all(record.id, self._bundles.config(record).io)
            except OcapError as error:
                self._quarantine.impose(record.id, error, vat=None)
            else:
                if quarantine is not None:
                    self._quarantine.release(record.id, "subcluster.restored")
        self._batch.commit()

    def _finish_broken_launches(self) -> None:
        for number in self._store.subclusters.launching():
            self._termination.remove_subcluster(number, "failed to launch")
            self._log.warning("subcluster.launch-rolled-back", subclusterId=subcluster_id(number))

    def _end_incarnations(self) -> None:
        """No worker has survived: reject what their vats were to resolve, and what nobody can resolve any more."""
        for vat_id in self._store.references.vats_with_promises():
            self._incarnations.finish(vat_id)
        lost = rejection(
            DisconnectedError("the daemon was restarted before this was answered", remedy="Send it again.")
        )
        with self._batch.unit():
            for number in self._store.promises.orphans():
                self._router.resolve(number, lost)
            for number in self._store.promises.unreferenced():
                self._router.retired(number)
            self._router.collect()

    def _restore(self, record: SubclusterRecord, vats: list[VatRecord], bundles: dict[int, BundleRecord]) -> None:
        vat_name: str | None = None
        try:
            config = self._bundles.config(record)
            for vat in vats:
                vat_name = vat.name
                if vat.name not in config.vats:
                    raise RecordCorruptError(
                        f"the record of subcluster {subcluster_id(record.id)} does not mention its vat {vat.name!r}",
                        path=self._store.path,
                    )
                self._bundles.check(vat.id, config.vats[vat.name], bundles.get(vat.id))
        except StoreError:
            raise
        except ResourcesExhaustedError as error:
            # The machine's trouble, not the subcluster's: it stays what it is, and its vats find out when they start.
            self._log.warning("subcluster.unchecked", subclusterId=subcluster_id(record.id), error=error.to_json())
            if record.id not in self._quarantine.records:
                self._with_channels.append(record)
        except OcapError as error:
            self._quarantine.impose(record.id, error, vat=vat_name)
        except Exception as error:  # noqa: BLE001 - a fault that nobody foresaw is the affair of this subcluster too
            unforeseen = RecordCorruptError(
                f"subcluster {subcluster_id(record.id)} cannot be restored: {describe(error)}", path=self._store.path
            )
            unforeseen.__cause__ = error
            self._quarantine.impose(record.id, unforeseen, vat=vat_name)
        else:
            self._reconsider(record, config)

    def _reconsider(self, record: SubclusterRecord, config: ClusterConfig) -> None:
        """Nothing is wrong with the subcluster's records and bundles: is its earlier quarantine over?"""
        earlier = self._quarantine.records.get(record.id)
        if earlier is None or earlier.code == "io-channel-failed":
            if config.io or earlier is not None:
                self._with_channels.append(record)  # channels are opened, or not, in a later phase
            return
        if earlier.code.startswith("vat-"):
            # Only starting the vat can tell; that is tried once the kernel runs.
            self._quarantine.impose(record.id, _as_error(earlier), vat=earlier.vat)
        else:
            self._quarantine.release(record.id, "subcluster.restored")

    def _report(self, records: list[SubclusterRecord]) -> RestoreReport:
        quarantined = self._quarantine.records
        restored = tuple(record.id for record in records if record.id not in quarantined)
        return RestoreReport(restored, tuple(quarantined[number] for number in sorted(quarantined)))


def _as_error(record: QuarantineRecord) -> OcapError:
    facts = {"path": record.path, "bundleSpec": record.bundle_spec}
    return OcapError.from_json(
        {"code": record.code, "message": record.message, "remedy": record.remedy}
        | {key: value for key, value in facts.items() if value is not None}
    )
