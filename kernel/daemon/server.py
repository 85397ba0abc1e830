"""The server: takes connections, cuts them into requests, and sends the answers as they come.

Invariants: only processes of the daemon's own user are served; what one client holds in memory is bounded (one line, a
number of requests under way, an amount of unread answers: beyond that its socket is not read); a broken client costs
its connection, never the daemon.  Answers may come in another order than the requests; ``id`` tells which is which.
"""

from __future__ import annotations

import errno
import os
from contextlib import closing

from kernel.daemon import rpc
from kernel.daemon.connection import Connection
from kernel.daemon.fatal import render
from kernel.errors import EXHAUSTED, DaemonForeignError, NotRunningError, OcapError, RpcError, describe, exhausted
from kernel.sockets import accept, peer_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from kernel.daemon.listening import Listener
    from kernel.events import Log
    from kernel.loop import Future, Loop

    Call = Callable[[str, list[Any] | dict[str, Any]], Awaitable[object]]
    from kernel.sockets import Socket

#: How many clients are served at once.
MAX_CONNECTIONS = 512

#: How many bytes of unfinished requests are held for all clients together.
MAX_UNFINISHED = 256 * 1024 * 1024

#: How many connections are accepted before anything else has its turn.
_ACCEPT_ROUND = 64

#: How long accepting rests after the system has refused, in seconds.
_REST = 0.1


