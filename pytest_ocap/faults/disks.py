"""A disk without room: the home lies on a small file system of its own, which is filled to the last byte.

Invariant: nothing but the home is on that file system.  It is in memory, and goes with everything on it when the fault
is undone; what was in the home before is there again then.
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

from pytest_ocap import mounts

if TYPE_CHECKING:
    from pathlib import Path

ROOM_BYTES = 4 << 20
"""How much more than the home's content the disk has room for."""

BALLAST = ".ballast"


class SmallDisk:
    """A home on a disk that can be filled and freed.

    Args:
        home: A stopped home.
        full: Whether the disk is filled at once; else by :meth:`fill`.
    """

    def __init__(self, home: Path, *, full: bool) -> None:
        self.id = "full-disk" if full else "small-disk"
        self.home = home
        self._full = full
        self._mounted = False

    def arrange(self) -> None:
        """Mount the disk over the home, with a copy of what is in it."""
        aside = self.home.with_name("aside")
        shutil.copytree(self.home, aside, symlinks=True)
        try:
            size = sum(file.lstat().st_size + 4096 for file in aside.rglob("*"))
            mounts.mount_memory(self.home, size + ROOM_BYTES)
            self._mounted = True
            shutil.copytree(aside, self.home, symlinks=True, dirs_exist_ok=True)
        finally:
            shutil.rmtree(aside)
        if self._full:
            self.fill()

    def fill(self) -> None:
        """Write until not one byte more can be written."""
        descriptor = os.open(self.home / BALLAST, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            length = 1 << 20
            while length:
                try:
                    os.write(descriptor, bytes(length))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    length //= 2
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Make room again."""
        (self.home / BALLAST).unlink(missing_ok=True)

    @property
    def room(self) -> int:
        """How many bytes are free."""
        found = os.statvfs(self.home)
        return found.f_bavail * found.f_frsize

    def fired(self) -> str | None:
        """See that the home is a disk of its own, and how much room there is."""
        if not os.path.ismount(self.home) or (self._full and self.room):
            return None
        return f"{self.home} is on a disk with {self.room} bytes of room"

    def undo(self) -> None:
        """Unmount the disk."""
        if self._mounted:
            mounts.unmount_below(self.home)
            self._mounted = False
