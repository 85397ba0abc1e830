"""Logs that cannot be written."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from pytest_ocap.faults.aside import InItsPlace
from pytest_ocap.faults.permissions import ReadOnly
from pytest_ocap.verdict import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import Setting


class LogFault(InItsPlace):
    """Something wrong at the path of the log."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, path.parent.with_name(f"{path.name}.kept"))


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
