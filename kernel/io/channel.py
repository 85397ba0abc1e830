"""A line channel: a Unix socket at which one client at a time exchanges lines of UTF-8 text with a vat.

Reading gives the client's lines in order, then None once when it leaves; the next client waits in the listen queue
until then. Invariants: memory is bounded (a client that writes faster than the vat reads is not read from; one that
does not read is cut off); a path that is in use, or that holds anything but a socket nobody listens at, is refused
and left alone.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from contextlib import closing

from kernel.errors import IoChannelError, describe
from kernel.sockets import accept, unix_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.events import Log
    from kernel.loop import Loop
    from kernel.sockets import Socket

MAX_LINE_BYTES = 1 << 20
MAX_BUFFERED_LINES = 1000
MAX_UNSENT_BYTES = 4 << 20
_CHUNK_BYTES = 65536


class LineChannel:
    """One channel; :meth:`open` binds it, :meth:`close` releases it."""

    def __init__(self, name: str, path: str, direction: str, *, loop: Loop, log: Log) -> None:
        """Describe a channel.

        Args:
            name: Its name in the configuration, for messages.
            path: The absolute path of its socket, at most 107 bytes.
            direction: ``in`` (the vat reads), ``out`` (the vat writes) or ``inout``.
            loop: Where it waits.
            log: Where it reports a client that it had to cut off.
        """
        self.name = name
        self.path = path
        self.direction = direction
        self._loop = loop
        self._log = log
        self._listener: Socket | None = None
        self._inode: tuple[int, int] | None = None
        self._client: Socket | None = None
        self._received = bytearray()
        self._unsent = bytearray()
        self._lines: deque[str | None] = deque()
        self._readers: deque[Callable[[str | None], bool]] = deque()

    def open(self) -> None:
        """Bind the socket, with access for this user only.

        Raises:
            IoChannelError: The path is in use, is something else's, or cannot be bound.
        """
        try:
            self._clear_path()
            listener = unix_socket()
        except (OSError, ValueError) as error:  # no descriptor is left; a path that no socket can have
            raise self._error(f"cannot be opened: {describe(error)}", "Check its path and its directory.") from error
        try:
            listener.setblocking(False)
            umask = os.umask(0o177)
            try:
                listener.bind(self.path)
            finally:
                os.umask(umask)
            listener.listen(16)
            status = os.stat(self.path)
        except OSError as error:
            listener.close()
            raise self._error(
                f"cannot be bound: {error.strerror or error}", "Check that its directory exists and can be written."
            ) from error
        self._inode = (status.st_dev, status.st_ino)
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Let the client go, tell waiting readers that there is nothing more, and remove the socket.  Idempotent."""
        if self._listener is None:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        self._listener = None
        self._drop_client()
        while self._readers:
            self._readers.popleft()(None)
        try:
            status = os.lstat(self.path)
            if (status.st_dev, status.st_ino) == self._inode:
                os.unlink(self.path)
        except OSError as error:
            self._log.warning("io.not-removed", channel=self.name, path=self.path, error=str(error))

    def read(self, reader: Callable[[str | None], bool]) -> None:
        """Call ``reader`` once with the next line (without its end), or with None when the client has left.

        A reader that gives False has no use for it any more, and the next one gets it.

        Raises:
            IoChannelError: The channel is for writing only.
        """
        if self.direction == "out":
            raise self._error("is for writing only", "Configure its direction as 'in' or 'inout'.")
        if self._lines:
            reader(self._lines.popleft())
            self._watch_client()
        else:
            self._readers.append(reader)

    def write(self, line: str) -> None:
        """Send a line to the client.

        Raises:
            IoChannelError: The channel is for reading only, nobody is connected, or the client does not read.
        """
        if self.direction == "in":
            raise self._error("is for reading only", "Configure its direction as 'out' or 'inout'.")
        if self._client is None:
            raise self._error("has no client", "Connect to its socket first.")
        if len(self._unsent) > MAX_UNSENT_BYTES:
            self._cut_off("it does not read what it is sent")
            raise self._error("was cut off: its client does not read", "Read from the socket.")
        self._unsent += line.encode("utf-8", "surrogatepass") + b"\n"
        self._flush()

    # --- the client ---

    def _accept(self) -> None:
        if self._listener is None or self._client is not None:
            return
        try:
            client = accept(self._listener)
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # Out of descriptors, say: the listener would wake the loop at once again and again.
            self._log.warning("io.accept-failed", channel=self.name, path=self.path, error=str(error))
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(1.0, self._listen_again)
            return
        client.setblocking(False)
        self._client = client
        self._loop.remove_reader(self._listener.fileno())
        self._watch_client()

    def _listen_again(self) -> None:
        if self._listener is not None and self._client is None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _watch_client(self) -> None:
        if self._client is not None and len(self._lines) < MAX_BUFFERED_LINES:
            self._loop.add_reader(self._client.fileno(), self._receive)

    def _receive(self) -> None:
        assert self._client is not None
        try:
            data = self._client.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end_session()
            return
        if self.direction == "out":
            return  # the vat cannot read; what the client says has nowhere to go
        self._received += data
        *lines, rest = bytes(self._received).split(b"\n")
        self._received = bytearray(rest)
        for line in lines:
            self._give(line.removesuffix(b"\r").decode("utf-8", "replace"))
        if len(rest) > MAX_LINE_BYTES:
            self._cut_off(f"it sent a line of more than {MAX_LINE_BYTES} bytes")
        elif len(self._lines) >= MAX_BUFFERED_LINES and self._client is not None:
            self._loop.remove_reader(self._client.fileno())

    def _give(self, line: str | None) -> None:
        while self._readers:
            if self._readers.popleft()(line):
                return
        self._lines.append(line)

    def _flush(self) -> None:
        if self._client is None:
            return
        try:
            while self._unsent:
                sent = self._client.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            self._loop.add_writer(self._client.fileno(), self._flush)
            return
        except OSError:
            self._end_session()
            return
        self._loop.remove_writer(self._client.fileno())

    def _end_session(self) -> None:
        """The client has left: readers learn it once, after its last line."""
        if self._received and self.direction != "out":
            self._give(bytes(self._received).decode("utf-8", "replace"))
        if self.direction != "out":
            self._give(None)
        self._drop_client()
        self._listen_again()

    def _cut_off(self, why: str) -> None:
        self._log.warning("io.client-cut-off", channel=self.name, path=self.path, reason=why)
        self._received.clear()
        self._end_session()

    def _drop_client(self) -> None:
        if self._client is not None:
            self._loop.remove_reader(self._client.fileno())
            self._loop.remove_writer(self._client.fileno())
            self._client.close()
            self._client = None
        self._received.clear()
        self._unsent.clear()

    # --- the path ---

    def _clear_path(self) -> None:
        """Remove a socket that nobody listens at; refuse anything else."""
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._error(f"cannot be looked at: {error.strerror}", "Check its directory.") from error
        if not stat.S_ISSOCK(mode):
            raise self._error("is in the way: it is not a socket", "Move it away, or give the channel another path.")
        with closing(unix_socket()) as probe:
            probe.setblocking(False)
            code = probe.connect_ex(self.path)
        if code != errno.ECONNREFUSED:
            raise self._error(
                "is in use: somebody listens there", "End that process, or give the channel another path."
            )
        os.unlink(self.path)

    def _error(self, problem: str, remedy: str) -> IoChannelError:
        return IoChannelError(
            f"the IO channel {self.name!r} at {self.path} {problem}", path=self.path, channel=self.name, remedy=remedy
        )
