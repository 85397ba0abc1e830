"""Records of durable objects: the state of objects of a vat that outlive its incarnations."""

from __future__ import annotations

from kernel.records import Record
from kernel.store.slots import SlotTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kernel.refs import Kref


class DurableRecord(Record):
    """One durable object: its kind's name, and its state; ``exported`` says that the vat's c-list has it."""

    vref: str
    kind: str
    body: str
    slots: tuple[Kref, ...]
    exported: bool


class Durables:
    """The tables ``durables`` and ``durable_slots``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._slots = SlotTable(connection, "durable_slots", ("vat_id", "vref"))

    def set(self, vat_id: int, vref: str, kind: str, body: str, slots: Sequence[Kref]) -> None:
        """Store an object's state, in place of an earlier one; its kind stays what it was."""
        self._slots.delete((vat_id, vref))
        self._connection.execute(
            "INSERT INTO durables (vat_id, vref, kind, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET body = excluded.body",
            (vat_id, vref, kind, body),
        )
        self._slots.insert((vat_id, vref), slots)

    def delete(self, vat_id: int, vref: str) -> None:
        """Remove an object's state."""
        self._connection.execute("DELETE FROM durables WHERE vat_id = ? AND vref = ?", (vat_id, vref))

    def kind_of(self, vat_id: int, vref: str) -> str | None:
        """Give the name of an object's kind; None when it has no state."""
        row = self._connection.execute(
            "SELECT kind FROM durables WHERE vat_id = ? AND vref = ?", (vat_id, vref)
        ).fetchone()
        return None if row is None else str(row[0])

    def all(self, vat_id: int) -> list[DurableRecord]:
        """Give a vat's durable objects."""
        rows = self._connection.execute(_ALL, (vat_id,)).fetchall()
        return [
            DurableRecord(vref, kind, body, self._slots.select((vat_id, vref)), bool(e)) for vref, kind, body, e in rows
        ]


_ALL = """
SELECT vref, kind, body, EXISTS (SELECT 1 FROM clist c WHERE c.vat_id = durables.vat_id AND c.vref = durables.vref)
FROM durables WHERE vat_id = ? ORDER BY length(vref), vref
"""
