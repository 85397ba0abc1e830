"""Faults that a start cannot get over: a store, a log or a home that cannot be used.

Invariant: each knows the path that has to be named and the words one of which has to be said, so that legibility can
be judged without knowing the daemon.  What stood there is put back.
"""

from __future__ import annotations

import abc
import contextlib
import os
import re
import shutil
import sqlite3
from typing import TYPE_CHECKING, ClassVar

from pytest_ocap.driver import Capability
from pytest_ocap.faults.deep_home import LONGEST_SOCKET_PATH, DeepHome

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver


class StartFault(abc.ABC):
    """Something that must make a start fail, with its cause said.

    Attributes:
        needs: The capabilities without which it makes no sense.
        logged: Whether the daemon still can write its log.
        words: What one of has to be said, in whatever case.
        path: The path that has to be named.
        home: The home to start, where it is not the driver's.
    """

    id: ClassVar[str]
    needs: ClassVar[frozenset[Capability]] = frozenset()
    logged: ClassVar[bool] = True
    words: ClassVar[re.Pattern[str]]

    def __init__(self, driver: KernelDriver, home: Path) -> None:
        self.driver = driver
        self.home = home
        self.path = self.place()
        self._kept = home.parent / "kept"
        self._away: list[tuple[Path, Path]] = []

    @abc.abstractmethod
    def place(self) -> Path:
        """Give the path that the fault is about."""

    @abc.abstractmethod
    def arrange(self) -> None:
        """Put the fault in place."""

    @abc.abstractmethod
    def fired(self) -> str | None:
        """Give the evidence that the fault is in force."""

    def undo(self) -> None:
        """Put back what was there."""
        for original, kept in self._away:
            if original.is_dir() and not original.is_symlink():
                shutil.rmtree(original)
            else:
                original.unlink(missing_ok=True)
            kept.rename(original)
        self._away.clear()

    def put_away(self, path: Path) -> Path:
        """Move what is at a path aside, until :meth:`undo`; give where it is now."""
        self._kept.mkdir(exist_ok=True)
        kept = self._kept / path.name
        path.rename(kept)
        self._away.append((path, kept))
        return kept


class _StoreFault(StartFault):
    """A fault of the store's file."""

    needs = frozenset({Capability.STORE})

    def place(self) -> Path:
        """Give the store's path."""
        store = self.driver.store(self.home)
        assert store is not None, "the driver claims a store, and does not say where it lies"
        return store

    def put_store_away(self) -> Path:
        """Move the store aside, with the files that SQLite keeps beside it."""
        for suffix in ("-wal", "-shm", "-journal"):
            beside = self.path.with_name(self.path.name + suffix)
            if beside.exists():
                self.put_away(beside)
        return self.put_away(self.path)


