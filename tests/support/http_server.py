"""A real HTTP server whose answers tests choose, good and bad."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from kernel.bundle import Module, render_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


SOURCE = "def build_root_object(vat_powers, parameters, baggage):\n    return None\n"
BUNDLE = render_bundle("main", {"main": Module("main.py", SOURCE, False)})
MANY = 60.0
"""Seconds: longer than any test waits."""


class Server(ThreadingHTTPServer):
    """Serves ``responses`` by path, each a function that writes one answer; the paths asked for are in ``requests``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.responses: dict[str, Callable[[Handler], None]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        self.scheme = "http"

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}{path}"

    def at(self, path: str, response: Callable[[Handler], None]) -> str:
        self.responses[path] = response
        return self.url(path)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: they are meant to."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        response = self.server.responses.get(self.path)
        if response is None:
            self.send_error(404)
        else:
            response(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Keep the tests' output clean."""

    def raw(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def drip(self, data: bytes) -> None:
        """Send a byte every twentieth of a second until the client or the test ends."""
        for byte in data:
            self.raw(bytes([byte]))
            if self.server.closing.wait(0.05):
                return


def body(data: bytes, **headers: str) -> Callable[[Handler], None]:
    """Answer 200 with ``data``."""

    def respond(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.raw(data)

    return respond


def redirect(location: str, status: int = 302) -> Callable[[Handler], None]:
    def respond(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return respond


def status(code: int) -> Callable[[Handler], None]:
    return lambda handler: handler.send_error(code)


def raw(data: bytes) -> Callable[[Handler], None]:
    return lambda handler: handler.raw(data)


def silence(handler: Handler) -> None:
    handler.server.closing.wait(MANY)


def drip_headers(handler: Handler) -> None:
    handler.drip(b"HTTP/1.0 200 OK\r\nX: " + b"x" * 60_000)


def drip_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.drip(BUNDLE)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
