"""A store whose version is another than the daemon's.

Invariant: nothing of the store is changed but the version that it says it has; the whole of it is put back.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING

from pytest_ocap.verdict import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

STEPS = {"newer": 1, "older": -1}


class VersionSkew:
    """A store of the next version, or of the one before.

    Args:
        path: The store, an SQLite database with a ``user_version``; nobody has it open.
        which: ``newer`` or ``older``.
    """

    def __init__(self, path: Path, which: str) -> None:
        self.id = f"version-{which}"
        self.path = path
        self._which = which
        self._kept = path.parent.with_name(f"{path.name}.kept")

    def arrange(self) -> None:
        """Write the other version."""
        self.own = self.version()
        self.other = self.own + STEPS[self._which]
        if self.other < 0:
            raise UnsupportedError(f"the store {self.path} has no version, so there is none before it")
        shutil.copy2(self.path, self._kept)
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            database.execute(f"PRAGMA user_version = {self.other:d}")
            database.commit()

    def version(self) -> int:
        """Give the version that the store says it has."""
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            return int(database.execute("PRAGMA user_version").fetchone()[0])

    def fired(self) -> str | None:
        """See the version."""
        found = self.version()
        return f"{self.path} is of version {found}, and was of {self.own}" if found == self.other else None

    def undo(self) -> None:
        """Put the store back."""
        if self._kept.exists():
            for suffix in ("-wal", "-shm", "-journal"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self._kept.replace(self.path)
