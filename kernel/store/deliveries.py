"""Records of what waits to be delivered: messages and notifications, oldest first for each vat."""

from __future__ import annotations

from kernel.records import Record
from kernel.store.slots import SlotTable, columns_of, ref_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kernel.refs import Kref


class DeliveryRecord(Record):
    """A message to an object, one to an unresolved promise (``vat_id`` None), or news of a promise for a vat."""

    id: int
    kind: str
    vat_id: int | None
    target: Kref
    method: str | None
    body: str | None
    result: int | None


_COLUMNS = "id, kind, vat_id, object, promise, method, body, result"


class Deliveries:
    """The tables ``deliveries`` and ``delivery_slots``: the run queue, and the messages that promises hold back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._slots = SlotTable(connection, "delivery_slots", ("delivery_id",))

    def insert_message(
        self, vat_id: int | None, target: Kref, method: str, body: str, slots: Sequence[Kref], result: int | None
    ) -> int:
        """Queue a message; ``vat_id`` is the target's owner, None for a promise.  Gives the delivery's id."""
        cursor = self._connection.execute(
            "INSERT INTO deliveries (kind, vat_id, object, promise, method, body, result)"
            " VALUES ('message', ?, ?, ?, ?, ?, ?)",
            (vat_id, *columns_of(target), method, body, result),
        )
        assert cursor.lastrowid is not None
        self._slots.insert((cursor.lastrowid,), slots)
        return cursor.lastrowid

    def insert_notify(self, vat_id: int, promise_id: int) -> None:
        """Queue the news of a promise's resolution for a vat."""
        self._connection.execute(
            "INSERT INTO deliveries (kind, vat_id, promise) VALUES ('notify', ?, ?)", (vat_id, promise_id)
        )

    def first(self, vat_id: int) -> DeliveryRecord | None:
        """Give what a vat is to be given next."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM deliveries WHERE vat_id = ? ORDER BY id LIMIT 1", (vat_id,)
        ).fetchone()
        return None if row is None else _record(row)

    def waiting_for(self, vat_id: int) -> list[DeliveryRecord]:
        """Give all that waits for a vat, oldest first."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM deliveries WHERE vat_id = ? ORDER BY id", (vat_id,))
        return [_record(row) for row in rows]

    def sent_to(self, object_id: int) -> list[DeliveryRecord]:
        """Give the messages that wait for an object's owner, oldest first."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM deliveries WHERE object = ? ORDER BY id", (object_id,))
        return [_record(row) for row in rows]

    def held_by(self, promise_id: int) -> list[DeliveryRecord]:
        """Give the messages that wait for a promise's resolution, oldest first."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM deliveries WHERE promise = ? AND kind = 'message' ORDER BY id", (promise_id,)
        )
        return [_record(row) for row in rows]

    def slots(self, delivery_id: int) -> tuple[Kref, ...]:
        """Give the slots of a message's arguments."""
        return self._slots.select((delivery_id,))

    def retarget(self, delivery_id: int, vat_id: int | None, target: Kref) -> None:
        """Point a message at what its promise was resolved to; it keeps its place in time."""
        self._connection.execute(
            "UPDATE deliveries SET vat_id = ?, object = ?, promise = ? WHERE id = ?",
            (vat_id, *columns_of(target), delivery_id),
        )

    def delete(self, delivery_id: int) -> None:
        """Remove a delivery that was made, or will never be."""
        self._connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))

    def delete_notifications(self, vat_id: int) -> None:
        """Remove the news that waits for a vat: an ended incarnation cannot be told of its promises."""
        self._connection.execute("DELETE FROM deliveries WHERE vat_id = ? AND kind = 'notify'", (vat_id,))

    def vats_with_work(self) -> list[int]:
        """Give the vats that something waits for."""
        rows = self._connection.execute("SELECT DISTINCT vat_id FROM deliveries WHERE vat_id IS NOT NULL")
        return [row[0] for row in rows]


def _record(
    row: tuple[int, str, int | None, int | None, int | None, str | None, str | None, int | None],
) -> DeliveryRecord:
    return DeliveryRecord(row[0], row[1], row[2], ref_of(row[3:5]), row[5], row[6], row[7])
