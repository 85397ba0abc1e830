"""Opening a store: whose file is it, which version, is it whole?

A file that is not ours, or is of a newer version, is recognised from its header before SQLite opens it, and is not
touched: SQLite writes to a database merely by opening it where a write-ahead log is left.  The header's layout is
that of https://sqlite.org/fileformat2.html#the_database_header.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time

from kernel.errors import (
    StoreCorruptError,
    StoreError,
    StoreForeignError,
    StoreFullError,
    StoreLockedError,
    StoreNewerError,
)
from kernel.store.schema import APPLICATION_ID, SCHEMA_VERSION, migrate

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_JOURNAL_MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
_JOURNAL_HEADER_BYTES = 28
_BUSY_SECONDS = 0.5
"""How long a store that somebody else holds is waited for: a start that must fail has to say why within a second."""
_BUSY_PAUSE_SECONDS = 0.01
_INTERRUPTED = frozenset({"SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_UNLOCK"})
"""What SQLite makes of a lock that a signal interrupted while it stepped down to reading, or gave the lock up."""
_ATTEMPTS = 3
"""How often a store is opened in which that happens: what lasts is the trouble of a file system, not of a moment."""

_ASIDE = "Move the file away and start again with an empty store, or restore it from a backup."


def check_header(path: str) -> None:
    """Refuse a file that is not a store of ours, or of a newer version, without changing it in any way.

    Args:
        path: The store's absolute path; it need not exist.

    Raises:
        StoreForeignError: Something else is there: another program's database, a directory, a device.
        StoreNewerError: The store has a higher schema version than this kernel knows.
        StoreCorruptError: It is neither a database nor empty.
        StoreError: It cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        if os.path.islink(path):
            raise StoreForeignError(
                f"the store {path} is a link to nothing",
                path=path,
                remedy="Remove the link, or bring back what it points to.",
            ) from None
        return
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be opened: {error.strerror}",
            path=path,
            remedy="Give the daemon's user access to the file.",
        ) from error
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise StoreForeignError(f"the store {path} is {kind}", path=path, remedy="Move it out of the way.")
        header = os.read(fd, _HEADER_BYTES)
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be read: {error.strerror}", path=path, remedy="Check the disk."
        ) from error
    finally:
        os.close(fd)
    if not header:
        return
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        if not any(header) and _was_empty_before(path):
            return
        raise StoreCorruptError(
            f"the store {path} is damaged: it does not begin as an SQLite database does", path=path, remedy=_ASIDE
        )
    owner = int.from_bytes(header[68:72], "big")
    version = int.from_bytes(header[60:64], "big")
    if owner != APPLICATION_ID:
        raise StoreForeignError(
            f"the store {path} is another program's database (application_id {owner:#010x}, "
            f"expected {APPLICATION_ID:#010x}); it was not touched",
            path=path,
            remedy="Choose another home directory, or move the file away.",
        )
    _refuse_newer(path, version)


def _was_empty_before(path: str) -> bool:
    """Say whether a database's first transaction was cut short: there is a journal, and it was empty before.

    When the power goes, any of its pages may be there and any not, the first one too; SQLite takes them all back.  The
    journal's layout is that of https://sqlite.org/fileformat2.html#the_rollback_journal.
    """
    try:
        with open(f"{path}-journal", "rb") as file:
            header = file.read(_JOURNAL_HEADER_BYTES)
    except OSError:
        return False
    return len(header) == _JOURNAL_HEADER_BYTES and header.startswith(_JOURNAL_MAGIC) and not any(header[16:20])