class Server:
    """Serves one listener until :meth:`drain` or :meth:`close`."""

    def __init__(
        self,
        loop: Loop,
        listener: Listener,
        call: Call,
        log: Log,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_line: int = rpc.MAX_LINE_BYTES,
        max_unfinished: int = MAX_UNFINISHED,
        uid: int | None = None,
    ) -> None:
        """Begin to serve.

        Args:
            loop: Where it waits.
            listener: Where it listens; closed by the server.
            call: Calls a method by name with its params.
            log: Where it reports.
            max_connections: How many clients are served at once.
            max_line: The longest request, in bytes.
            max_unfinished: How many bytes of unfinished requests are held for all clients together.
            uid: The user who is served besides root; the daemon's own by default.
        """
        self._loop = loop
        self._listener = listener
        self._call = call
        self._log = log
        self._max_connections = max_connections
        self._max_line = max_line
        self._max_unfinished = max_unfinished
        self._uid = os.geteuid() if uid is None else uid
        self._connections: set[Connection] = set()
        self._under_way = 0
        self._draining: Future[None] | None = None
        self._accepting = True
        # Given up for a moment when the process has no descriptor left, to take a client and tell it so.
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        loop.add_reader(listener.socket.fileno(), self._accept)

    @property
    def under_way(self) -> int:
        """How many requests have not been answered yet."""
        return self._under_way

    # --- connections ---

    def _accept(self) -> None:
        for _ in range(_ACCEPT_ROUND):
            if not self._accepting:
                return
            try:
                client = accept(self._listener.socket)
            except BlockingIOError:
                return
            except OSError as error:
                self._accept_failed(error)
                return
            client.setblocking(False)
            try:
                refusal = self._refusal(client)
            except OSError as error:  # the system does not tell who it is
                self._log.warning("rpc.peer_unknown", error=describe(error))
                client.close()
                continue
            if refusal is not None:
                _say_and_close(client, refusal)
                continue
            self._connections.add(Connection(self, self._loop, client, self._max_line))

    def _accept_failed(self, error: OSError) -> None:
        if error.errno in (errno.ECONNABORTED, errno.EINTR, errno.EPROTO):
            return  # that client has gone again
        self._log.warning("rpc.accept_failed", error=describe(error), connections=len(self._connections))
        if error.errno in EXHAUSTED and self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
            try:
                client = accept(self._listener.socket)
                client.setblocking(False)
                _say_and_close(client, exhausted("The daemon cannot take one more connection", error))
            except OSError as again:
                self._log.warning("rpc.accept_failed", error=describe(again), connections=len(self._connections))
            self._open_spare()
        self._loop.remove_reader(self._listener.socket.fileno())
        self._loop.call_later(_REST, self._accept_again)

    def _open_spare(self) -> None:
        try:
            self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # none is left; clients wait in the backlog until one is

    def _accept_again(self) -> None:
        if self._accepting:
            if self._spare < 0:
                self._open_spare()
            self._loop.add_reader(self._listener.socket.fileno(), self._accept)

    def _refusal(self, client: Socket) -> OcapError | None:
        credentials = peer_credentials(client)
        if credentials is not None and credentials[1] not in (self._uid, 0):
            self._log.warning("rpc.peer_refused", pid=credentials[0], uid=credentials[1])
            return DaemonForeignError(
                f"This daemon serves uid {self._uid} only, not uid {credentials[1]}.",
                remedy="Use the account that started the daemon.",
                uid=credentials[1],
            )
        if len(self._connections) >= self._max_connections:
            for connection in list(self._connections):
                connection.close_if_hung_up()
        if len(self._connections) >= self._max_connections:
            self._log.warning("rpc.too_many_connections", connections=len(self._connections))
            return OcapError(f"The daemon serves {self._max_connections} connections already; try again later.")
        return None

    def unfinished(self) -> int:
        """Give how many bytes of unfinished requests are held for all clients together."""
        return sum(connection.unfinished for connection in list(self._connections))

    def holds_too_much(self) -> bool:
        """Say whether that is over the bound."""
        return self.unfinished() > self._max_unfinished

    def forget(self, connection: Connection) -> None:
        """Note that a connection has been closed."""
        self._connections.discard(connection)
        self._check_drained()

    # --- requests ---

    def serve(self, line: bytes) -> Future[bytes]:
        """Carry out the request (or the batch) in one line; the future has the answer's line and never an exception."""
        self._under_way += 1
        answer = self._loop.spawn(self._answer(line))
        answer.add_done_callback(self._answered)
        return answer

    def _answered(self, _answer: Future[bytes]) -> None:
        self._under_way -= 1
        self._check_drained()

    async def _answer(self, line: bytes) -> bytes:
        try:
            value = rpc.parse_line(line)
        except rpc.RpcFaultError as fault:
            return rpc.encode(rpc.fault(fault.id, fault.rpc_code, fault.error))
        if not isinstance(value, list):
            return _encode(await self._answer_one(value))
        if not 0 < len(value) <= rpc.MAX_BATCH:
            problem = "is empty" if not value else f"has more than {rpc.MAX_BATCH} requests"
            return _encode(rpc.fault(rpc.NO_ID, rpc.INVALID_REQUEST, RpcError(f"The batch {problem}.")))
        pending = [self._loop.spawn(self._answer_one(item)) for item in value]
        return _encode([await one for one in pending])

    async def _answer_one(self, value: object) -> dict[str, Any]:
        name = rpc.NO_ID
        try:
            request = rpc.parse_request(value)
            name = request.id
            result = await self._call(request.method, request.params)
        except rpc.RpcFaultError as fault:
            return rpc.fault(fault.id if fault.id.value is not None else name, fault.rpc_code, fault.error)
        except OcapError as error:
            return rpc.fault(name, rpc.KERNEL_ERROR, error)
        except Exception as error:  # noqa: BLE001 - a method's defect costs its answer, not the daemon
            self._log.error("rpc.failed", error=render(error))
            return rpc.fault(name, rpc.KERNEL_ERROR, OcapError(describe(error), remedy="See `ocap daemon logs`."))
        return rpc.result(name, result)

    # --- the end ---

    def drain(self) -> Future[None]:
        """Take no more connections and requests; the future is settled when all answers have been sent."""
        if self._draining is None:
            self._draining = self._loop.create_future()
            self._stop_accepting()
            for connection in list(self._connections):
                connection.finish()
            self._check_drained()
        return self._draining

    def _check_drained(self) -> None:
        if self._draining is not None and not self._draining.done() and not self._connections:
            self._draining.set_result(None)

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener.socket.fileno())
            self._listener.close()

    def close(self) -> None:
        """Stop at once: what is under way is answered with an error as far as the sockets take it.  Idempotent."""
        self._stop_accepting()
        error = NotRunningError(
            "The daemon is stopping and did not come to answer; what was queued is kept for its next start.",
            remedy="Start the daemon again.",
        )
        for connection in list(self._connections):
            connection.abandon(rpc.encode(rpc.fault(rpc.NO_ID, rpc.KERNEL_ERROR, error)))
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1


def _encode(answer: dict[str, Any] | list[dict[str, Any]]) -> bytes:
    try:
        return rpc.encode(answer)
    except (TypeError, ValueError, RecursionError) as error:
        problem = OcapError(f"The answer is not JSON: {describe(error)}.")
        name = answer.get("id") if isinstance(answer, dict) else None
        return rpc.encode(rpc.fault(rpc.RequestId(name), rpc.KERNEL_ERROR, problem))


def _say_and_close(client: Socket, error: OcapError) -> None:
    """Tell a client why it is not served, as far as its socket takes it, and part."""
    with closing(client):
        try:
            client.send(rpc.encode(rpc.fault(rpc.NO_ID, rpc.KERNEL_ERROR, error)))
        except OSError:
            return  # it does not listen
