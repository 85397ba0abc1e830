"""A client of a daemon for asyncio: any number of calls at once on one connection.

Invariant: an answer goes to the call whose id it has, or to nobody; when the connection ends, every call on it learns
so, once.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from itertools import count
from typing import TYPE_CHECKING, Any

from kernel.api.async_calls import AsyncCalls
from kernel.daemon import client as words
from kernel.daemon.home import Home, check_socket_path
from kernel.daemon.rpc import LineBuffer, LineTooLongError, request_line

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from kernel.errors import OcapError

_RETRY_SECONDS = 0.02


class AsyncClient(AsyncCalls):
    """A daemon, as a coroutine calls it; connects at the first call and keeps the connection.

    Every method may raise, besides what stands with it, what those of :class:`kernel.api.Client` do.  One client
    belongs to the event loop that it is used in, until it is closed.
    """

    def __init__(self, socket_path: str | os.PathLike[str], *, timeout: float = 30.0) -> None:
        """Describe the daemon; nothing is opened yet.

        Args:
            socket_path: Where it listens; a home's is ``daemon.sock`` in it.
            timeout: How long one call may take, connecting included, in seconds.

        Raises:
            SocketPathError: The path is too long.
        """
        self.path = str(socket_path)
        check_socket_path(self.path)
        self.timeout = timeout
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._ids = count(1)

    @classmethod
    async def of_home(
        cls,
        home: str | os.PathLike[str] | None = None,
        *,
        timeout: float = 30.0,  # noqa: ASYNC109 - it is the client's, from now on
        start: bool = False,
    ) -> Self:
        """Give a client of a home's daemon.

        Args:
            home: The home directory; ``$OCAP_HOME``, else ``~/.ocap``, when left out.
            timeout: How long one call may take, in seconds, and how long a start may make no progress.
            start: Whether to start the daemon if none runs.

        Raises:
            HomeError: The home directory cannot be used.
            DaemonDiedError, DaemonHungError, DaemonUnresponsiveError, DaemonForeignError: It was to be started and did
                not come up, and why.
        """
        place = Home(home)
        if start:
            from kernel.daemon.ensure import ensure_daemon

            await asyncio.to_thread(ensure_daemon, place, timeout=timeout)
        return cls(place.socket, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way raise ConnectionLostError.  Idempotent; the next call opens another."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._connecting = asyncio.Lock()
            await connection.close()

    async def call(self, method: str, params: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Call a method by its name on the wire, and give its result as the wire has it.

        Args:
            method: The method's name.
            params: By position or by name.
        """
        request_id = next(self._ids)
        try:
            line = request_line(request_id, method, words.params_of(params))
        except (TypeError, ValueError, RecursionError) as error:
            raise words.not_json(method, error) from error
        seconds = self.timeout
        connection = None
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connected()
                answer = await connection.ask(request_id, method, line)
        except TimeoutError as error:
            late = words.took_none(self.path, seconds) if connection is None else None
            raise late or words.too_late(self.path, method, seconds) from error
        return words.outcome(answer)

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        async with self._connecting:
            if self._connection is None or self._connection.has_ended():
                connected = await self._open()
                _transport, self._connection = await loop.create_unix_connection(
                    lambda: _Connection(self.path, loop), sock=connected
                )
            return self._connection

    async def _open(self) -> socket.socket:
        """Connect; asyncio itself takes a listener whose backlog is full (EAGAIN) for one that has accepted."""
        connecting = socket.socket(socket.AF_UNIX)
        connecting.setblocking(False)
        try:
            # Asked again and again, since no event tells of room in a backlog.
            while (code := connecting.connect_ex(self.path)) == errno.EAGAIN:  # noqa: ASYNC110
                await asyncio.sleep(_RETRY_SECONDS)
            if code != 0:
                raise words.cannot_connect(self.path, code)
        except BaseException:
            connecting.close()
            raise
        return connecting


class _Connection(asyncio.Protocol):
    """One connection, from its making to its end."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.is_open = False
        self._path = path
        self._lines = LineBuffer(words.MAX_ANSWER_BYTES)
        self._waiting: dict[int, tuple[str, asyncio.Future[dict[str, Any]]]] = {}
        self._transport: asyncio.Transport
        self._ended = loop.create_future()

    async def ask(self, request_id: int, method: str, line: bytes) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._waiting[request_id] = (method, answer)
        try:
            self._transport.write(line)
            return await answer
        finally:
            self._waiting.pop(request_id, None)  # whoever gave up waiting: a late answer is nobody's

    def has_ended(self) -> bool:
        """Say whether the other side has closed, even where the event loop has not come to notice it yet."""
        if self.is_open:
            poller = select.poll()
            poller.register(self._transport.get_extra_info("socket"), 0)
            self.is_open = not poller.poll(0)
        return not self.is_open

    async def close(self) -> None:
        """Close, and wait until it is closed."""
        self._transport.abort()
        await self._ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._lines.feed(data)
        while self.is_open:
            try:
                line = self._lines.next_line()
            except LineTooLongError:
                self._not_understood(f"sent a line of more than {words.MAX_ANSWER_BYTES} bytes")
                return
            if line is None:
                return
            self._take(line)

    def _take(self, line: bytes) -> None:
        answer = words.read_answer(line)
        if answer is None:
            self._not_understood(f"answered {line[:80]!r}")
            return
        request_id = answer.get("id")
        if request_id is None and "error" in answer:
            # It concerns the connection, or a request that it could not read: none that waits will be answered.
            for _method, waiting in list(self._waiting.values()):
                if not waiting.done():
                    waiting.set_result(answer)
            self._end()
        elif isinstance(request_id, int) and request_id in self._waiting:
            waiting = self._waiting[request_id][1]
            if not waiting.done():
                waiting.set_result(answer)

    def _not_understood(self, what: str) -> None:
        sock = self._transport.get_extra_info("socket")
        self._fail(lambda _method: words.foreign(self._path, sock, what))
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who still waits."""
        self.is_open = False
        cause = exc if isinstance(exc, OSError) else None
        self._fail(lambda method: words.lost(self._path, method, cause))
        if not self._ended.done():
            self._ended.set_result(None)

    def _fail(self, error_for: Callable[[str], OcapError]) -> None:
        for method, waiting in list(self._waiting.values()):
            if not waiting.done():
                waiting.set_exception(error_for(method))

    def _end(self) -> None:
        self.is_open = False
        self._transport.abort()
