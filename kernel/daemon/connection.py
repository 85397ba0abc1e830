"""One client's connection: bytes in, lines to the server, answers out, all of it bounded.

A connection reads as long as few enough of its requests are under way and few enough bytes of its answers are unread.
When the client has said all it wanted (end of file), what it asked for is still answered, and then the connection is
closed.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from kernel.daemon import rpc
from kernel.errors import RpcError

if TYPE_CHECKING:
    import socket

    from kernel.daemon.server import Server
    from kernel.loop import Future, Loop

#: Requests of one connection that may be under way at once.
MAX_UNDER_WAY = 64

#: Unread answers of one connection, in bytes, above which it is not read.
MAX_UNREAD = 4 * 1024 * 1024

_CHUNK = 256 * 1024


class Connection:
    """A client, from accept to close."""

    def __init__(self, server: Server, loop: Loop, client: socket.socket, max_line: int) -> None:
        self._server = server
        self._loop = loop
        self._socket = client
        self._fd = client.fileno()
        self._lines = rpc.LineBuffer(max_line)
        self._out = bytearray()
        self._under_way = 0
        self._reading = False
        self._ended = False
        """Whether no more requests will come: end of file, a line too long, or the daemon is stopping."""
        self._closed = False
        self._read_again()

    # --- in ---

    def _read_again(self) -> None:
        """Read or not, as the bounds say."""
        wanted = not self._ended and self._under_way < MAX_UNDER_WAY and len(self._out) < MAX_UNREAD
        if wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self._loop.add_reader(self._fd, self._on_readable)
        else:
            self._loop.remove_reader(self._fd)

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()  # the client has gone; what it asked for goes on
            return
        if data:
            self._lines.feed(data)
        else:
            self._ended = True
        self._take_lines()

    def _take_lines(self) -> None:
        while self._under_way < MAX_UNDER_WAY and len(self._out) < MAX_UNREAD:
            try:
                line = self._lines.next_line()
            except rpc.LineTooLongError:
                self._refuse(f"A request is longer than {self._lines.limit} bytes.", rpc.INVALID_REQUEST)
                break
            if line is None:
                if self._ended and len(self._lines):
                    self._refuse("The connection ended in the middle of a line.", rpc.PARSE_ERROR)
                break
            self._under_way += 1
            self._server.serve(line).add_done_callback(self._on_answer)
        self._read_again()
        self._close_if_done()

    def _refuse(self, message: str, rpc_code: int) -> None:
        """Say that what comes cannot be understood any more, and read no further."""
        self._ended = True
        self._lines = rpc.LineBuffer(self._lines.limit)
        error = RpcError(message, remedy="Send one JSON text a line, ended by a newline.")
        self._send(rpc.encode(rpc.fault(rpc.RequestId(None), rpc_code, error)))

    # --- out ---

    def _on_answer(self, answer: Future[bytes]) -> None:
        self._under_way -= 1
        if self._closed:
            return
        self._send(answer.result())
        if not self._closed:
            self._take_lines()

    def _send(self, line: bytes) -> None:
        self._out += line
        self._flush()

    def _flush(self) -> None:
        if self._closed:
            return
        try:
            while self._out:
                # A slice of bounded size: copying the whole rest for each send would make large answers quadratic.
                sent = self._socket.send(bytes(self._out[:_CHUNK]))
                del self._out[:sent]
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._fd, self._on_writable)
            return
        except OSError:
            self._close()
            return
        self._loop.remove_writer(self._fd)
        self._close_if_done()

    def _on_writable(self) -> None:
        self._flush()
        if not self._closed:
            self._take_lines()

    # --- the end ---

    def finish(self) -> None:
        """Take no more requests; close when those under way are answered."""
        self._ended = True
        self._lines = rpc.LineBuffer(self._lines.limit)
        self._read_again()
        self._close_if_done()

    def abandon(self, farewell: bytes) -> None:
        """Close now; a client that waits for answers is told by ``farewell``, once for each, as far as it reads."""
        for _ in range(self._under_way):
            self._out += farewell
        self._ended = True
        self._flush()
        self._close()

    def close_if_hung_up(self) -> None:
        """Close when the client has gone altogether: while its socket is not read, nothing else would tell."""
        poller = select.poll()
        poller.register(self._fd, 0)
        if poller.poll(0):
            self._close()

    def _close_if_done(self) -> None:
        if self._ended and not self._under_way and not self._out and not len(self._lines):
            # Later, so that whoever called may still finish what it does with this connection.
            self._loop.call_soon(self._close)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._socket.close()
        self._out.clear()
        self._server.forget(self)
