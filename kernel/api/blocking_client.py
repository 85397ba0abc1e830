"""A client of a daemon for programs that wait for each answer.

Invariant: a connection carries one call at a time and goes back to be used again only when its answer was read, so
that threads may share a client, and nobody gets another's answer.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from kernel.api.blocking_calls import BlockingCalls
from kernel.daemon.client import Client as Connection
from kernel.daemon.home import Home, check_socket_path

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self


class Client(BlockingCalls):
    """A daemon, as a program calls it; connects at the first call, keeps its connections, usable by many threads.

    Every method may raise, besides what stands with it:

    - NotRunningError: Nobody listens there.
    - ConnectionLostError: The connection ended before the answer; whether the call took effect is unknown.
    - RequestTimeoutError: No answer in time; whether the call took effect is unknown.
    - DaemonForeignError: What listens does not speak the protocol, or may not be used.
    - RpcError: The parameters are not JSON; nothing was sent.

    What the daemon answered as an error has its JSON-RPC code in ``data["rpcCode"]``.
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
        self._idle: deque[Connection] = deque()

    @classmethod
    def of_home(cls, home: str | os.PathLike[str] | None = None, *, timeout: float = 30.0, start: bool = False) -> Self:
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

            ensure_daemon(place, timeout=timeout)
        return cls(place.socket, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that nobody uses; idempotent, and the next call opens another."""
        while self._idle:
            self._idle.pop().close()

    def call(self, method: str, params: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Call a method by its name on the wire, and give its result as the wire has it.

        Args:
            method: The method's name.
            params: By position or by name.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Connection(self.path)
        connection.timeout = self.timeout
        try:
            return connection.call(method, params)
        finally:
            self._idle.append(connection)  # after a call that failed half way it is closed, and opens again
