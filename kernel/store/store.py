"""The store: one SQLite file that holds all that outlives a daemon.

Work happens in *units* inside a *batch*.  A unit is all or nothing (a savepoint): one crank, one launch step.  A
batch is one transaction of SQLite, and so one wait for the disk; :meth:`Store.commit` makes it durable.  When SQLite
itself fails, the whole batch is lost, and :class:`BatchLostError` says so to a caller who must then forget what it did
since the last commit.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager

from kernel.errors import QueryError, StoreError
from kernel.store import opening
from kernel.store.baggage import Baggage
from kernel.store.deliveries import Deliveries
from kernel.store.durables import Durables
from kernel.store.garbage import Garbage
from kernel.store.outside import Outside
from kernel.store.promises import Promises
from kernel.store.references import References
from kernel.store.schema import SCHEMA_VERSION
from kernel.store.subclusters import Subclusters
from kernel.store.vats import Vats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_MAX_ROWS = 10_000
_QUERY_SECONDS = 2.0
_QUERY_STEPS = 10_000
"""How many of SQLite's virtual instructions pass between two looks at the clock: about a millisecond."""


class BatchLostError(Exception):
    """SQLite failed, and everything since the last commit is undone; ``error`` is the typed cause."""

    def __init__(self, error: StoreError) -> None:
        super().__init__(str(error))
        self.error = error