class StoreCorrupt(_StoreFault):
    """The store's content was overwritten; only its beginning is what it was: an SQLite header, at most a half."""

    id = "store-corrupt"
    words = re.compile(r"corrupt|damaged|malformed|not a database|invalid|checksum", re.IGNORECASE)
    INTACT_BYTES = 100
    """The length of an SQLite file's header: it still says that this is a store."""

    def arrange(self) -> None:
        """Write the store anew, with rubbish after its header."""
        content = self.put_store_away().read_bytes()
        self._intact = min(self.INTACT_BYTES, len(content) // 2)
        self.path.write_bytes(content[: self._intact] + b"\xa5" * max(4096, len(content) - self._intact))

    def fired(self) -> str | None:
        """See that the rubbish is what is read."""
        content = self.path.read_bytes()[self._intact :]
        return f"{self.path} is rubbish after byte {self._intact}" if set(content) == {0xA5} else None


class StoreForeign(_StoreFault):
    """The store is a sound SQLite database of some other application."""

    id = "store-foreign"
    needs = frozenset({Capability.STORE, Capability.SQLITE_STORE})
    words = re.compile(
        r"foreign|not (?:a|the|this) |other (?:application|program)|another|belongs to|unknown", re.IGNORECASE
    )
    APPLICATION_ID = 0x0C0FFEE

    def arrange(self) -> None:
        """Make the other application's database."""
        self.put_store_away()
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            database.execute(f"PRAGMA application_id = {self.APPLICATION_ID}")
            database.execute("CREATE TABLE invoices (number INTEGER PRIMARY KEY, cents INTEGER NOT NULL)")
            database.execute("INSERT INTO invoices VALUES (1, 1995)")
            database.commit()

    def fired(self) -> str | None:
        """See that the invoices are there."""
        return (
            f"{self.path} is a database of invoices" if _ask(self.path, "SELECT cents FROM invoices") == 1995 else None
        )


class StoreNewer(_StoreFault):
    """The store says that a much newer version wrote it."""

    id = "store-newer"
    needs = frozenset({Capability.STORE, Capability.SQLITE_STORE})
    words = re.compile(r"newer|later version|too new|upgrade|schema version|user_version", re.IGNORECASE)
    VERSION = 1_000_000

    def arrange(self) -> None:
        """Raise the version of the store's schema."""
        shutil.copy2(self.put_store_away(), self.path)
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            database.execute(f"PRAGMA user_version = {self.VERSION}")
            database.commit()

    def fired(self) -> str | None:
        """See the version."""
        return (
            f"{self.path} is of version {self.VERSION}"
            if _ask(self.path, "PRAGMA user_version") == self.VERSION
            else None
        )


class StoreDirectory(_StoreFault):
    """A directory stands where the store belongs."""

    id = "store-directory"
    words = re.compile(r"director|folder|cannot (?:be )?open|unable to open|not a (?:regular )?file", re.IGNORECASE)

    def arrange(self) -> None:
        """Make the directory."""
        self.put_store_away()
        self.path.mkdir()

    def fired(self) -> str | None:
        """See that it is a directory."""
        return f"{self.path} is a directory" if self.path.is_dir() else None


class LogDirectory(StartFault):
    """A directory stands where the log belongs."""

    id = "log-directory"
    needs = frozenset({Capability.LOG})
    logged = False
    words = re.compile(r"director|folder|cannot (?:be )?(?:open|writ)|not a (?:regular )?file", re.IGNORECASE)

    def place(self) -> Path:
        """Give the log's path."""
        log = self.driver.log(self.home)
        assert log is not None, "the driver claims a log, and does not say where it lies"
        return log

    def arrange(self) -> None:
        """Make the directory."""
        if os.path.lexists(self.path):
            self.put_away(self.path)
        self.path.mkdir()

    def fired(self) -> str | None:
        """See that it is a directory."""
        return f"{self.path} is a directory" if self.path.is_dir() else None

    def undo(self) -> None:
        """Remove the directory, and put back the log when there was one."""
        if self.path.is_dir():
            shutil.rmtree(self.path)
        super().undo()


class HomeIsFile(StartFault):
    """A plain file stands where the home belongs."""

    id = "home-is-file"
    logged = False
    words = re.compile(r"not a (?:directory|folder)|is a (?:regular |plain )?file|file exists", re.IGNORECASE)
    TEXT = "somebody's notes\n"

    def place(self) -> Path:
        """Give the home's path."""
        return self.home

    def arrange(self) -> None:
        """Write the file."""
        self.put_away(self.home)
        self.home.write_text(self.TEXT)

    def fired(self) -> str | None:
        """See the file."""
        return f"{self.home} is a plain file" if self.home.is_file() and self.home.read_text() == self.TEXT else None


class SocketPathTooLong(StartFault):
    """The home lies so deep that the path of the socket in it is one byte too long."""

    id = "socket-path-too-long"
    needs = frozenset({Capability.SOCKET})
    logged = False
    words = re.compile(r"too[ -]long|at most \d+|longer than|may have|limit|maximum", re.IGNORECASE)

    def place(self) -> Path:
        """Give the socket's path in a home far down."""
        self.deep = DeepHome(self.driver, self.home, LONGEST_SOCKET_PATH + 1)
        self.home = self.deep.home
        return self.deep.socket

    def arrange(self) -> None:
        """Make that home."""
        self.deep.arrange()

    def fired(self) -> str | None:
        """See the length of the socket's path."""
        return self.deep.fired()

    def undo(self) -> None:
        """Remove that home."""
        self.deep.undo()


START_FAULTS: dict[str, type[StartFault]] = {
    fault.id: fault
    for fault in (StoreCorrupt, StoreForeign, StoreNewer, StoreDirectory, LogDirectory, HomeIsFile, SocketPathTooLong)
}
"""The faults that a start cannot get over, by their names."""


def _ask(path: Path, query: str) -> object:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        row = database.execute(query).fetchone()
        return row[0] if row else None
