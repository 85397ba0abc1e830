"""One JSON-RPC call: whatever the other side does, it ends in time with an outcome that says what was wrong."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_ocap import rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[[Callable[[socket.socket], None]], Path]


@pytest.fixture
def serve(short_tmp: Path) -> Iterator[Serve]:
    """Give a function that has one connection served, and gives the socket's path."""
    threads: list[threading.Thread] = []

    def begin(behave: Callable[[socket.socket], None]) -> Path:
        path = short_tmp / "sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def run() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(1 << 16)
                behave(connection)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return path

    yield begin
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("reply", "ok", "text"),
    [
        (b'{"id": 1, "result": {"a": 1}}\n', True, '{"a": 1}'),
        (b'{"id": 1, "error": {"message": "gone: /x", "data": {"code": "bundle-missing"}}}\n', False, "gone: /x"),
        (b"HTTP/1.1 400 Bad Request\r\n", False, "something that is not JSON"),
        (b'{"id": 1}\n', False, "something that is not a reply"),
        (b"[]\n", False, "something that is not a reply"),
        (b'{"result": ', False, "closed the connection before it answered"),
        (b"", False, "closed the connection before it answered"),
    ],
)
def test_a_reply_of_any_form_gives_an_outcome(serve: Serve, reply: bytes, ok: bool, text: str) -> None:
    outcome = rpc.call(serve(lambda connection: connection.sendall(reply)), "m", [], timeout=5.0)
    assert (outcome.ok, outcome.timed_out) == (ok, False)
    assert text in outcome.text


def test_the_errors_code_is_given(serve: Serve) -> None:
    reply = b'{"error": {"message": "x", "data": {"code": "bundle-missing"}}}\n'
    assert rpc.call(serve(lambda connection: connection.sendall(reply)), "m", [], timeout=5.0).code == "bundle-missing"


def test_silence_ends_at_the_time_out(serve: Serve) -> None:
    release = threading.Event()
    began = time.monotonic()

    def say_nothing(_connection: socket.socket) -> None:
        release.wait()

    outcome = rpc.call(serve(say_nothing), "m", [], timeout=0.1)
    release.set()
    assert outcome.timed_out
    assert not outcome.ok
    assert time.monotonic() - began < 5.0


def test_a_reply_that_drips_for_ever_ends_at_the_time_out(serve: Serve) -> None:
    def drip(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # until the caller has gone
            while True:
                connection.sendall(b" ")
                time.sleep(0.005)

    assert rpc.call(serve(drip), "m", [], timeout=0.2).timed_out


def test_nobody_there_is_an_outcome_too(short_tmp: Path) -> None:
    outcome = rpc.call(short_tmp / "sock", "m", [], timeout=1.0)
    assert not outcome.ok
    assert "No such file" in outcome.text