def _refuse_newer(path: str, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise StoreNewerError(
            f"the store {path} has schema version {version}, this kernel knows versions up to {SCHEMA_VERSION}; "
            "it was not touched",
            path=path,
            version=version,
            supported=SCHEMA_VERSION,
            remedy="Run the kernel version that wrote it, or a newer one.",
        )


def open_connection(path: str) -> tuple[sqlite3.Connection, bool]:
    """Open or create the store's database.

    Args:
        path: The store's absolute path; its directory exists.

    Returns:
        A connection in autocommit mode with ``synchronous=FULL``, foreign keys enforced and a write-ahead log; and
        whether the store is new.

    Raises:
        StoreError: One of its kinds, naming the path; a file that is refused is unchanged.
    """
    check_header(path)
    # SQLite opens a file that it may not write as one to read: that must be found at start, not at the first message.
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise StoreError(
            f"the store {path} cannot be written: permission denied, or its file system is read-only",
            path=path,
            remedy="Give the daemon's user permission to write the file and its directory.",
        )
    created = False
    attempts_left = _ATTEMPTS
    while True:
        attempts_left -= 1
        connection = _connect(path)
        try:
            version = _version_of(connection, path)
            created = created or version == 0
            _prepare(connection, version, path)
        except sqlite3.Error as error:
            connection.close()
            if not attempts_left or getattr(error, "sqlite_errorname", "") not in _INTERRUPTED:
                raise translate(error, path) from error
        except BaseException:
            connection.close()
            raise
        else:
            return connection, created


def _connect(path: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    # Text that is damaged must not keep the rest from being read: it shows, and is refused where it means something.
    connection.text_factory = _text
    return connection


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def _version_of(connection: sqlite3.Connection, path: str) -> int:
    """Give the version of the store's schema, which is 0 where there is nothing yet."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    _refuse_newer(path, version)
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] != 0:
        raise StoreCorruptError(f"the store {path} has tables but no schema version", path=path, remedy=_ASIDE)
    return version


def _prepare(connection: sqlite3.Connection, version: int, path: str) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    if version < SCHEMA_VERSION:
        # The first pages are written before the write-ahead log is switched on, so that the header of even the youngest
        # store says whose it is.
        _migrate(connection, version, path)
    mode = _switch_to_write_ahead_log(connection)
    if mode != "wal":
        raise StoreError(
            f"the store {path} cannot have a write-ahead log (journal mode stays {mode!r})",
            path=path,
            remedy="Keep the home directory on a local file system.",
        )
    connection.execute("PRAGMA foreign_keys = ON")
    _check_tables(connection, path)


def _switch_to_write_ahead_log(connection: sqlite3.Connection) -> str:
    """Ask for a write-ahead log; gives the journal mode that there is then.

    SQLite does not wait for the lock that this takes as it does for others, since it has one to read by then: whoever
    has the store for a moment would end the start.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(_BUSY_PAUSE_SECONDS)


def _migrate(connection: sqlite3.Connection, version: int, path: str) -> None:
    try:
        migrate(connection, version)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_ERROR":
            raise  # the disk's trouble, or another process's
        raise StoreCorruptError(
            f"the store {path} says that it has schema version {version}, but it cannot be brought to version "
            f"{SCHEMA_VERSION}: {error}; it was not changed",
            path=path,
            version=version,
            remedy=_ASIDE,
        ) from error


def _check_tables(connection: sqlite3.Connection, path: str) -> None:
    """Read the first pages of every table: damage there must be found at start, not at the first message."""
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        connection.execute(f'SELECT * FROM "{name}" LIMIT 1').fetchone()
    for table in ("subclusters", "vats", "bundles", "deliveries", "clist"):
        try:
            connection.execute(f"SELECT 1 FROM {table} LIMIT 1")
        except sqlite3.OperationalError as error:
            raise StoreCorruptError(f"the store {path} is damaged: {error}", path=path, remedy=_ASIDE) from error


def translate(error: sqlite3.Error, path: str) -> StoreError:
    """Make SQLite's error one of ours, with the path and what to do.

    Args:
        error: What SQLite raised.
        path: The store's path.

    Returns:
        The error to raise from it.
    """
    name = getattr(error, "sqlite_errorname", "") or ""
    detail = f"{error}" + (f" ({name})" if name else "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorruptError(f"the store {path} is damaged: {detail}", path=path, sqlite=name, remedy=_ASIDE)
    if name.startswith("SQLITE_FULL"):
        return StoreFullError(
            f"the disk that holds the store {path} is full: {detail}",
            path=path,
            sqlite=name,
            remedy="Make room on the disk and try again; nothing of the operation was kept.",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        holders = lock_holders(path)
        return StoreLockedError(
            f"another process holds the store {path}: {_named(holders)}{detail}",
            path=path,
            sqlite=name,
            holders=holders,
            remedy="End it, or wait for its end." if holders else f"Find it with 'fuser {path}' and end it.",
        )
    return StoreError(
        f"the store {path} failed: {detail}",
        path=path,
        sqlite=name,
        remedy="Check the disk and the file's permissions.",
    )


def lock_holders(path: str) -> list[int]:
    """Give the pids of the other processes that hold a lock on the store, as far as the system tells (``/proc/locks``).

    In a write-ahead log's mode the locks are on the file of shared memory
    (https://sqlite.org/walformat.html#the_wal_index_file_format), in others on the database itself.
    """
    inodes = set()
    for file in (path, f"{path}-shm"):
        try:
            inodes.add(str(os.stat(file).st_ino))
        except OSError:
            continue  # there is none: nobody holds it
    try:
        with open("/proc/locks", encoding="utf-8", errors="replace") as table:
            lines = [line.split() for line in table]
    except OSError:
        return []
    pids = {int(line[4]) for line in lines if line[1] == "POSIX" and line[5].rpartition(":")[2] in inodes}
    return sorted(pid for pid in pids if pid not in (0, os.getpid()))


def _named(holders: list[int]) -> str:
    return f"pid {', '.join(map(str, holders))}; " if holders else ""
