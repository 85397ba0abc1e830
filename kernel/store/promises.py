"""Records of kernel promises and of who wants to be told of their resolution."""

from __future__ import annotations

from kernel.records import Record
from kernel.store.slots import SlotTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kernel.refs import Kref


class PromiseRecord(Record):
    """A promise: ``unresolved``, ``fulfilled`` or ``rejected``; ``decider`` is the vat that may resolve it.

    ``decider`` is None while the message whose result it is waits in a queue, and for what the kernel itself decides.
    """

    id: int
    state: str
    decider: int | None
    body: str | None


class Promises:
    """The tables ``promises``, ``promise_slots`` and ``subscribers``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._slots = SlotTable(connection, "promise_slots", ("promise_id",))

    def insert(self, decider: int | None = None) -> int:
        """Store a new unresolved promise; gives its number."""
        cursor = self._connection.execute("INSERT INTO promises (decider) VALUES (?)", (decider,))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def get(self, number: int) -> PromiseRecord | None:
        """Give one promise."""
        row = self._connection.execute(
            "SELECT id, state, decider, body FROM promises WHERE id = ?", (number,)
        ).fetchone()
        return None if row is None else PromiseRecord(*row)

    def slots(self, number: int) -> tuple[Kref, ...]:
        """Give the slots of a resolved promise's value."""
        return self._slots.select((number,))

    def set_decider(self, number: int, decider: int | None) -> None:
        """Say which vat may resolve a promise."""
        self._connection.execute("UPDATE promises SET decider = ? WHERE id = ?", (decider, number))

    def resolve(self, number: int, *, rejected: bool, body: str, slots: Sequence[Kref]) -> None:
        """Store the resolution of an unresolved promise."""
        self._connection.execute(
            "UPDATE promises SET state = ?, decider = NULL, body = ? WHERE id = ?",
            ("rejected" if rejected else "fulfilled", body, number),
        )
        self._slots.insert((number,), slots)

    def decided_by(self, vat_id: int) -> list[int]:
        """Give the unresolved promises that a vat was to resolve."""
        rows = self._connection.execute(
            "SELECT id FROM promises WHERE decider = ? AND state = 'unresolved' ORDER BY id", (vat_id,)
        )
        return [row[0] for row in rows]

    def orphans(self) -> list[int]:
        """Give the unresolved promises that nobody can resolve: no vat decides them, no queued message will."""
        rows = self._connection.execute(
            "SELECT id FROM promises WHERE decider IS NULL AND state = 'unresolved'"
            " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE result = promises.id) ORDER BY id"
        )
        return [row[0] for row in rows]

    def subscribe(self, number: int, vat_id: int) -> None:
        """Note that a vat wants to be told of a promise's resolution."""
        self._connection.execute("INSERT OR IGNORE INTO subscribers VALUES (?, ?)", (number, vat_id))

    def take_subscribers(self, number: int) -> list[int]:
        """Give the vats that want to be told, and forget them."""
        rows = self._connection.execute("DELETE FROM subscribers WHERE promise_id = ? RETURNING vat_id", (number,))
        return sorted(row[0] for row in rows.fetchall())

    def unsubscribe_all(self, vat_id: int) -> None:
        """Forget every wish of a vat to be told."""
        self._connection.execute("DELETE FROM subscribers WHERE vat_id = ?", (vat_id,))

    def delete_unreferenced(self, number: int) -> bool:
        """Remove a resolved promise if nothing mentions it any more; says whether it did."""
        return self._connection.execute(_DELETE_UNREFERENCED, {"id": number}).rowcount > 0

    def is_mentioned(self, number: int) -> bool:
        """Say whether anything mentions a promise: a vat, a message, another promise's value, a wish to be told."""
        row = self._connection.execute(f"SELECT 1 FROM promises WHERE id = ? AND {_NOT_MENTIONED}", (number,))
        return row.fetchone() is None

    def unreferenced(self) -> list[int]:
        """Give the resolved promises that nothing mentions."""
        return [row[0] for row in self._connection.execute(_UNREFERENCED)]


_NOT_MENTIONED = """
NOT EXISTS (SELECT 1 FROM clist WHERE promise = promises.id)
AND NOT EXISTS (SELECT 1 FROM subscribers WHERE promise_id = promises.id)
AND NOT EXISTS (SELECT 1 FROM deliveries WHERE promise = promises.id)
AND NOT EXISTS (SELECT 1 FROM deliveries WHERE result = promises.id)
AND NOT EXISTS (SELECT 1 FROM delivery_slots WHERE promise = promises.id)
AND NOT EXISTS (SELECT 1 FROM promise_slots WHERE promise = promises.id)
AND NOT EXISTS (SELECT 1 FROM baggage_slots WHERE promise = promises.id)
AND NOT EXISTS (SELECT 1 FROM durable_slots WHERE promise = promises.id)
"""
_DELETE_UNREFERENCED = f"DELETE FROM promises WHERE id = :id AND state <> 'unresolved' AND {_NOT_MENTIONED}"
_UNREFERENCED = f"SELECT id FROM promises WHERE state <> 'unresolved' AND {_NOT_MENTIONED} ORDER BY id"
