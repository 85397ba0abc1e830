"""The daemon's server on a thread, and a client that sends it whatever it likes."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

from kernel.daemon.listening import listen
from kernel.daemon.server import Server
from kernel.errors import (
    NotFoundError,
)
from kernel.events import ListLog
from kernel.loop import Future, Loop

PATIENCE = 20.0


class Served:
    """A server on a thread of its own, with methods made for these tests."""

    def __init__(self, path: str, **bounds: Any) -> None:
        self.path = path
        self.log = ListLog()
        self.loop = Loop()
        self.gate: Future[None] = self.loop.create_future()
        self.calls: list[str] = []
        self.unhandled: list[BaseException] = []
        self.loop.on_unhandled = self.unhandled.append
        self.server = Server(self.loop, listen(path, self.log), self._call, self.log, **bounds)
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    async def _call(self, method: str, params: list[Any] | dict[str, Any]) -> object:
        self.calls.append(method)
        if method == "echo":
            return params
        if method == "wait":
            await self.gate
            return "waited"
        if method == "not-json":
            return [object(), float("inf")][len(params)]
        if method == "defect":
            raise ZeroDivisionError("a defect of ours")
        raise NotFoundError("there is no such thing", vatId="v9", remedy="Look again.")

    def on_loop(self, call: Callable[..., object], *arguments: Any) -> None:
        """Make a call on the server's thread, and wait until it was made."""
        made = threading.Event()

        def work() -> None:
            call(*arguments)
            made.set()

        self.loop.call_soon_threadsafe(work)
        assert made.wait(PATIENCE)

    def open_gate(self) -> None:
        """Let the requests that wait be answered."""
        self.on_loop(self.gate.set_result, None)

    def close(self) -> None:
        """Stop the server and its thread."""
        self.on_loop(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()
        assert self.unhandled == []


class Raw:
    """A client that sends whatever it likes."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Any:
        """Give the next answer, None at the end of the connection."""
        line = self._file.readline()
        return json.loads(line) if line else None

    def ask(self, data: bytes) -> Any:
        self.send(data)
        return self.answer()

    def close(self) -> None:
        self._file.close()
        self.socket.close()
