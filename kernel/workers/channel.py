"""A socket carried by the loop: what is written waits until it can be sent, what arrives is handed on.

Invariant: pieces are sent whole and in order; a descriptor that goes with a piece is closed here as soon as it has
been sent, or cannot be any more.
"""

from __future__ import annotations

import select
from collections import deque

from kernel.sockets import send_with_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.loop import Loop
    from kernel.sockets import Socket

_READ_BYTES = 64 * 1024  # larger buffers take longer to get than to fill


class Channel:
    """One end of a stream socket; calls ``on_data`` with what arrives and ``on_end``, once, when nothing more can."""

    def __init__(
        self,
        loop: Loop,
        sock: Socket,
        on_data: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._on_data = on_data
        self._on_end = on_end
        self._waiting: deque[tuple[memoryview, Socket | None]] = deque()
        self._open = True
        self._writable = True
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._read)

    def write(self, data: bytes, descriptor: Socket | None = None) -> None:
        """Send bytes, and with them a descriptor to the other process; what cannot be sent any more is dropped."""
        if not self._open or not self._writable:
            if descriptor is not None:
                descriptor.close()
            return
        self._waiting.append((memoryview(data), descriptor))
        if len(self._waiting) == 1:
            self._flush()

    def wait(self, seconds: float) -> bool:
        """Wait outside the loop until something arrives, and hand it on; False when nothing did in so many seconds."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        arrived = bool(poll.poll(seconds * 1000))
        if arrived:
            self._read()
        return arrived

    def close(self) -> None:
        """Close it without telling anybody; idempotent."""
        if not self._open:
            return
        self._open = False
        self._stop_writing()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _flush(self) -> None:
        try:
            while self._waiting:
                data, descriptor = self._waiting[0]
                if descriptor is not None:
                    sent = send_with_descriptor(self._socket, data, descriptor.fileno())
                    descriptor.close()
                else:
                    sent = self._socket.send(data)
                if sent == len(data):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = (data[sent:], None)
        except BlockingIOError:
            self._loop.add_writer(self._socket.fileno(), self._flush)
            return
        except OSError:
            self._stop_writing()  # the other end is gone; the reader learns it too, after what was still to be read
            return
        self._loop.remove_writer(self._socket.fileno())

    def _stop_writing(self) -> None:
        self._writable = False
        self._loop.remove_writer(self._socket.fileno())
        for _, descriptor in self._waiting:
            if descriptor is not None:
                descriptor.close()
        self._waiting.clear()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_data(data)
        else:
            self.close()
            self._on_end()
