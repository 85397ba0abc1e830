"""The edition of the kernel before the present one: its stores have the schema's version before the present one.

No such edition can be installed beside the present one, so the present one makes the home, and when it has stopped,
what the last version added to the schema is taken out of the store.

Invariant: what is left is a store as that edition would have written it, table for table; a test compares it with one
that it did write.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from pytest_ocap.drivers.kernel import KernelDriver

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import Outcome

VERSION = 1
"""The version of the schema that this edition's stores have."""

_COLUMNS = (("clist", "reachable"), ("objects", "abandoned"), ("subclusters", "system"))
_TABLES = ("services", "suspects", "leases", "pins", "secrets", "durable_slots", "durables")


def take_back(store: Path) -> None:
    """Take what version 2 of the schema added out of a store that nobody has open."""
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("DROP INDEX subclusters_by_system")
        for table in _TABLES:
            connection.execute(f"DROP TABLE {table}")
        for table, column in _COLUMNS:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'leases'")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


class OlderKernelDriver(KernelDriver):
    """Drives the edition before: to be used for making homes, from their first start to their first stop."""

    name = "kernel-older"

    def stop(self, home: Path, *, timeout: float, force: bool = False) -> Outcome:
        """Run ``ocap daemon stop``, and have the store be of the earlier version."""
        outcome = super().stop(home, timeout=timeout, force=force)
        if outcome.ok:
            take_back(self.store(home))
        return outcome
