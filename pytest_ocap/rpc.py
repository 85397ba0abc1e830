"""One JSON-RPC 2.0 request over a Unix socket, for drivers.

Invariant: a call ends within its time-out, whatever the other side does, and gives an outcome, never an exception.
Time-outs are the socket's, so a frozen clock cannot disable them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from pytest_ocap.clock import Clock
from pytest_ocap.driver import Outcome

if TYPE_CHECKING:
    from pathlib import Path

MAX_REPLY_BYTES = 64 * 1024 * 1024


def call(path: Path, method: str, params: Any, *, timeout: float) -> Outcome:
    """Send one request; ``value`` is its result, or on an error ``text`` its message and ``code`` its ``data.code``."""
    clock = Clock()
    began = clock.now()

    def ended(ok: bool, text: str, **more: Any) -> Outcome:
        return Outcome(ok, text, clock.now() - began, **more)

    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"
    try:
        with _connect(path, timeout) as connection:
            connection.sendall(request)
            line = _read_line(connection, clock, began + timeout)
    except TimeoutError:
        return ended(False, f"no answer to {method} from {path} within {timeout:g} s", timed_out=True)
    except OSError as error:
        return ended(False, f"no answer to {method} from {path}: {error}")
    if not line.endswith(b"\n"):
        return ended(False, f"{path} closed the connection before it answered {method} (it sent {line[:200]!r})")
    try:
        reply = json.loads(line)
    except ValueError:
        return ended(False, f"{path} answered {method} with something that is not JSON: {line[:200]!r}")
    if not isinstance(reply, dict) or ("result" in reply) == ("error" in reply):
        return ended(False, f"{path} answered {method} with something that is not a reply: {line[:200]!r}")
    if "error" in reply:
        refusal = reply["error"] if isinstance(reply["error"], dict) else {"message": str(reply["error"])}
        data = refusal.get("data")
        code = data.get("code") if isinstance(data, dict) else None
        return ended(False, str(refusal.get("message", "")), code=code, value=refusal)
    return ended(True, json.dumps(reply["result"], ensure_ascii=False), value=reply["result"])


def _connect(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
    except BaseException:
        with contextlib.suppress(OSError):
            connection.close()
        raise
    return connection


def _read_line(connection: socket.socket, clock: Clock, deadline: float) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n") and len(received) < MAX_REPLY_BYTES:
        left = deadline - clock.now()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        chunk = connection.recv(1 << 16)
        if not chunk:
            break
        received += chunk
    return bytes(received)