class Store:
    """An open store; use :meth:`open`."""

    def __init__(self, path: str, connection: sqlite3.Connection, *, created: bool) -> None:
        self.path = path
        self.created = created
        self.connection = connection
        self.subclusters = Subclusters(connection)
        self.vats = Vats(connection)
        self.references = References(connection)
        self.promises = Promises(connection)
        self.deliveries = Deliveries(connection)
        self.baggage = Baggage(connection)
        self.durables = Durables(connection)
        self.garbage = Garbage(connection)
        self.outside = Outside(connection)

    @classmethod
    def open(cls, path: str) -> Store:
        """Open the store at an absolute path, or create it there.

        Raises:
            StoreError: One of its kinds (foreign, newer, corrupt, locked, full), naming the path.
        """
        connection, created = opening.open_connection(path)
        return cls(path, connection, created=created)

    def close(self) -> None:
        """Close the store; what was not committed is undone.  Idempotent.

        Raises:
            StoreError: The last checkpoint failed; what was committed is safe in the write-ahead log.
        """
        try:
            self.connection.close()
        except sqlite3.Error as error:
            raise opening.translate(error, self.path) from error

    @property
    def dirty(self) -> bool:
        """Whether something waits for :meth:`commit`."""
        return self.connection.in_transaction

    @contextmanager
    def unit(self) -> Iterator[None]:
        """Do a piece of work whole or not at all, inside the batch (which it opens if need be).

        Raises:
            BatchLostError: SQLite failed; this unit and the whole batch are undone.
        """
        try:
            if not self.connection.in_transaction:
                self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute("SAVEPOINT unit")
        except sqlite3.Error as error:
            raise self._lose_batch(error) from error
        try:
            yield
        except sqlite3.Error as error:
            raise self._lose_batch(error) from error
        except BaseException:
            self._guard(self._undo_unit)
            raise
        self._guard(self._end_unit)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read outside a unit.

        Raises:
            StoreError: SQLite failed, with the path.
        """
        try:
            yield
        except sqlite3.Error as error:
            raise opening.translate(error, self.path) from error

    def commit(self) -> None:
        """Make the batch durable; nothing happens when there is none.

        Raises:
            BatchLostError: SQLite failed; the whole batch is undone.  Where its error's data have ``undecided``, a
                daemon that ends before it has written again may yet find it done at its next start.
        """
        if not self.connection.in_transaction:
            return
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            lost = self._lose_batch(error)
            if error.sqlite_errorcode == sqlite3.SQLITE_IOERR_FSYNC and not self._write_over():
                lost.error.data["undecided"] = True
                lost.error.remedy = f"Whether it was done shows at the next start.  {lost.error.remedy}"
            raise lost from error

    def rollback(self) -> None:
        """Undo the batch."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _write_over(self) -> bool:
        """Write something over a batch whose sync has failed; say whether that could be done.

        SQLite undoes it in memory: in the write-ahead log it lies whole, and whoever opens the store next, before
        anything else was written there, takes it for committed (https://sqlite.org/walformat.html#recovery).
        """
        try:
            self.connection.execute("PRAGMA synchronous = OFF")  # it is to be written, not to be durable
            try:
                self.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION:d}")  # as it is: a page is written
            finally:
                self.connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            return False
        return True

    def _end_unit(self) -> None:
        self.connection.execute("RELEASE unit")

    def _undo_unit(self) -> None:
        self.connection.execute("ROLLBACK TO unit")
        self.connection.execute("RELEASE unit")

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except sqlite3.Error as error:
            raise self._lose_batch(error) from error

    def _lose_batch(self, error: sqlite3.Error) -> BatchLostError:
        """Undo the batch; SQLite may have done so itself (https://sqlite.org/lang_transaction.html, section 3)."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        return BatchLostError(opening.translate(error, self.path))

    def get_setting(self, key: str) -> str | None:
        """Give one of the kernel's own settings."""
        row = self.connection.execute("SELECT value FROM kernel WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_setting(self, key: str, value: str) -> None:
        """Store one of the kernel's own settings; call it inside a unit."""
        self.connection.execute("INSERT OR REPLACE INTO kernel (key, value) VALUES (?, ?)", (key, value))

    def clear(self) -> None:
        """Remove every record but the kernel's identity; call it inside a unit.  Numbers are not used again."""
        for table in (
            "deliveries",
            "pins",
            "leases",
            "baggage",
            "durables",
            "clist",
            "channels",
            "services",
            "promise_slots",
            "promises",
            "subclusters",
            "objects",
            "suspects",
        ):
            self.connection.execute(f"DELETE FROM {table}")

    def check(self) -> list[str]:
        """Give what SQLite's own integrity and foreign-key checks find; nothing for a whole store.

        Raises:
            StoreError: The checks themselves failed.
        """
        with self.reading():
            found = [str(row[0]) for row in self.connection.execute("PRAGMA integrity_check(20)")]
            dangling = self.connection.execute("PRAGMA foreign_key_check").fetchmany(20)
        found = [line for line in found if line != "ok"]
        return found + [
            f"a row of {table} refers to a row of {parent} that is not there" for table, _, parent, _ in dangling
        ]

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Run one read-only statement on what is durable.

        Args:
            sql: A single statement.

        Returns:
            The rows, each a dict by column name; blobs as hexadecimal text.

        Raises:
            QueryError: The statement is wrong, would write, or gives more than 10,000 rows, or takes too long.
        """
        from urllib.parse import quote

        uri = f"file:{quote(self.path)}?mode=ro"
        deadline = time.monotonic() + _QUERY_SECONDS
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=1.0, isolation_level=None)) as connection:
                connection.execute("PRAGMA query_only = ON")
                connection.set_authorizer(_only_reading)
                connection.set_progress_handler(lambda: time.monotonic() > deadline, _QUERY_STEPS)
                cursor = connection.execute(sql)
                rows = cursor.fetchmany(_MAX_ROWS + 1)
                names = [column[0] for column in cursor.description or ()]
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise QueryError(
                    f"the query took more than {_QUERY_SECONDS:g} seconds, and the kernel waits for it",
                    sql=sql[:1000],
                    remedy="Ask for less, or ask a copy of the store with the sqlite3 program.",
                ) from error
            raise QueryError(
                f"the query was refused: {error}", sql=sql[:1000], remedy="Send one SELECT statement."
            ) from error
        if len(rows) > _MAX_ROWS:
            raise QueryError(f"the query gives more than {_MAX_ROWS} rows", sql=sql[:1000], remedy="Add a LIMIT.")
        return [{name: _as_json(value) for name, value in zip(names, row, strict=True)} for row in rows]


def _as_json(value: float | str | bytes | None) -> int | float | str | None:
    """Give a value of SQLite's as JSON has it: blobs as hexadecimal text, infinities by name."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if value in (float("inf"), float("-inf")) else value


_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


def _only_reading(action: int, first: str | None, *_rest: str | None) -> int:
    if action == sqlite3.SQLITE_READ and first == "secrets":
        return sqlite3.SQLITE_DENY
    if action in _READING and not (action == sqlite3.SQLITE_FUNCTION and first == "load_extension"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
