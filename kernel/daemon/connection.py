"""One client's connection: bytes in, lines to the server, answers out, all of it bounded.

A connection reads as long as few enough of its requests are under way and few enough bytes of its answers are unread.
When the client has said all it wanted (end of file), what it asked for is still answered, and then the connection is
closed.
"""

from __future__ import annotations

import select
from contextlib import suppress

from kernel.daemon import rpc
from kernel.errors import RpcError
from kernel.sockets import SHUT_WR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.daemon.server import Server
    from kernel.loop import Future, Loop
    from kernel.sockets import Socket

#: Requests of one connection that may be under way at once.
MAX_UNDER_WAY = 64

#: Unread answers of one connection, in bytes, above which it is not read.
MAX_UNREAD = 4 * 1024 * 1024

#: How long a client that was refused may go on sending before its connection is closed, in seconds.
DISCARD_SECONDS = 5.0

#: Unfinished lines up to this size are taken whatever others send, in bytes.
_SMALL = 1024 * 1024

_CHUNK = 64 * 1024
"""How much is read and sent at once, in bytes: a buffer twice as large is one that the allocator asks the system for
each time, which takes longer than all else that a read does."""


class Connection:
    """A client, from accept to close."""

    def __init__(self, server: Server, loop: Loop, client: Socket, max_line: int) -> None:
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
        self._discarding = False
        """Whether what still comes is read only to be dropped."""
        self._closed = False
        self._read_again()

    @property
    def unfinished(self) -> int:
        """How many bytes of requests wait for their rest, or for their turn."""
        return len(self._lines)

    # --- in ---

    def _read_again(self) -> None:
        """Read or not, as the bounds say."""
        if self._closed:
            return
        wanted = self._discarding or (not self._ended and self._has_room())
        if wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self._loop.add_reader(self._fd, self._on_readable)
        else:
            self._loop.remove_reader(self._fd)

    def _has_room(self) -> bool:
        return self._under_way < MAX_UNDER_WAY and len(self._out) < MAX_UNREAD

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close()  # the client has gone; what it asked for goes on
            return
        if self._discarding:
            self._discarding = bool(data)
        elif data:
            self._lines.feed(data)
            if len(self._lines) > _SMALL and self._server.holds_too_much():
                self._refuse("The daemon holds too much of unfinished requests.", rpc.KERNEL_ERROR)
        else:
            self._ended = True
        self._take_lines()

    def _take_lines(self) -> None:
        while self._has_room():
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
        """Say that what comes cannot be understood any more.

        It is read all the same for a while, and dropped: a client that is still sending would otherwise meet a broken
        pipe, and never read why.
        """
        self._ended = self._discarding = True
        self._loop.call_later(DISCARD_SECONDS, self._close)
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
        if self._discarding and not self._under_way:
            with suppress(OSError):  # the client has gone: reading will tell
                self._socket.shutdown(SHUT_WR)
        self._close_if_done()

    def _on_writable(self) -> None:
        self._flush()
        if not self._closed:
            self._take_lines()

    # --- the end ---

    def finish(self) -> None:
        """Take no more requests; close when those under way are answered."""
        self._ended = True
        self._discarding = False
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
        if self._ended and not (self._discarding or self._under_way or self._out or len(self._lines)):
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
