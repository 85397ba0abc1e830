"""The status pipe: what a starting daemon tells the process that spawned it, as JSON lines.

``{"phase": "store"}`` as each phase begins, ``{"progress": [3, 10]}`` within one, ``{"fatal": {...}}`` when the start
fails and ``{"phase": "ready"}`` last.  End of file without ``ready`` means that the daemon died.  The caller may be
gone, stopped or slow: that must never keep the daemon from starting, so nothing but a fatal is ever waited for.
"""

from __future__ import annotations

import json
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: How long a fatal waits for a caller that does not read, in seconds.
_FATAL_PATIENCE = 1.0

_MAX_LINE = 1024 * 1024


class StatusPipe:
    """The daemon's end."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd if fd is not None else -1
        if self._fd >= 0:
            os.set_inheritable(self._fd, False)
            os.set_blocking(self._fd, False)

    def phase(self, name: str) -> None:
        """Say that a phase begins."""
        self._send({"phase": name}, 0.0)

    def progress(self, done: int, total: int) -> None:
        """Say how much of the phase is done."""
        self._send({"progress": [done, total]}, 0.0)

    def fatal(self, record: dict[str, Any]) -> bool:
        """Hand over the record of a fatal; say whether there was anybody to take it."""
        return self._send({"fatal": record}, _FATAL_PATIENCE)

    def close(self) -> None:
        """Close the pipe; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _send(self, message: dict[str, Any], patience: float) -> bool:
        if self._fd < 0:
            return False
        rest = json.dumps(message, default=str).encode() + b"\n"
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                poller = select.poll()
                poller.register(self._fd, select.POLLOUT)
                if not poller.poll(patience * 1000):
                    return False
            except OSError:  # nobody reads any more: the caller has gone, the start goes on
                self.close()
                return False
        return True


class StatusReader:
    """The caller's end: bytes in, messages out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take bytes as they came; give the messages that are whole.  What is not a message is skipped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-_MAX_LINE:]
        messages = []
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # not ours: something in the daemon's environment wrote to the descriptor
            if isinstance(message, dict):
                messages.append(message)
        return messages
