"""Faults of bundle files: gone, in the way, cut short, unreadable, endless."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

from pytest_ocap.faults.aside import InItsPlace
from pytest_ocap.faults.permissions import unprivileged
from pytest_ocap.verdict import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import Setting

HUGE_BYTES = 8 * 1024**3
"""The size of a file that nobody should take for a bundle; sparse, so that it costs no disk."""


class BundleFault(InItsPlace):
    """Something wrong at the path of a bundle."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, path.with_name(f".{path.name}.kept"))


class Renamed(BundleFault):
    """The bundle was moved away, and comes back as the same file."""

    id = "rename"

    def put(self) -> None:
        """Leave the place empty."""

    def fired(self) -> str | None:
        """See that nothing is there."""
        return None if os.path.lexists(self.path) else f"{self.path} does not exist"


class Deleted(Renamed):
    """The bundle was deleted, and comes back as a new file of the same content."""

    id = "delete"

    def put_aside(self) -> None:
        """Copy the bundle aside and delete it."""
        shutil.copyfile(self.path, self._kept)
        self.path.unlink()


class Directory(BundleFault):
    """A directory stands where the bundle belongs."""

    id = "directory"

    def put(self) -> None:
        """Make the directory."""
        self.path.mkdir()

    def fired(self) -> str | None:
        """See that it is a directory."""
        return f"{self.path} is a directory" if self.path.is_dir() else None


class Truncated(BundleFault):
    """The second half of the bundle is missing."""

    id = "truncate"

    def put(self) -> None:
        """Write the first half."""
        content = self._kept.read_bytes()
        self.path.write_bytes(content[: len(content) // 2])

    def fired(self) -> str | None:
        """See that what can be read is a beginning of the bundle, and shorter."""
        content, whole = self.path.read_bytes(), self._kept.read_bytes()
        if len(content) < len(whole) and whole.startswith(content):
            return f"{self.path} has {len(content)} of {len(whole)} bytes"
        return None


class Empty(Truncated):
    """The bundle has no bytes, as after a crash before they were written."""

    id = "empty"

    def put(self) -> None:
        """Make an empty file."""
        self.path.touch()


class NotABundle(BundleFault):
    """A file of another kind stands where the bundle belongs."""

    id = "not-a-bundle"
    TEXT = "Dear reader,\n\nthis is a letter, not a bundle.\n"

    def put(self) -> None:
        """Write the letter."""
        self.path.write_text(self.TEXT)

    def fired(self) -> str | None:
        """See that the letter is read there."""
        return f"{self.path} is a letter" if self.path.read_text() == self.TEXT else None


class TooLarge(BundleFault):
    """A file of a size that no bundle has."""

    id = "too-large"

    def put(self) -> None:
        """Make a sparse file."""
        self.path.touch()
        try:
            os.truncate(self.path, HUGE_BYTES)
        except OSError as error:
            raise UnsupportedError(f"a sparse file of {HUGE_BYTES} bytes cannot be made here: {error}") from error

    def fired(self) -> str | None:
        """See its size."""
        size = self.path.stat().st_size
        return f"{self.path} has {size} bytes" if size == HUGE_BYTES else None


class Unreadable(BundleFault):
    """The daemon may not read the bundle.  For root that takes a daemon without the privilege to ignore permissions."""

    id = "unreadable"

    @property
    def setting(self) -> Setting:
        """For root: without the capabilities that override permissions."""
        return unprivileged()

    def put(self) -> None:
        """Make a copy that has no permissions."""
        shutil.copy2(self._kept, self.path)
        self.path.chmod(0)

    def fired(self) -> str | None:
        """Try to read the file under the daemon's circumstances."""
        attempt = (
            "import sys\ntry: open(sys.argv[1], 'rb').close()\nexcept OSError as error: sys.exit(100 + error.errno)"
        )
        command = [*self.setting.prefix, sys.executable, "-I", "-S", "-c", attempt, os.fspath(self.path)]
        status = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
        return f"{self.path} cannot be opened (EACCES)" if status == 100 + errno.EACCES else None


class DanglingLink(BundleFault):
    """A symbolic link to nothing."""

    id = "dangling-link"

    def put(self) -> None:
        """Make the link."""
        self.path.symlink_to(self.path.with_name("nowhere.bundle"))

    def fired(self) -> str | None:
        """See that the link leads nowhere."""
        return f"{self.path} is a dangling link" if self.path.is_symlink() and not self.path.exists() else None


class LinkLoop(BundleFault):
    """Two symbolic links that lead to each other."""

    id = "link-loop"

    def put(self) -> None:
        """Make both links."""
        self._other.symlink_to(self.path)
        self.path.symlink_to(self._other)

    def fired(self) -> str | None:
        """See that following the links does not end."""
        try:
            os.stat(self.path)
        except OSError as error:
            return f"{self.path} is a loop of links" if error.errno == errno.ELOOP else None
        return None

    def undo(self) -> None:
        """Remove both links."""
        super().undo()
        self._other.unlink(missing_ok=True)

    @property
    def _other(self) -> Path:
        return self.path.with_name(f"{self.path.name}.other")


class Fifo(BundleFault):
    """A named pipe that nobody writes to: opening it would wait for ever."""

    id = "fifo"

    def put(self) -> None:
        """Make the pipe."""
        os.mkfifo(self.path)

    def fired(self) -> str | None:
        """See that it is a pipe."""
        return f"{self.path} is a named pipe" if self.path.is_fifo() else None


class Device(BundleFault):
    """A link to a device that never stops giving bytes."""

    id = "device"
    TARGET = "/dev/zero"

    def put(self) -> None:
        """Make the link."""
        if not os.access(self.TARGET, os.R_OK):
            raise UnsupportedError(f"there is no {self.TARGET} here")
        self.path.symlink_to(self.TARGET)

    def fired(self) -> str | None:
        """See that the path leads to the device."""
        return f"{self.path} leads to {self.TARGET}" if stat.S_ISCHR(os.stat(self.path).st_mode) else None


BUNDLE_FAULTS: dict[str, type[BundleFault]] = {
    fault.id: fault
    for fault in (
        Deleted,
        Renamed,
        Directory,
        Truncated,
        Unreadable,
        Empty,
        NotABundle,
        TooLarge,
        DanglingLink,
        LinkLoop,
        Fifo,
        Device,
    )
}
"""The faults of bundle files, by their names."""
