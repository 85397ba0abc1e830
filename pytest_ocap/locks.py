"""Ask whether a file is locked, and by whom."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_locked(path: Path) -> bool:
    """Say whether another process holds an exclusive ``flock`` on a file; one that is not there is not locked."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def holders() -> dict[tuple[int, int], frozenset[int]]:
    """Give for each locked file, as its device and inode, the pids that hold a lock on it, of whatever kind.

    From ``/proc/locks`` (proc(5)); where there is none (macOS), nothing is known.  A lock that belongs to an open file
    and not to a process has no pid there, and one whose process is not of this namespace neither.
    """
    found: dict[tuple[int, int], set[int]] = {}
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    for line in lines:
        words = [word for word in line.split()[1:] if word != "->"]  # "->" stands before one that waits
        if "->" in line or len(words) < 5:
            continue
        major, minor, inode = words[4].split(":")
        pid = int(words[3])
        if pid > 0:
            found.setdefault((os.makedev(int(major, 16), int(minor, 16)), int(inode)), set()).add(pid)
    return {key: frozenset(pids) for key, pids in found.items()}
