"""The slots of stored CapData: which objects and promises a body mentions, one row a slot.

Four tables have the same shape, each keyed by the record that holds the body.  Slots are rows, so that the store can
say at any time what still refers to an object or a promise.
"""

from __future__ import annotations

from kernel.refs import Kref

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from typing import Any


class SlotTable:
    """One of the slot tables; ``keys`` are the columns that name the record that holds the body."""

    def __init__(self, connection: sqlite3.Connection, table: str, keys: tuple[str, ...]) -> None:
        self._connection = connection
        where = " AND ".join(f"{key} = ?" for key in keys)
        columns = ", ".join(keys)
        marks = ", ".join("?" for _ in keys)
        # The names are constants of this package; every value is bound.
        self._insert = f"INSERT INTO {table} ({columns}, position, object, promise) VALUES ({marks}, ?, ?, ?)"
        self._select = f"SELECT object, promise FROM {table} WHERE {where} ORDER BY position"
        self._delete = f"DELETE FROM {table} WHERE {where}"

    def insert(self, key: tuple[Any, ...], slots: Sequence[Kref]) -> None:
        """Store the slots of a record that has none yet."""
        for position, slot in enumerate(slots):
            self._connection.execute(self._insert, (*key, position, *columns_of(slot)))

    def select(self, key: tuple[Any, ...]) -> tuple[Kref, ...]:
        """Give the slots of a record, in order."""
        return tuple(ref_of(row) for row in self._connection.execute(self._select, key))

    def delete(self, key: tuple[Any, ...]) -> None:
        """Remove the slots of a record."""
        self._connection.execute(self._delete, key)


def columns_of(ref: Kref) -> tuple[int | None, int | None]:
    """Give a reference as the pair of columns ``object, promise``."""
    return (ref.number, None) if ref.kind == "object" else (None, ref.number)


def ref_of(row: Iterable[int | None]) -> Kref:
    """Make a reference of the pair of columns ``object, promise``."""
    object_id, promise_id = row
    if object_id is not None:
        return Kref("object", object_id)
    assert promise_id is not None
    return Kref("promise", promise_id)
