"""The bundles of vats: fetched at launch, checked at restore, loaded when their vat starts.

The check at restore is a ``stat``; a bundle is read again only when that says that it changed.  A vat launched with
``pin`` runs the home's own copy, whatever becomes of the original.  One launched without runs what its URL gives; if
that changed since, it runs with a notice in the log, unless the configuration demands an ``integrity``.
"""

from __future__ import annotations

import json
import os

from kernel.bundle import parse_bundle
from kernel.config import ClusterConfig, VatConfig, parse_cluster_config
from kernel.errors import BundleMissingError, ConfigError, NotFoundError, OcapError, RecordCorruptError
from kernel.fetch import Fetched, Fingerprint, fetch_bundle, resolve_bundle_path, stat_bundle
from kernel.refs import subcluster_id
from kernel.refs import vat_id as vat_name
from kernel.store.vats import BundleRecord, comparable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.engine.batch import Batch
    from kernel.engine.options import KernelOptions
    from kernel.events import Log
    from kernel.fetch import BundleCache
    from kernel.loop import Loop
    from kernel.store import Store
    from kernel.store.subclusters import SubclusterRecord


class Bundles:
    """See the head of this module."""

    def __init__(
        self, store: Store, batch: Batch, cache: BundleCache, loop: Loop, log: Log, options: KernelOptions
    ) -> None:
        self._store = store
        self._batch = batch
        self._cache = cache
        self._loop = loop
        self._log = log
        self._options = options
        self._configs: dict[int, ClusterConfig] = {}

    # --- configurations ---

    def config(self, record: SubclusterRecord) -> ClusterConfig:
        """Give a subcluster's configuration.

        Raises:
            RecordCorruptError: What the store holds is not a configuration.
        """
        known = self._configs.get(record.id)
        if known is None:
            try:
                known = parse_cluster_config(json.loads(record.config))
            except (ValueError, RecursionError, ConfigError) as error:
                raise RecordCorruptError(
                    f"the record of subcluster {subcluster_id(record.id)} in {self._store.path} is broken: {error}",
                    path=self._store.path,
                    subclusterId=subcluster_id(record.id),
                    remedy=f"Restore the store from a backup, or 'ocap subcluster prune {subcluster_id(record.id)}'.",
                ) from error
            self._configs[record.id] = known
        return known

    def forget(self, subcluster: int) -> None:
        """Read the subcluster's configuration anew next time."""
        self._configs.pop(subcluster, None)

    def config_of(self, vat_id: int) -> VatConfig:
        """Give a vat's part of its subcluster's configuration.

        Raises:
            NotFoundError: There is no such vat.
            RecordCorruptError: Its record cannot be read.
        """
        vat = self._store.vats.get(vat_id)
        record = None if vat is None else self._store.subclusters.get(vat.subcluster_id)
        if vat is None or record is None:
            raise NotFoundError(f"there is no vat {vat_name(vat_id)}", vatId=vat_name(vat_id))
        config = self.config(record).vats.get(vat.name)
        if config is None:
            raise RecordCorruptError(
                f"the record of subcluster {subcluster_id(record.id)} does not mention its vat {vat.name!r}",
                path=self._store.path,
                subclusterId=subcluster_id(record.id),
                vat=vat.name,
            )
        return config

    # --- bundles ---

    async def fetch(self, config: VatConfig) -> Fetched:
        """Fetch and check the bundle that a configuration names; a remote one on a thread of its own.

        Raises:
            BundleError: One of its kinds, naming the path or URL.
        """
        if resolve_bundle_path(config.bundle_spec) is not None:
            return fetch_bundle(config.bundle_spec, integrity=config.integrity)
        return await self._loop.run_in_thread(self._fetch_remote, config)

    def _fetch_remote(self, config: VatConfig) -> Fetched:
        return fetch_bundle(config.bundle_spec, integrity=config.integrity, timeout=self._options.fetch_timeout)

    def remember(self, vat_id: int, config: VatConfig, fetched: Fetched) -> None:
        """Store which bundle a vat runs, with a copy of it if it is pinned; call it inside a unit.

        Raises:
            BundleError: The copy cannot be written.
        """
        record = BundleRecord(vat_id, config.bundle_spec, fetched.bundle.sha256, fetched.fingerprint)
        if config.pin:
            self._cache.put(fetched.data)
            record = record._replace(fingerprint=self._copy_fingerprint(record))
        self._store.vats.set_bundle(record)

    def remove_unused_copies(self) -> None:
        """Remove the pinned copies that no vat runs any more, and what a crash left of copying.

        Call it when no launch is under way, on a home that this kernel has to itself.
        """
        try:
            removed = self._cache.sweep(self._store.vats.bundle_digests())
        except OcapError as error:
            self._log.warning("bundles.not-swept", error=error.to_json())
        else:
            if removed:
                self._log.info("bundles.swept", removed=removed)

    def check(self, vat_id: int, config: VatConfig, known: BundleRecord | None) -> None:
        """Check at restore that a vat could be started: its bundle is there, and whole if it changed.

        A remote bundle is not asked for here: a start must not wait for a network.

        Raises:
            BundleError: One of its kinds, naming the path.
        """
        if config.pin:
            if known is None or known.spec != config.bundle_spec:
                # A repair named another bundle: what it names is copied now, and runs from then on.
                with self._batch.unit():
                    self.remember(vat_id, config, fetch_bundle(config.bundle_spec, integrity=config.integrity))
            elif known.fingerprint is None or known.fingerprint != self._copy_fingerprint(known):
                self._copy(vat_id, known)
            return
        fingerprint = stat_bundle(config.bundle_spec)
        if fingerprint is None:
            return
        if known is not None and (known.fingerprint, known.spec) == (comparable(fingerprint), config.bundle_spec):
            return
        self._note(vat_id, config, fetch_bundle(config.bundle_spec, integrity=config.integrity), known)

    async def load(self, vat_id: int) -> dict[str, Any]:
        """Give the bundle that a vat is to run, as its worker wants it.

        Raises:
            BundleError: One of its kinds, naming the path or URL.
            NotFoundError: There is no such vat.
        """
        config = self.config_of(vat_id)
        known = self._store.vats.bundle(vat_id)
        if config.pin and known is not None:
            fetched = self._copy(vat_id, known)
        else:
            fetched = await self.fetch(config)
            self._note(vat_id, config, fetched, known)
        return {
            "entry": fetched.bundle.entry,
            "modules": {name: module._asdict() for name, module in fetched.bundle.modules.items()},
        }

    def _copy(self, vat_id: int, known: BundleRecord) -> Fetched:
        """Read a pinned vat's own copy, checking it against its digest."""
        path = self._cache.path_of(known.sha256)
        data = self._cache.get(known.sha256)
        if data is None:
            raise BundleMissingError(
                f"the pinned copy {path} of vat {vat_name(vat_id)}'s bundle does not exist",
                path=path,
                bundleSpec=known.spec,
                remedy="Restore the home's 'bundles' directory from a backup, or repair with --bundle VAT=PATH.",
            )
        return Fetched(data, parse_bundle(data, path), path, None)

    def _copy_fingerprint(self, known: BundleRecord) -> Fingerprint | None:
        """Say what the file of a pinned copy looks like; None when it cannot be looked at."""
        try:
            status = os.lstat(self._cache.path_of(known.sha256))
        except OSError:
            return None
        return comparable(Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev))

    def _note(self, vat_id: int, config: VatConfig, fetched: Fetched, known: BundleRecord | None) -> None:
        """Store what a bundle looks like now; say so in the log if its content changed."""
        sha256, fingerprint = fetched.bundle.sha256, fetched.fingerprint
        stored = None if fingerprint is None else comparable(fingerprint)
        if known is not None and (known.sha256, known.fingerprint, known.spec) == (sha256, stored, config.bundle_spec):
            return
        if known is not None and known.sha256 != sha256:
            self._log.warning(
                "bundle.changed",
                vatId=vat_name(vat_id),
                bundleSpec=config.bundle_spec,
                path=fetched.resolved,
                before=known.sha256,
                now=sha256,
            )
        with self._batch.unit():
            self._store.vats.set_bundle(BundleRecord(vat_id, config.bundle_spec, sha256, fingerprint))
