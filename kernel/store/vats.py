"""Records of vats, and of the bundle that each was started from."""

from __future__ import annotations

from kernel.fetch import Fingerprint
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

_SIGNED = (1 << 63) - 1
"""SQLite's integers are signed, inode and device numbers are not; both sides of a comparison are cut alike."""


class VatRecord(Record):
    """A vat; the ``next_...`` numbers are the first that its c-list has never used."""

    id: int
    subcluster_id: int
    name: str
    incarnation: int
    next_export: int
    next_promise: int
    next_import: int


class BundleRecord(Record):
    """The bundle that a vat runs: where from, the SHA-256 of its bytes (hex), and what its file looked like."""

    vat_id: int
    spec: str
    sha256: str
    fingerprint: Fingerprint | None


class Vats:
    """The tables ``vats`` and ``bundles``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(self, subcluster_id: int, name: str) -> int:
        """Store a new vat; gives its id."""
        cursor = self._connection.execute("INSERT INTO vats (subcluster_id, name) VALUES (?, ?)", (subcluster_id, name))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def get(self, vat_id: int) -> VatRecord | None:
        """Give one vat."""
        row = self._connection.execute(_SELECT_VAT + " WHERE id = ?", (vat_id,)).fetchone()
        return None if row is None else VatRecord(*row)

    def all(self) -> list[VatRecord]:
        """Give every vat, oldest first."""
        return [VatRecord(*row) for row in self._connection.execute(_SELECT_VAT + " ORDER BY id")]

    def of_subcluster(self, subcluster_id: int) -> list[VatRecord]:
        """Give the vats of a subcluster, oldest first."""
        rows = self._connection.execute(_SELECT_VAT + " WHERE subcluster_id = ? ORDER BY id", (subcluster_id,))
        return [VatRecord(*row) for row in rows]

    def begin_incarnation(self, vat_id: int) -> int:
        """Count a new incarnation; gives its number, from 1."""
        row = self._connection.execute(
            "UPDATE vats SET incarnation = incarnation + 1 WHERE id = ? RETURNING incarnation", (vat_id,)
        ).fetchone()
        return int(row[0])

    def advance(self, vat_id: int, next_export: int, next_promise: int, next_import: int) -> None:
        """Store the first numbers that the vat's c-list has never used."""
        self._connection.execute(
            "UPDATE vats SET next_export = max(next_export, ?), next_promise = max(next_promise, ?), next_import = ?"
            " WHERE id = ?",
            (next_export, next_promise, next_import, vat_id),
        )

    def delete(self, vat_id: int) -> None:
        """Remove a vat; its c-list, baggage and deliveries go with it, its objects stay without an owner."""
        self._connection.execute("DELETE FROM vats WHERE id = ?", (vat_id,))

    def set_bundle(self, record: BundleRecord) -> None:
        """Store which bundle a vat runs, in place of an earlier one."""
        fingerprint = None if record.fingerprint is None else comparable(record.fingerprint)
        self._connection.execute(
            "INSERT OR REPLACE INTO bundles (vat_id, spec, sha256, size, mtime_ns, inode, device)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (record.vat_id, record.spec, record.sha256, *(fingerprint or (None, None, None, None))),
        )

    def bundles(self) -> dict[int, BundleRecord]:
        """Give every vat's bundle by vat."""
        return {row[0]: _bundle(row) for row in self._connection.execute(_SELECT_BUNDLE)}

    def bundle_digests(self) -> set[str]:
        """Give the digest of every bundle that a vat runs."""
        return {row[0] for row in self._connection.execute("SELECT DISTINCT sha256 FROM bundles")}

    def bundle(self, vat_id: int) -> BundleRecord | None:
        """Give one vat's bundle."""
        row = self._connection.execute(_SELECT_BUNDLE + " WHERE vat_id = ?", (vat_id,)).fetchone()
        return None if row is None else _bundle(row)


_SELECT_VAT = "SELECT id, subcluster_id, name, incarnation, next_export, next_promise, next_import FROM vats"
_SELECT_BUNDLE = "SELECT vat_id, spec, sha256, size, mtime_ns, inode, device FROM bundles"


def comparable(fingerprint: Fingerprint) -> Fingerprint:
    """Give a fingerprint in the form in which the store keeps it."""
    return Fingerprint(*(number & _SIGNED for number in fingerprint))


def _bundle(row: tuple[int, str, str, int | None, int | None, int | None, int | None]) -> BundleRecord:
    vat_id, spec, sha256, size, mtime_ns, inode, device = row
    if size is None or mtime_ns is None or inode is None or device is None:
        return BundleRecord(vat_id, spec, sha256, None)
    return BundleRecord(vat_id, spec, sha256, Fingerprint(size, mtime_ns, inode, device))
