"""What commands share when they speak with a daemon: the home that is meant, the calls, and commands to suggest.

Nothing here starts a daemon unless the function's name says so.
"""

from __future__ import annotations

from kernel.errors import NotRunningError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from kernel.daemon.ensure import DaemonState
    from kernel.daemon.home import Home


_STOPPED_PATIENCE = 1.0  # seconds that a daemon may be stopped (SIGSTOP, a debugger) before it counts as unresponsive


def home_of(args: Namespace) -> Home:
    """Give the home directory that the command line, or else the environment, names."""
    from kernel.daemon.home import Home

    if args.home == "":
        args.parser.error("argument --home: the name of the directory is empty")
    return Home(args.home)


def suggest(args: Namespace, command: str) -> str:
    """Give a command for the reader to run, for the same home."""
    if args.home is None:
        return f"ocap {command}"
    from shlex import quote

    return f"ocap --home {quote(args.home)} {command}"


def call(args: Namespace, method: str, params: Any, *, waiting: str, timeout: float = 60.0) -> Any:
    """Call a method of the running daemon and give its result.

    Args:
        args: The command line.
        method: Name of the method.
        params: Its parameters, JSON-able.
        waiting: What a person at a terminal is told meanwhile.
        timeout: How long to wait for the answer, in seconds.

    Raises:
        NotRunningError: No daemon is running.
        OcapError: What the daemon answered.
    """
    from kernel.cli.waiting import Waiting
    from kernel.daemon.client import Client

    home = home_of(args)
    watch = _Watch(home)
    with Waiting(waiting), Client(home.socket, timeout=timeout, while_waiting=watch.look) as client:
        try:
            watch.pid = client.peer_pid()
        except NotRunningError as error:
            raise _told_better(home, error) from error
        return client.call(method, params)


def _told_better(home: Home, error: NotRunningError) -> NotRunningError:
    """Say of a home whose lock is free what became of its last daemon; the socket alone does not tell."""
    from kernel.daemon.lock import inspect_lock
    from kernel.daemon.outcome import not_running

    lock = inspect_lock(home.lock)
    return error if lock.held else not_running(home, lock.info)


class _Watch:
    """Notices, while an answer is waited for, that the daemon is stopped and will give none."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._since: float | None = None
        self.pid: int | None = None

    def look(self) -> None:
        """Look at the daemon.

        Raises:
            DaemonUnresponsiveError: It has been stopped for a while.
        """
        from kernel.daemon.process import monotonic, state_of

        if self.pid is None or state_of(self.pid) not in ("T", "t"):
            self._since = None
        elif self._since is None:
            self._since = monotonic()
        elif monotonic() - self._since >= _STOPPED_PATIENCE:
            from kernel.daemon.outcome import stuck

            raise stuck(self._home, self.pid, "ready", monotonic() - self._since, stopped=True, ready=True)


def ensured(args: Namespace, *, timeout: float = 30.0, options: tuple[str, ...] = ()) -> DaemonState:
    """Start the daemon unless it runs, and wait until it is ready.

    Raises:
        OcapError: The start failed; the class says how.
    """
    from kernel.cli.waiting import Waiting
    from kernel.daemon.ensure import ensure_daemon

    with Waiting("the daemon is starting") as display:
        return ensure_daemon(home_of(args), timeout=timeout, on_phase=display.phase, options=options)
