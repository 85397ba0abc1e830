"""Watching processes from outside: waiting for what must come about, and what a process has open."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

PATIENCE = 30.0
"""Seconds after which what has not come about never will: far above what anything takes on a busy machine."""


def eventually(condition: Callable[[], object], otherwise: str = "it did not come about") -> None:
    """Wait until a condition holds; fail with the words given when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.005)


def descriptors(pid: int) -> dict[int, str]:
    """Give what each of a process's descriptors is; one that is closed meanwhile is left out."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found
