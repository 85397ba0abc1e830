"""A home so far down in the file system that the path of the socket in it has a length that was chosen."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ocap.verdict import UnsupportedError

if TYPE_CHECKING:
    from pytest_ocap.driver import KernelDriver

LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103
"""The bytes that the path of a Unix socket may have, without the NUL that ends it: unix(7)."""


class DeepHome:
    """An empty home, ``length`` bytes long with its socket.

    Args:
        driver: Says where the socket lies.
        base: A directory that has nothing of that name below it yet; the home lies in it.
        length: The bytes of the socket's path.

    Raises:
        UnsupportedError: The socket does not lie in the home, or ``base`` is too deep already.
    """

    def __init__(self, driver: KernelDriver, base: Path, length: int) -> None:
        self.id = f"socket-path-of-{length}"
        self._length = length
        shortest = driver.socket(base / "d")
        if shortest is None or base not in shortest.parents:
            raise UnsupportedError(f"the socket does not lie in the home: {shortest}")
        missing = length - len(os.fsencode(shortest))
        if missing < 0:
            raise UnsupportedError(f"a socket below {base} has a path of more than {length} bytes")
        self.home = base / ("d" * (1 + missing))
        self.socket = Path(driver.socket(self.home) or "")

    def arrange(self) -> None:
        """Make the home."""
        self.home.mkdir(parents=True, mode=0o700)

    def fired(self) -> str | None:
        """See the length of the socket's path."""
        length = len(os.fsencode(self.socket))
        return f"{self.socket} has {length} bytes" if length == self._length and self.home.is_dir() else None

    def undo(self) -> None:
        """Remove the home."""
        if self.home.is_dir():
            shutil.rmtree(self.home)
