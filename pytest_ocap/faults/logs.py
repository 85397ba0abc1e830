"""Logs that cannot be written.

Invariant: the log that was there is put back, and what the daemon has made in its place since is gone.
"""

from __future__ import annotations

import abc
import os
import shutil
import stat
from typing import TYPE_CHECKING, ClassVar

from pytest_ocap.driver import PLAIN, Setting
from pytest_ocap.faults.permissions import ReadOnly
from pytest_ocap.verdict import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path


class LogFault(abc.ABC):
    """Something wrong at the path of the log; a log that was there is kept aside until :meth:`undo`."""

    id: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = path.parent.with_name(f"{path.name}.kept")
        self._arranged = False

    @property
    def setting(self) -> Setting:
        """The circumstances under which the daemon has to run for the fault to bite."""
        return PLAIN

    def arrange(self) -> None:
        """Put the log aside, and the fault in its place."""
        if os.path.lexists(self.path):
            self.path.rename(self._kept)
        self._arranged = True
        self.put()

    @abc.abstractmethod
    def put(self) -> None:
        """Put the fault at the path, which is free."""

    @abc.abstractmethod
    def fired(self) -> str | None:
        """Give the evidence that the log cannot be written."""

    def undo(self) -> None:
        """Put back what was there."""
        if not self._arranged:
            return
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)
        if self._kept.exists():
            self._kept.rename(self.path)
        self._arranged = False


class LogDirectory(LogFault):
    """A directory stands where the log belongs."""

    id = "directory"

    def put(self) -> None:
        """Make the directory."""
        self.path.mkdir()

    def fired(self) -> str | None:
        """See that it is a directory."""
        return f"{self.path} is a directory" if self.path.is_dir() else None


class LogFull(LogFault):
    """The log is a link to a device on which there is never any room (ENOSPC)."""

    id = "full"
    TARGET = "/dev/full"

    def put(self) -> None:
        """Make the link."""
        if not os.access(self.TARGET, os.W_OK):
            raise UnsupportedError(f"there is no {self.TARGET} here")
        self.path.symlink_to(self.TARGET)

    def fired(self) -> str | None:
        """See that the path leads to the device."""
        return f"{self.path} leads to {self.TARGET}" if stat.S_ISCHR(os.stat(self.path).st_mode) else None


class LogReadOnly(LogFault):
    """The log may not be written."""

    id = "read-only"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._read_only = ReadOnly(path)

    @property
    def setting(self) -> Setting:
        """Without the privilege to ignore permissions."""
        return self._read_only.setting

    def put(self) -> None:
        """Make a log without permission to write."""
        self.path.touch()
        self._read_only.arrange()

    def fired(self) -> str | None:
        """Try to write."""
        return self._read_only.fired()


LOG_FAULTS: dict[str, type[LogFault]] = {fault.id: fault for fault in (LogDirectory, LogFull, LogReadOnly)}
"""The faults of the log, by their names."""
