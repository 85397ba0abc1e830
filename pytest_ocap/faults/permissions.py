"""Files and directories that may be read and not written.

Invariant: the proof is an attempt to write, made under the daemon's circumstances: root writes what it likes, so as
root the daemon has to run without that privilege.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

from pytest_ocap import mounts
from pytest_ocap.driver import PLAIN, Setting
from pytest_ocap.verdict import UnsupportedError


def unprivileged() -> Setting:
    """Give the setting in which file permissions bind, whoever runs this.

    Raises:
        UnsupportedError: They cannot be made to.
    """
    if os.geteuid() != 0:
        return PLAIN
    if sys.platform != "linux":
        raise UnsupportedError("permissions do not bind root on this platform: run as another user")
    wrapper = Path(__file__).with_name("unprivileged.py")
    return Setting(prefix=(sys.executable, "-I", "-S", os.fspath(wrapper)))


class ReadOnly:
    """A file or a directory, that may be read and not written.

    Args:
        path: It.
        mount: Because it is on a file system that is read-only; else because of its mode.
    """

    def __init__(self, path: Path, *, mount: bool = False) -> None:
        self.id = "read-only"
        self.path = path
        self.setting = PLAIN if mount else unprivileged()
        self._mount = mount
        self._mode: int | None = None

    def arrange(self) -> None:
        """Take away the permission to write."""
        if self._mount:
            mounts.mount_read_only(self.path)
        else:
            self._mode = self.path.stat().st_mode
            self.path.chmod(self._mode & ~0o222)

    def fired(self) -> str | None:
        """Try to write."""
        attempt = (
            "import os, sys\n"
            "path = sys.argv[1]\n"
            "new = os.path.join(path, '.attempt') if os.path.isdir(path) else path\n"
            "try: os.close(os.open(new, os.O_RDWR | os.O_CREAT, 0o600))\n"
            "except OSError as error: sys.exit(100 + error.errno)\n"
            "if new != path: os.unlink(new)"
        )
        command = [*self.setting.prefix, sys.executable, "-I", "-S", "-c", attempt, os.fspath(self.path)]
        status = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
        wanted = errno.EROFS if self._mount else errno.EACCES
        return f"{self.path} cannot be written ({errno.errorcode[wanted]})" if status == 100 + wanted else None

    def undo(self) -> None:
        """Give the permission back."""
        if self._mount:
            mounts.unmount_below(self.path)
        elif self._mode is not None:
            self.path.chmod(self._mode)
            self._mode = None
