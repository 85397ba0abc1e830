"""Records of subclusters and of their quarantines."""

from __future__ import annotations

from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3


class SubclusterRecord(Record):
    """A launched subcluster: the JSON text of its configuration, and the host's name for it if it is a system one."""

    id: int
    state: str
    config: str
    system: str | None


class QuarantineRecord(Record):
    """Why a subcluster does not run; ``since`` is an ISO 8601 time in UTC."""

    subcluster_id: int
    code: str
    message: str
    remedy: str | None
    vat: str | None
    bundle_spec: str | None
    path: str | None
    since: str


_SYSTEM_OF_OBJECT = """
    SELECT s.id FROM objects o, subclusters s JOIN vats v ON v.subcluster_id = s.id
    WHERE o.id = ? AND s.system IS NOT NULL AND (
        v.id = o.owner
        OR (o.owner IS NULL AND EXISTS (SELECT 1 FROM clist c WHERE c.object = o.id AND c.vat_id = v.id))
    )
    ORDER BY s.id LIMIT 1
"""

_COLUMNS = "subcluster_id, code, message, remedy, vat, bundle_spec, path, since"


class Subclusters:
    """The tables ``subclusters`` and ``quarantines``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(self, config: str, launched_at: str, system: str | None = None) -> int:
        """Store a subcluster that is being launched; gives its id.  ``system`` names a system subcluster."""
        cursor = self._connection.execute(
            "INSERT INTO subclusters (state, config, launched_at, system) VALUES ('launching', ?, ?, ?)",
            (config, launched_at, system),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def set_running(self, subcluster_id: int) -> None:
        """Say that the launch is complete."""
        self._connection.execute("UPDATE subclusters SET state = 'running' WHERE id = ?", (subcluster_id,))

    def set_config(self, subcluster_id: int, config: str) -> None:
        """Replace the configuration (a repair may name another bundle)."""
        self._connection.execute("UPDATE subclusters SET config = ? WHERE id = ?", (config, subcluster_id))

    def get(self, subcluster_id: int) -> SubclusterRecord | None:
        """Give one subcluster."""
        row = self._connection.execute(
            "SELECT id, state, config, system FROM subclusters WHERE id = ?", (subcluster_id,)
        ).fetchone()
        return None if row is None else SubclusterRecord(*row)

    def system(self, name: str) -> int | None:
        """Give the id of the system subcluster of a name."""
        row = self._connection.execute("SELECT id FROM subclusters WHERE system = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def system_of_object(self, number: int) -> int | None:
        """Give the id of a system subcluster whose own an object is: of one of its vats, or of the kernel for those.

        An object that no vat has, a service's or an IO channel's, is every system subcluster's that can name it.
        """
        row = self._connection.execute(_SYSTEM_OF_OBJECT, (number,)).fetchone()
        return None if row is None else int(row[0])

    def all(self) -> list[SubclusterRecord]:
        """Give every subcluster, oldest first."""
        rows = self._connection.execute("SELECT id, state, config, system FROM subclusters ORDER BY id")
        return [SubclusterRecord(*row) for row in rows]

    def launching(self) -> list[int]:
        """Give the subclusters whose launch is not complete, oldest first."""
        rows = self._connection.execute("SELECT id FROM subclusters WHERE state = 'launching' ORDER BY id")
        return [row[0] for row in rows]

    def delete(self, subcluster_id: int) -> None:
        """Remove a subcluster; its vats, their c-lists and baggage go with it."""
        self._connection.execute("DELETE FROM subclusters WHERE id = ?", (subcluster_id,))

    def quarantine(self, record: QuarantineRecord) -> None:
        """Store why a subcluster does not run, in place of an earlier reason."""
        self._connection.execute(
            f"INSERT OR REPLACE INTO quarantines ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", tuple(record)
        )

    def release(self, subcluster_id: int) -> None:
        """Remove the quarantine of a subcluster."""
        self._connection.execute("DELETE FROM quarantines WHERE subcluster_id = ?", (subcluster_id,))

    def quarantines(self) -> dict[int, QuarantineRecord]:
        """Give every quarantine by subcluster."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM quarantines ORDER BY subcluster_id")
        return {row[0]: QuarantineRecord(*row) for row in rows}
