"""Records of baggage: what a vat keeps from one incarnation to the next."""

from __future__ import annotations

from kernel.records import Record
from kernel.store.slots import SlotTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kernel.refs import Kref


class BaggageRecord(Record):
    """One value in a vat's baggage."""

    key: str
    body: str
    slots: tuple[Kref, ...]


class Baggage:
    """The tables ``baggage`` and ``baggage_slots``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._slots = SlotTable(connection, "baggage_slots", ("vat_id", "key"))

    def set(self, vat_id: int, key: str, body: str, slots: Sequence[Kref]) -> None:
        """Store a value, in place of an earlier one."""
        self._slots.delete((vat_id, key))
        self._connection.execute(
            "INSERT INTO baggage (vat_id, key, body) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
            (vat_id, key, body),
        )
        self._slots.insert((vat_id, key), slots)

    def delete(self, vat_id: int, key: str) -> None:
        """Remove a value."""
        self._connection.execute("DELETE FROM baggage WHERE vat_id = ? AND key = ?", (vat_id, key))

    def all(self, vat_id: int) -> list[BaggageRecord]:
        """Give a vat's whole baggage, by key."""
        rows = self._connection.execute("SELECT key, body FROM baggage WHERE vat_id = ? ORDER BY key", (vat_id,))
        return [BaggageRecord(key, body, self._slots.select((vat_id, key))) for key, body in rows.fetchall()]
