"""A store that another process holds: in a transaction of its own, as a backup, a shell or a second daemon would.

Invariant: the holder is a companion, so it is another process to everybody; the proof is that a third connection finds
the store held in the way that was meant.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from pytest_ocap.faults.companions import Companion

if TYPE_CHECKING:
    from pathlib import Path

HOLDS = {
    "exclusive": ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"),
    "immediate": ("BEGIN IMMEDIATE",),
    "shared": ("BEGIN", "SELECT * FROM sqlite_schema"),
}
"""What the holder does: no other may read; no other may write; it reads, and others may do both."""

_PROGRAM = """
import sqlite3
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
"""


class StoreHeld:
    """Another process holds the store, an SQLite database, until it is let go."""

    def __init__(self, path: Path, how: str) -> None:
        self.id = f"store-held-{how}"
        self.path = path
        self._how = how
        self._holder: Companion | None = None

    @property
    def holder(self) -> Companion:
        """The process that holds it."""
        assert self._holder is not None, "the fault was not arranged"
        return self._holder

    def arrange(self) -> None:
        """Have the holder take it."""
        self._holder = Companion(_PROGRAM, [str(self.path), *HOLDS[self._how]])

    def fired(self) -> str | None:
        """Try to read, or to write, as another would."""
        refused = {"exclusive": "SELECT * FROM sqlite_schema", "immediate": "BEGIN IMMEDIATE"}.get(self._how)
        if self.holder.harm() is not None or (refused is not None and self._can(refused)):
            return None
        return f"pid {self.holder.pid} holds {self.path} ({self._how})"

    def undo(self) -> None:
        """End the holder: its transaction is undone."""
        if self._holder is not None:
            self._holder.end()
            self._holder = None

    def _can(self, statement: str) -> bool:
        with contextlib.closing(sqlite3.connect(self.path, timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute(statement).fetchall()
            except sqlite3.OperationalError:
                return False
        return True
