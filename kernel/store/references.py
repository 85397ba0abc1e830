"""Records of objects, of the kernel's own IO channels and services among them, and of the c-lists that name them."""

from __future__ import annotations

from kernel.records import Record
from kernel.store.slots import columns_of, ref_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

    from kernel.refs import Kref


class ObjectRecord(Record):
    """An object; ``owner`` is the vat that exports it, None for the kernel's own and for what a dead vat left.

    ``abandoned`` says that its vat gave it up: it did not survive a restart.
    """

    id: int
    owner: int | None
    revoked: bool
    abandoned: bool


class ChannelRecord(Record):
    """An IO channel, and the object by which vats use it."""

    object_id: int
    subcluster_id: int
    name: str


class References:
    """The tables ``objects``, ``channels``, ``services`` and ``clist``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert_object(self, owner: int | None) -> int:
        """Store a new object; gives its number."""
        cursor = self._connection.execute("INSERT INTO objects (owner) VALUES (?)", (owner,))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def object(self, number: int) -> ObjectRecord | None:
        """Give one object."""
        row = self._connection.execute(
            "SELECT id, owner, revoked, abandoned FROM objects WHERE id = ?", (number,)
        ).fetchone()
        return None if row is None else ObjectRecord(row[0], row[1], bool(row[2]), bool(row[3]))

    def revoke(self, number: int) -> None:
        """Mark an object as revoked, for good."""
        self._connection.execute("UPDATE objects SET revoked = 1 WHERE id = ?", (number,))

    def count(self) -> int:
        """Give how many objects there are."""
        return int(self._connection.execute("SELECT count(*) FROM objects").fetchone()[0])

    def owned_by(self, vat_id: int) -> list[int]:
        """Give the numbers of a vat's objects."""
        return [row[0] for row in self._connection.execute("SELECT id FROM objects WHERE owner = ?", (vat_id,))]

    def delete_unreferenced(self, numbers: list[int]) -> int:
        """Remove those of some ownerless objects that nothing mentions any more; gives how many."""
        return sum(self._connection.execute(_DELETE_UNREFERENCED, {"id": number}).rowcount for number in numbers)

    def insert_channel(self, channel: ChannelRecord) -> None:
        """Store an IO channel."""
        self._connection.execute(
            "INSERT INTO channels (object_id, subcluster_id, name) VALUES (?, ?, ?)", tuple(channel)
        )

    def channels(self) -> list[ChannelRecord]:
        """Give every IO channel."""
        rows = self._connection.execute("SELECT object_id, subcluster_id, name FROM channels ORDER BY object_id")
        return [ChannelRecord(*row) for row in rows]

    def channel(self, object_id: int) -> ChannelRecord | None:
        """Give the IO channel behind an object."""
        row = self._connection.execute(
            "SELECT object_id, subcluster_id, name FROM channels WHERE object_id = ?", (object_id,)
        ).fetchone()
        return None if row is None else ChannelRecord(*row)

    def delete_channels(self, subcluster_id: int) -> list[int]:
        """Remove the IO channels of a subcluster; gives the numbers of their objects, which stay."""
        rows = self._connection.execute(
            "DELETE FROM channels WHERE subcluster_id = ? RETURNING object_id", (subcluster_id,)
        )
        return [row[0] for row in rows.fetchall()]

    def insert_service(self, object_id: int, name: str) -> None:
        """Store the object of a kernel service."""
        self._connection.execute("INSERT INTO services (object_id, name) VALUES (?, ?)", (object_id, name))

    def service(self, name: str) -> int | None:
        """Give the number of a kernel service's object."""
        row = self._connection.execute("SELECT object_id FROM services WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def service_name(self, object_id: int) -> str | None:
        """Give the name of the kernel service behind an object."""
        row = self._connection.execute("SELECT name FROM services WHERE object_id = ?", (object_id,)).fetchone()
        return None if row is None else str(row[0])

    def vref_of(self, vat_id: int, ref: Kref) -> str | None:
        """Give the name by which a vat knows a reference."""
        row = self._connection.execute(_VREF_OF[ref.kind], (vat_id, ref.number)).fetchone()
        return None if row is None else str(row[0])

    def ref_of(self, vat_id: int, vref: str) -> Kref | None:
        """Give what a vat means by a name."""
        row = self._connection.execute(
            "SELECT object, promise FROM clist WHERE vat_id = ? AND vref = ?", (vat_id, vref)
        ).fetchone()
        return None if row is None else ref_of(row)

    def entry_of(self, vat_id: int, ref: Kref) -> tuple[str, bool] | None:
        """Give the name by which a vat knows a reference, and whether the vat can reach it or only recognizes it."""
        row = self._connection.execute(_ENTRY_OF[ref.kind], (vat_id, ref.number)).fetchone()
        return None if row is None else (str(row[0]), bool(row[1]))

    def entry(self, vat_id: int, vref: str) -> tuple[Kref, bool] | None:
        """Give what a vat means by a name, and whether it can reach that or only recognizes it."""
        row = self._connection.execute(
            "SELECT object, promise, reachable FROM clist WHERE vat_id = ? AND vref = ?", (vat_id, vref)
        ).fetchone()
        return None if row is None else (ref_of(row[:2]), bool(row[2]))

    def set_reachable(self, vat_id: int, vref: str, reachable: bool) -> None:
        """Say whether a vat can reach what it knows by a name; of its own exports, whether others may."""
        self._connection.execute(
            "UPDATE clist SET reachable = ? WHERE vat_id = ? AND vref = ?", (int(reachable), vat_id, vref)
        )

    def is_kept(self, vat_id: int, number: int) -> bool:
        """Say whether a vat's baggage, or the state of one of its durable objects, mentions an object."""
        row = self._connection.execute(
            "SELECT 1 FROM baggage_slots WHERE object = ? AND vat_id = ?"
            " UNION ALL SELECT 1 FROM durable_slots WHERE object = ? AND vat_id = ?",
            (number, vat_id, number, vat_id),
        )
        return row.fetchone() is not None

    def delete_entry(self, vat_id: int, vref: str) -> None:
        """Let a vat forget a name."""
        self._connection.execute("DELETE FROM clist WHERE vat_id = ? AND vref = ?", (vat_id, vref))

    def delete_object_entry(self, vat_id: int, number: int) -> None:
        """Let a vat forget an object."""
        self._connection.execute("DELETE FROM clist WHERE vat_id = ? AND object = ?", (vat_id, number))

    def insert_entry(self, vat_id: int, vref: str, ref: Kref) -> None:
        """Let a vat know a reference by a name."""
        self._connection.execute(
            "INSERT INTO clist (vat_id, vref, object, promise) VALUES (?, ?, ?, ?)", (vat_id, vref, *columns_of(ref))
        )

    def delete_promise_entry(self, vat_id: int, promise_id: int) -> None:
        """Let a vat forget a promise."""
        self._connection.execute("DELETE FROM clist WHERE vat_id = ? AND promise = ?", (vat_id, promise_id))

    def promises_known_to(self, vat_id: int) -> list[int]:
        """Give the promises that a vat knows."""
        rows = self._connection.execute(
            "SELECT promise FROM clist WHERE vat_id = ? AND promise IS NOT NULL ORDER BY promise", (vat_id,)
        )
        return [row[0] for row in rows]

    def vats_with_promises(self) -> list[int]:
        """Give the vats that know promises."""
        # The sign keeps SQLite from going through every c-list in the order of vats: those with promises have an index.
        rows = self._connection.execute("SELECT DISTINCT +vat_id FROM clist WHERE promise IS NOT NULL")
        return sorted(row[0] for row in rows)

    def forget_promises(self, vat_id: int) -> None:
        """Let a vat forget every promise: promises do not survive its incarnation."""
        self._connection.execute("DELETE FROM clist WHERE vat_id = ? AND promise IS NOT NULL", (vat_id,))


_VREF_OF = {
    "object": "SELECT vref FROM clist WHERE vat_id = ? AND object = ?",
    "promise": "SELECT vref FROM clist WHERE vat_id = ? AND promise = ?",
}
_ENTRY_OF = {
    "object": "SELECT vref, reachable FROM clist WHERE vat_id = ? AND object = ?",
    "promise": "SELECT vref, reachable FROM clist WHERE vat_id = ? AND promise = ?",
}
_DELETE_UNREFERENCED = """
DELETE FROM objects WHERE id = :id AND owner IS NULL
AND NOT EXISTS (SELECT 1 FROM channels WHERE object_id = :id)
AND NOT EXISTS (SELECT 1 FROM services WHERE object_id = :id)
AND NOT EXISTS (SELECT 1 FROM clist WHERE object = :id)
AND NOT EXISTS (SELECT 1 FROM deliveries WHERE object = :id)
AND NOT EXISTS (SELECT 1 FROM delivery_slots WHERE object = :id)
AND NOT EXISTS (SELECT 1 FROM promise_slots WHERE object = :id)
AND NOT EXISTS (SELECT 1 FROM baggage_slots WHERE object = :id)
AND NOT EXISTS (SELECT 1 FROM durable_slots WHERE object = :id)
AND NOT EXISTS (SELECT 1 FROM pins WHERE object = :id)
AND NOT EXISTS (SELECT 1 FROM leases WHERE object = :id)
"""
