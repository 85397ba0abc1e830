"""Records of what those outside the kernel hold: pinned objects, those in ocap URLs, and those that left in answers.

A reference that leaves in an answer is on lease: it is held until so many younger ones have left.  Whoever wants it for
longer pins it, or asks for its URL.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Literal

    Reason = Literal["pinned", "url"]

LEASES = 10_000
"""How many objects that left in answers are held."""


class Outside:
    """The tables ``pins``, ``leases`` and ``secrets``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def pin(self, number: int, reason: Reason) -> None:
        """Hold an object.  Idempotent."""
        self._connection.execute("INSERT OR IGNORE INTO pins VALUES (?, ?)", (number, reason))

    def unpin(self, number: int, reason: Reason) -> None:
        """Hold an object no longer.  Idempotent."""
        self._connection.execute("DELETE FROM pins WHERE object = ? AND reason = ?", (number, reason))

    def is_pinned(self, number: int, reason: Reason) -> bool:
        """Say whether an object is held for a reason."""
        row = self._connection.execute("SELECT 1 FROM pins WHERE object = ? AND reason = ?", (number, reason))
        return row.fetchone() is not None

    def lease(self, number: int) -> None:
        """Hold an object that leaves in an answer; the oldest lease ends when there are too many."""
        self._connection.execute("INSERT OR REPLACE INTO leases (object) VALUES (?)", (number,))
        self._connection.execute("DELETE FROM leases WHERE id <= (SELECT max(id) FROM leases) - ?", (LEASES,))

    def secret(self, name: str) -> bytes | None:
        """Give one of the kernel's secrets."""
        row = self._connection.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def set_secret(self, name: str, value: bytes) -> None:
        """Store a secret."""
        self._connection.execute("INSERT INTO secrets VALUES (?, ?)", (name, value))
