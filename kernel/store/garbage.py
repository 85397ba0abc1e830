"""What nothing holds any more: objects that lost a mention, and what the rows say of each.

An object is *held* while something could still send to it or pass it on: a vat that can reach it, a queued message, a
promise's value, baggage, a durable object's state, an IO channel, or somebody outside.  That is asked of the rows,
never counted.  The table ``suspects`` has every object that has lost a mention since it was last looked at; triggers of
the schema see to it, so a crash between the loss and the look forgets nothing.
"""

from __future__ import annotations

from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3


class Suspect(Record):
    """An object that nothing holds; ``vref`` is its exporter's name for it, None when it has none.

    ``reachable`` says that the exporter has not been told yet, ``recognized`` that another vat's c-list still names it,
    ``durable`` that its state is in the store.
    """

    object: int
    owner: int | None
    vref: str | None
    reachable: bool
    recognized: bool
    durable: bool


class Garbage:
    """The table ``suspects``, and questions to all the others."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def any(self) -> bool:
        """Say whether there are suspects."""
        return self._connection.execute("SELECT 1 FROM suspects LIMIT 1").fetchone() is not None

    def suspect(self, number: int) -> None:
        """Have an object looked at."""
        self._connection.execute("INSERT OR IGNORE INTO suspects VALUES (?)", (number,))

    def suspect_all(self) -> None:
        """Have every object looked at, in case that one was forgotten."""
        self._connection.execute("INSERT OR IGNORE INTO suspects SELECT id FROM objects")

    def acquit(self) -> None:
        """Forget the suspects that something holds, and those that are gone."""
        self._connection.execute(_ACQUIT)

    def clear(self, number: int) -> None:
        """Forget one suspect."""
        self._connection.execute("DELETE FROM suspects WHERE object = ?", (number,))

    def suspects(self, vat_id: int | None = None, most: int = -1) -> list[Suspect]:
        """Give the suspects that nothing holds: all, or those that a vat exports."""
        if vat_id is None:
            rows = self._connection.execute(f"{_SUSPECTS} ORDER BY s.object LIMIT ?", (most,))
        else:
            rows = self._connection.execute(f"{_SUSPECTS} AND o.owner = ? ORDER BY s.object LIMIT ?", (vat_id, most))
        return [_suspect(row) for row in rows]

    def retired_for(self, vat_id: int, most: int) -> list[tuple[str, int]]:
        """Give a vat's names (and the objects) of imports that it only recognizes, and that can never come back."""
        rows = self._connection.execute(
            f"SELECT c.vref, o.id FROM suspects s JOIN objects o ON o.id = s.object JOIN clist c ON c.object = o.id"
            f" WHERE c.vat_id = ? AND o.owner IS NULL AND NOT {HELD} ORDER BY o.id LIMIT ?",
            (vat_id, most),
        )
        return [(row[0], row[1]) for row in rows]

    def recognizers(self, number: int) -> list[int]:
        """Give the vats whose c-lists name an object."""
        return [row[0] for row in self._connection.execute("SELECT vat_id FROM clist WHERE object = ?", (number,))]

    def delete_object(self, number: int) -> None:
        """Remove an object that nothing mentions."""
        self._connection.execute("DELETE FROM objects WHERE id = ?", (number,))
        self.clear(number)

    def disown(self, number: int) -> None:
        """Take an object from its exporter, which has forgotten it: nobody will answer to it any more."""
        self._connection.execute(
            "DELETE FROM clist WHERE object = ? AND vat_id = (SELECT owner FROM objects WHERE id = ?)", (number, number)
        )
        self._connection.execute("UPDATE objects SET owner = NULL, abandoned = 1 WHERE id = ?", (number,))
        self.suspect(number)

    def transient_exports(self, vat_id: int) -> list[int]:
        """Give a vat's exports that end with its incarnation: all but the root and the durable ones."""
        return [row[0] for row in self._connection.execute(_TRANSIENT_EXPORTS, (vat_id,))]

    def forget_transient_imports(self, vat_id: int) -> None:
        """Let a vat forget the objects that only its last incarnation knew: its baggage does not mention them."""
        self._connection.execute(_FORGET_TRANSIENT_IMPORTS, {"vat": vat_id})

    def vats_with_objects(self) -> list[int]:
        """Give the vats that know or export objects other than their roots."""
        rows = self._connection.execute(
            "SELECT DISTINCT vat_id FROM clist WHERE object IS NOT NULL AND vref <> 'o+0' ORDER BY vat_id"
        )
        return [row[0] for row in rows]


def _suspect(row: tuple[int, int | None, str | None, int | None, int, int]) -> Suspect:
    return Suspect(row[0], row[1], row[2], bool(row[3]), bool(row[4]), bool(row[5]))


HELD = """(
EXISTS (SELECT 1 FROM clist WHERE object = o.id AND ((reachable = 1 AND vat_id IS NOT o.owner) OR vref = 'o+0'))
OR EXISTS (SELECT 1 FROM deliveries WHERE object = o.id)
OR EXISTS (SELECT 1 FROM delivery_slots WHERE object = o.id)
OR EXISTS (SELECT 1 FROM promise_slots WHERE object = o.id)
OR EXISTS (SELECT 1 FROM baggage_slots WHERE object = o.id)
OR EXISTS (SELECT 1 FROM durable_slots WHERE object = o.id)
OR EXISTS (SELECT 1 FROM leases WHERE object = o.id)
OR EXISTS (SELECT 1 FROM pins WHERE object = o.id)
OR EXISTS (SELECT 1 FROM channels WHERE object_id = o.id)
OR EXISTS (SELECT 1 FROM services WHERE object_id = o.id)
)"""
"""Whether something holds the object ``o``."""

_ACQUIT = f"""
DELETE FROM suspects WHERE NOT EXISTS (SELECT 1 FROM objects o WHERE o.id = suspects.object AND NOT {HELD})
"""
_SUSPECTS = f"""
SELECT s.object, o.owner, e.vref, e.reachable,
EXISTS (SELECT 1 FROM clist WHERE object = o.id AND vat_id IS NOT o.owner),
EXISTS (SELECT 1 FROM durables d WHERE d.vat_id = o.owner AND d.vref = e.vref)
FROM suspects s JOIN objects o ON o.id = s.object LEFT JOIN clist e ON e.object = o.id AND e.vat_id = o.owner
WHERE NOT {HELD}
"""
_TRANSIENT_EXPORTS = """
SELECT c.object FROM clist c JOIN objects o ON o.id = c.object AND o.owner = c.vat_id
WHERE c.vat_id = ? AND c.vref <> 'o+0'
AND NOT EXISTS (SELECT 1 FROM durables d WHERE d.vat_id = c.vat_id AND d.vref = c.vref)
ORDER BY c.object
"""
_FORGET_TRANSIENT_IMPORTS = """
DELETE FROM clist WHERE vat_id = :vat AND object IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM objects WHERE id = clist.object AND owner = :vat)
AND NOT EXISTS (SELECT 1 FROM baggage_slots WHERE object = clist.object AND vat_id = :vat)
AND NOT EXISTS (SELECT 1 FROM durable_slots WHERE object = clist.object AND vat_id = :vat)
"""
