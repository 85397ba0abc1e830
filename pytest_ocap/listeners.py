"""Ask who listens on a Unix socket: whom a client reaches is not always whom it has started."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


TELLS = hasattr(socket, "SO_PEERCRED")
"""Whether the platform tells it."""


def listener(path: Path, *, seconds: float = 1.0) -> int | None:
    """Give the pid of the process that began to listen on a socket; ``None`` when nobody does, or nothing tells.

    Linux tells it (unix(7), ``SO_PEERCRED``).  The process may have handed on its listener, and ended.
    """
    if not TELLS:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(seconds)
        try:
            client.connect(os.fspath(path))
            pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except OSError:
            return None
    return int(pid)
