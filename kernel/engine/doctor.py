"""The doctor: what the next start would find, tried on a copy; nothing of the home changes.

The restore alone is run, without workers, IO channels or sockets, on a copy of the store that SQLite itself vouches
for, so it may be asked of a stopped home and of one whose daemon runs.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager

from kernel.engine.kernel import Kernel
from kernel.errors import OcapError
from kernel.events import ListLog
from kernel.loop import Loop
from kernel.refs import vat_id
from kernel.store import Store
from kernel.store.opening import check_header, translate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kernel.store.audit import Finding

_SIDE_FILES = ("-wal", "-journal")


@contextmanager
def copied_store(store_path: str, *, live: bool) -> Iterator[str]:
    """Copy a store, of a home that runs or not, into a temporary directory that goes at the end.

    Args:
        store_path: The store's absolute path.
        live: Whether a daemon has it open now.

    Yields:
        The path of the copy.

    Raises:
        StoreError: One of its kinds: it is not a store of ours, is damaged, or cannot be read.
    """
    check_header(store_path)
    with tempfile.TemporaryDirectory(prefix="ocap-doctor-") as directory:
        copy = os.path.join(directory, os.path.basename(store_path))
        if live:
            _back_up(store_path, copy)
        else:
            # Nobody has the store open, and opening it would make files beside it: plain copies change nothing.
            for suffix in ("", *_SIDE_FILES):
                if os.path.exists(store_path + suffix):
                    shutil.copyfile(store_path + suffix, copy + suffix)
        yield copy


def _back_up(store_path: str, copy: str) -> None:
    """Copy a store that a daemon may have open, by SQLite's own means (https://sqlite.org/backup.html)."""
    from urllib.parse import quote

    try:
        with (
            closing(sqlite3.connect(f"file:{quote(store_path)}?mode=ro", uri=True, timeout=5.0)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise translate(error, store_path) from error


def examine(store_path: str, bundles_dir: str, *, live: bool = False) -> dict[str, Any]:
    """Say what a restore of a home would find.

    Args:
        store_path: Absolute path of its store; it need not exist.
        bundles_dir: Absolute path of its pinned bundles.
        live: Whether its daemon runs.

    Returns:
        ``state`` (``empty``, ``healthy``, ``degraded`` or ``unbootable``), ``subclusters`` (how many, and how many
        would run), ``findings`` (each with ``code``, ``message``, ``remedy`` and what it concerns) and ``notices``
        (changed bundles).
    """
    if not os.path.lexists(store_path):
        return {"state": "empty", "subclusters": {"total": 0, "restored": 0}, "findings": [], "notices": []}
    log = ListLog()
    try:
        with copied_store(store_path, live=live) as copy:
            return _examine(copy, bundles_dir, log)
    except OcapError as error:
        finding = error.to_json()
        finding["message"] = error.message.replace(str(error.data.get("path") or store_path), store_path)
        finding["path"] = store_path
        return {"state": "unbootable", "subclusters": None, "findings": [finding], "notices": []}


def _examine(copy: str, bundles_dir: str, log: ListLog) -> dict[str, Any]:
    store = Store.open(copy)
    loop = Loop()
    try:
        findings = [_damage(line) for line in store.check()] or [_wrong(finding) for finding in audit(store)]
        kernel = Kernel(store, loop=loop, log=log, bundles_dir=bundles_dir)
        try:
            report = kernel.restore()
            status = {entry["id"]: entry for entry in kernel.status()["subclusters"]}
        finally:
            kernel.close()
    finally:
        store.close()
        loop.close()
    for identifier, entry in status.items():
        if entry["quarantine"] is not None:
            findings.append({**entry["quarantine"], "subclusterId": identifier})
    total = len(report.restored) + len(report.quarantined)
    return {
        "state": "degraded" if findings else "healthy",
        "subclusters": {"total": total, "restored": len(report.restored)},
        "findings": findings,
        "notices": [record for record in log.records if record["event"] == "bundle.changed"],
    }


def audit(store: Store) -> list[Finding]:
    """Say whether the records of references agree with each other; nothing when they do.

    Raises:
        StoreError: The store cannot be read.
    """
    from kernel.store.audit import audit as audit_records

    with store.reading():
        return audit_records(store.connection)


def _wrong(finding: Finding) -> dict[str, Any]:
    concerns = {"vatId": None if finding.vat is None else vat_id(finding.vat), "kref": finding.kref}
    return {
        "code": finding.code,
        "message": finding.message,
        "remedy": finding.remedy,
        **{key: value for key, value in concerns.items() if value is not None},
    }


def _damage(line: str) -> dict[str, Any]:
    return {
        "code": "store-corrupt",
        "message": f"the store's integrity check says: {line}",
        "remedy": "Restore the store from a backup.",
    }
