"""File systems of the harness's own, mounted below a home's root.

Invariant: nothing is mounted but below a root that the reaper knows, and whatever is mounted below a root goes before
the root does (:func:`unmount_below`), also when the test process was killed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from pytest_ocap.verdict import UnsupportedError

MS_RDONLY = 1  # mount(2)
MS_REMOUNT = 32
MS_BIND = 4096
MNT_DETACH = 2  # umount2(2): processes that still have files open there keep them, and nobody waits


def mount_memory(target: Path, size: int) -> None:
    """Mount a file system of ``size`` bytes, held in memory, on a directory.

    Raises:
        UnsupportedError: This platform or this user cannot.
    """
    _mount("tmpfs", target, "tmpfs", 0, f"size={size},mode=700")


def mount_read_only(target: Path) -> None:
    """Have a directory, with what is in it, be on a file system that is read-only.

    Raises:
        UnsupportedError: This platform or this user cannot.
    """
    _mount(os.fspath(target), target, "", MS_BIND, "")
    _mount("", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY, "")


def unmount_below(root: Path) -> None:
    """Unmount whatever is mounted on a directory or below it; the innermost first."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return  # a platform on which nothing was mounted
    inside = f"{root}/"
    for target in reversed([line.split()[4] for line in lines]):
        if f"{target}/".startswith(inside) and _libc().umount2(os.fsencode(target), MNT_DETACH) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def _mount(source: str, target: Path, kind: str, flags: int, data: str) -> None:
    if sys.platform != "linux":
        raise UnsupportedError("file systems are mounted on Linux only")
    arguments = (source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode())
    if _libc().mount(*arguments) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise UnsupportedError(f"a file system cannot be mounted here ({reason}): that takes root, or CAP_SYS_ADMIN")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
