"""Homes: short directories of the harness's own, of which nothing remains.

Invariant: a home's path leaves room for a Unix socket below it (107 bytes on Linux), belongs to one test process, and
is gone at the end with every process that used it, also when the test process itself is killed: a
:class:`~pytest_ocap.reaper.Reaper` knows of it before it exists.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import types
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ocap import mounts, processes
from pytest_ocap.reaper import Reaper

if TYPE_CHECKING:
    from pytest_ocap.driver import KernelDriver

ROOM = 40
"""Bytes left below a home's path for the names of sockets in it."""

SOCKET_PATH_BYTES = 103
"""What the shortest of the platforms allows for the path of a Unix socket."""


class Homes:
    """Hands out homes; each is ``ROOT/h`` with ``ROOT`` free for bundles and copies beside it.

    Args:
        name: What tells this test process from others, such as the run's and the worker's id; shortened as needed.
    """

    def __init__(self, name: str) -> None:
        self._prefix = "ocap" + "".join(character for character in name if character.isalnum())[-12:]
        self._roots: dict[Path, None] = {}
        self._reaper: Reaper | None = None

    def make(self) -> Path:
        """Make a root and give the path of the home in it; the home itself is the daemon's to create."""
        refuse_fakes()
        parent = _short_parent()
        if self._reaper is None:
            self._reaper = Reaper()
        while True:
            root = parent / f"{self._prefix}-{os.urandom(3).hex()}"
            self._reaper.watch(root)
            try:
                root.mkdir(mode=0o700)
            except FileExistsError:
                continue
            break
        self._roots[root] = None
        return root / "h"

    def remove(self, home: Path) -> list[str]:
        """End what uses the home, remove it and its root, and give the processes that had to be ended."""
        root = home.parent
        ended = processes.end(root)
        remove_tree(root)
        self._roots.pop(root, None)
        if self._reaper is not None:
            self._reaper.forget(root)
        return ended

    def close(self) -> None:
        """Remove every home that is left, and end the reaper."""
        for root in list(self._roots):
            self.remove(root / "h")
        if self._reaper is not None:
            self._reaper.close()
            self._reaper = None


def refuse_fakes() -> None:
    """Refuse to work on a fake file system.

    Raises:
        RuntimeError: pyfakefs is active.
    """
    if type(os) is not types.ModuleType:
        raise RuntimeError(FAKES)


FAKES = (
    "pyfakefs is active, and it fakes neither SQLite nor sockets, and its flock always succeeds: a daemon cannot be "
    "tested on it. Use pyfakefs only in tests that read bundles or manifests, without ocap fixtures and markers"
)


def remove_tree(root: Path) -> None:
    """Remove a tree, with what a fault made inaccessible in it, or mounted there."""
    mounts.unmount_below(root)
    for path, folders, _ in os.walk(root):
        for name in folders:
            folder = os.path.join(path, name)
            if not os.path.islink(folder):
                os.chmod(folder, stat.S_IRWXU)
    shutil.rmtree(root)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a tree with times and modes, when it is there; sockets and pipes are left out."""

    def special(directory: str, names: list[str]) -> list[str]:
        return [name for name in names if not _is_plain(os.path.join(directory, name))]

    if source.exists():
        shutil.copytree(source, target, symlinks=True, ignore=special)


def _is_plain(path: str) -> bool:
    return os.path.islink(path) or os.path.isfile(path) or os.path.isdir(path)


def socket_of(driver: KernelDriver, home: Path) -> Path | None:
    """Give the daemon's socket when it exists, as a link or otherwise."""
    path = driver.socket(home)
    return path if path is not None and os.path.lexists(path) else None


def _short_parent() -> Path:
    for candidate in (tempfile.gettempdir(), "/tmp"):
        resolved = os.path.realpath(candidate)
        if len(os.fsencode(resolved)) + 26 + ROOM <= SOCKET_PATH_BYTES and os.access(resolved, os.W_OK | os.X_OK):
            return Path(resolved)
    raise RuntimeError(
        f"the temporary directory {tempfile.gettempdir()} has too long a path for Unix sockets below it; "
        "set TMPDIR to a shorter one"
    )
