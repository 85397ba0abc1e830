"""The client: calls methods of a daemon over its socket, one at a time, on one connection.

Everything that goes wrong is one of :mod:`kernel.errors`: nobody listens, the daemon closed the connection, it did not
answer in time, what listens is not a daemon; and what the daemon answered as an error is raised as the error that it
was there.  Deadlines do not read the clocks that test libraries freeze.
"""

from __future__ import annotations

import errno
import json
import os
import select
import time

from kernel.daemon.home import check_socket_path
from kernel.daemon.process import monotonic, name_of
from kernel.daemon.rpc import KERNEL_ERROR, LineBuffer, LineTooLongError, request_line
from kernel.errors import (
    ConnectionLostError,
    DaemonForeignError,
    NotRunningError,
    OcapError,
    RequestTimeoutError,
    RpcError,
)
from kernel.sockets import peer_credentials, unix_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any, Self

    from kernel.sockets import Socket

#: The longest answer a client takes, in bytes.
MAX_ANSWER_BYTES = 256 * 1024 * 1024

_SLICE = 0.1
_CHUNK = 64 * 1024  # as the daemon's: larger buffers take longer to get than to fill


class Client:
    """A connection to a daemon; made at the first call, kept between calls, usable as a context manager."""

    def __init__(
        self,
        socket_path: str | os.PathLike[str],
        *,
        timeout: float = 30.0,
        while_waiting: Callable[[], None] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Describe the connection; nothing is opened yet.

        Args:
            socket_path: Where the daemon listens.
            timeout: How long one call may take, in seconds.
            while_waiting: Called about ten times a second while a call waits; what it raises ends the call.
            clock: Monotonic seconds.

        Raises:
            SocketPathError: The path is too long.
        """
        self.path = os.fspath(socket_path)
        check_socket_path(self.path)
        self.timeout = timeout
        self._while_waiting = while_waiting
        self._clock = clock
        self._socket: Socket | None = None
        self._poller = select.poll()
        self._buffer = LineBuffer(MAX_ANSWER_BYTES)
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; idempotent, and the next call opens another."""
        if self._socket is not None:
            self._poller = select.poll()
            self._socket.close()
            self._socket = None
            self._buffer = LineBuffer(MAX_ANSWER_BYTES)

    def connect(self) -> None:
        """Connect now, rather than at the first call.

        Raises:
            NotRunningError: Nobody listens there.
            DaemonForeignError: The socket is somebody else's.
            RequestTimeoutError: The listener takes no more connections.
        """
        if self._socket is None:
            self._socket = self._open(self._clock() + self.timeout)

    def peer_pid(self) -> int | None:
        """Give the pid of the process that listens (connecting if need be); None when the system does not tell."""
        self.connect()
        assert self._socket is not None
        credentials = peer_credentials(self._socket)
        return credentials[0] if credentials is not None and credentials[0] > 0 else None

    def call(self, method: str, params: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Call a method and give its result.

        Args:
            method: The method's name.
            params: By position or by name.

        Raises:
            NotRunningError: Nobody listens there.
            ConnectionLostError: The connection ended before the answer; whether the call took effect is unknown.
            RequestTimeoutError: No answer in time; whether the call took effect is unknown.
            DaemonForeignError: What listens does not speak the protocol.
            RpcError: The parameters are not JSON; nothing was sent.
            OcapError: The daemon's own answer, as its own class; ``data["rpcCode"]`` has its JSON-RPC code.
        """
        deadline = self._clock() + self.timeout
        if self._socket is not None and self._has_ended():
            self.close()
        if self._socket is None:
            self._socket = self._open(deadline)
        self._last_id += 1
        try:
            request = request_line(self._last_id, method, params_of(params))
        except (TypeError, ValueError, RecursionError) as error:
            raise not_json(method, error) from error
        try:
            answered_early = self._send(self._socket, request, deadline, method)
            answer = self._receive(self._socket, deadline, method, answered_early)
        except BaseException:
            self.close()  # an answer that comes later must not be taken for the next call's
            raise
        return outcome(answer)

    def _open(self, deadline: float) -> Socket:
        connection = unix_socket()
        connection.setblocking(False)
        try:
            while True:
                code = connection.connect_ex(self.path)
                if code in (0, errno.EISCONN):
                    self._poller.register(connection, select.POLLIN)
                    return connection
                if code != errno.EAGAIN:
                    break
                self._wait_a_little(deadline)  # its backlog is full
            raise cannot_connect(self.path, code)
        except BaseException:
            connection.close()
            raise

    def _wait_a_little(self, deadline: float) -> None:
        if self._while_waiting is not None:
            self._while_waiting()
        if self._clock() >= deadline:
            raise took_none(self.path, self.timeout)
        time.sleep(0.02)

    def _has_ended(self) -> bool:
        """Say whether the kept connection was closed (or spoken on) by the other side since the last call."""
        return bool(self._poller.poll(0))

    def _wait(self, connection: Socket, events: int, deadline: float, method: str) -> int:
        self._poller.modify(connection, events)
        while True:
            left = deadline - self._clock()
            ready = self._poller.poll(max(0.0, min(left, _SLICE)) * 1000)
            if ready:
                return ready[0][1]
            if self._while_waiting is not None:
                self._while_waiting()
            if left <= 0:
                raise too_late(self.path, method, self.timeout)

    def _send(self, connection: Socket, data: bytes, deadline: float, method: str) -> bytes | None:
        """Send a request; give the line that came meanwhile, if the daemon answered before it had read everything."""
        rest = memoryview(data)
        while rest:
            events = self._wait(connection, select.POLLOUT | select.POLLIN, deadline, method)
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                return self._read_line(connection, method)
            try:
                rest = rest[connection.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise lost(self.path, method, error) from error
        return None

    def _receive(self, connection: Socket, deadline: float, method: str, line: bytes | None) -> Any:
        while line is None:
            self._wait(connection, select.POLLIN, deadline, method)
            line = self._read_line(connection, method)
        answer = read_answer(line)
        if answer is None:
            raise self._foreign(f"answered {line[:80]!r}")
        if answer.get("id") not in (self._last_id, None):
            raise self._foreign(f"answered a request that was not made ({answer.get('id')!r})")
        return answer

    def _read_line(self, connection: Socket, method: str) -> bytes | None:
        try:
            data = connection.recv(_CHUNK)
        except BlockingIOError:
            return None
        except OSError as error:
            raise lost(self.path, method, error) from error
        if not data:
            raise lost(self.path, method, None)
        self._buffer.feed(data)
        try:
            return self._buffer.next_line()
        except LineTooLongError as error:
            raise self._foreign(f"sent a line of more than {MAX_ANSWER_BYTES} bytes") from error

    def _foreign(self, what: str) -> DaemonForeignError:
        assert self._socket is not None
        return foreign(self.path, self._socket, what)


# --- what every client of the daemon says and understands -------------------------------------------------------------


def params_of(params: Sequence[Any] | dict[str, Any]) -> list[Any] | dict[str, Any]:
    """Give parameters as JSON has them: by name, or by position."""
    if isinstance(params, dict):
        return params
    return list(params)


def read_answer(line: bytes) -> dict[str, Any] | None:
    """Read an answer; None when it is not one of JSON-RPC."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or not ("result" in answer or isinstance(answer.get("error"), dict)):
        return None
    return answer


def outcome(answer: dict[str, Any]) -> Any:
    """Give the result of an answer, or raise the error that it carries, as the class that it had in the daemon."""
    error = answer.get("error")
    if not isinstance(error, dict):
        return answer["result"]
    message = str(error.get("message") or "")
    rpc_code = error.get("code", KERNEL_ERROR)
    data = error.get("data")
    if isinstance(data, dict) and isinstance(data.get("code"), str):
        raise OcapError.from_json({**data, "message": message or data.get("message"), "rpcCode": rpc_code})
    raise RpcError(message or None, rpcCode=rpc_code)


def cannot_connect(path: str, code: int) -> OcapError:
    """Say why nobody can be reached (``code`` is an ``errno``)."""
    reason = os.strerror(code)
    if code in (errno.EACCES, errno.EPERM):
        return DaemonForeignError(
            f"The socket {path} may not be used: {reason}.",
            remedy="Use the account that started the daemon, or another home directory.",
            path=path,
        )
    return NotRunningError(
        f"No daemon listens on {path}: {reason}.",
        remedy="Start one with `ocap daemon start` for the same home directory.",
        path=path,
    )


def took_none(path: str, seconds: float) -> RequestTimeoutError:
    """Say that the listener's backlog was full all the time."""
    return RequestTimeoutError(
        f"The daemon on {path} takes no more connections for {seconds:g} s.", path=path, seconds=seconds
    )


def too_late(path: str, method: str, seconds: float) -> RequestTimeoutError:
    """Say that the answer did not come in time."""
    return RequestTimeoutError(
        f"The daemon on {path} did not answer {method} within {seconds:g} s.",
        remedy="Look at `ocap daemon status` and `ocap daemon logs`; the request may still take effect.",
        path=path,
        method=method,
        seconds=seconds,
    )


def lost(path: str, method: str, error: OSError | None) -> ConnectionLostError:
    """Say that the connection ended before the answer."""
    reason = f": {error.strerror}" if error is not None else ""
    return ConnectionLostError(
        f"The daemon on {path} closed the connection before it answered {method}{reason}.",
        remedy="Look at `ocap daemon status` and `ocap daemon logs`; the request may have taken effect.",
        path=path,
        method=method,
    )


def foreign(path: str, connection: Socket, what: str) -> DaemonForeignError:
    """Say that what listens is no daemon of this kind, and who it is."""
    credentials = peer_credentials(connection)
    pid = credentials[0] if credentials is not None else 0
    who = f"pid {pid} ({name_of(pid)})" if pid > 0 else "something"
    return DaemonForeignError(
        f"What listens on {path}, {who}, is not a daemon of this kind: it {what}.",
        remedy="End that process, or choose another home directory or $OCAP_SOCKET_PATH.",
        path=path,
        pid=pid or None,
        name=name_of(pid) if pid > 0 else None,
    )


def not_json(method: str, error: Exception) -> RpcError:
    """Say that parameters cannot be sent."""
    return RpcError(f"The parameters of {method} are not JSON: {error}.", method=method)
