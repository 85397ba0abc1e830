"""What commands share when they speak with a daemon: the home that is meant, the calls, and commands to suggest.

Nothing here starts a daemon unless the function's name says so.
"""

from __future__ import annotations

from kernel.cli.output import note
from kernel.errors import ConnectionLostError, NotRunningError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Any

    from kernel.daemon.ensure import DaemonState
    from kernel.daemon.home import Home
    from kernel.daemon.watch import Standstill
    from kernel.errors import OcapError

_PATIENCE = 1.0  # seconds that a stopped daemon (SIGSTOP, a debugger), or a stranger in its place, has to answer
_HUNG_SECONDS = 30.0  # without progress; as patient as `ocap daemon start`


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
            return client.call(method, params)
        except (NotRunningError, ConnectionLostError) as error:
            _explain(home, watch.pid, error)
            raise


def _explain(home: Home, listener: int | None, error: OcapError) -> None:
    """Say better than the socket can what is wrong: the lock knows who the daemon is, and how its start gets on.

    Raises:
        NotRunningError: No daemon runs, or it is still starting.
        DaemonHungError: Its start hangs.
        DaemonForeignError: The listener is somebody else.
    """
    from kernel.daemon import outcome
    from kernel.daemon.lock import inspect_lock
    from kernel.daemon.process import state_of

    lock = inspect_lock(home.lock)
    if listener is not None:
        # A daemon that died in the middle of the call, and was replaced at once, is no stranger.
        if state_of(listener) is not None and (lock.info is None or lock.info.pid != listener):
            raise outcome.foreign_listener(home, listener) from error
        return
    if not lock.held:
        raise outcome.not_running(home, lock.info) from None  # it tells all that the socket told, and more
    daemon = status_of(home)["daemon"]
    if "phase" in daemon:
        raise NotRunningError(
            f"the daemon (pid {daemon['pid']}) is not ready: it is {daemon['state']}, in phase {daemon['phase']}",
            remedy=f"Wait for it: {outcome.command(home, 'daemon start')}",
            pid=daemon["pid"],
            phase=daemon["phase"],
        ) from error


def status_of(home: Home) -> dict[str, Any]:
    """Give what the daemon says of itself, as :func:`kernel.daemon.ensure.daemon_status` does.

    Raises:
        DaemonHungError: Its start hangs: its process is stopped, or has got no further for long.
        OcapError: No daemon runs, it does not answer, or something else is in its place.
    """
    from kernel.daemon.ensure import daemon_status

    found = daemon_status(home)
    if found["daemon"]["state"] == "starting":
        from kernel.daemon import outcome
        from kernel.daemon.lock import inspect_lock
        from kernel.daemon.process import monotonic

        lock = inspect_lock(home.lock)
        if lock.held and lock.info is not None:
            idle = monotonic() - lock.info.progress_monotonic
            if idle >= _HUNG_SECONDS:
                raise outcome.stuck(home, lock.info.pid, lock.info.phase, idle, stopped=False, ready=False)
    return found


class _Watch:
    """Notices, while an answer is waited for, that none will come."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._began: float | None = None
        self._standstill: Standstill | None = None
        self.pid: int | None = None

    def look(self) -> None:
        """Look at who should answer.

        Raises:
            DaemonUnresponsiveError: The daemon has been stopped for a while.
            DaemonForeignError: It is not this home's daemon, and has not answered for a while.
        """
        from kernel.daemon import outcome
        from kernel.daemon.lock import inspect_lock
        from kernel.daemon.process import monotonic
        from kernel.daemon.watch import Standstill

        if self.pid is None:
            return
        now = monotonic()
        self._began = now if self._began is None else self._began
        self._standstill = self._standstill or Standstill(monotonic, _PATIENCE)
        if now - self._began >= _PATIENCE:
            lock = inspect_lock(self._home.lock)
            if not lock.held or lock.info is None or lock.info.pid != self.pid:
                raise outcome.foreign_listener(self._home, self.pid)
        if self._standstill.look(self.pid):
            raise outcome.stuck(self._home, self.pid, "ready", now - self._began, stopped=True, ready=True)


def ensured(args: Namespace, *, timeout: float = 30.0, options: Sequence[str] = ()) -> DaemonState:
    """Start the daemon unless it runs, and wait until it is ready.

    Raises:
        OcapError: The start failed; the class says how.
    """
    from kernel.cli.waiting import Waiting
    from kernel.daemon.ensure import ensure_daemon

    try:
        with Waiting("the daemon is starting") as display:
            return ensure_daemon(home_of(args), timeout=timeout, on_phase=display.phase, options=options)
    except KeyboardInterrupt:
        note(f"The daemon may go on starting; to see how it is: {suggest(args, 'daemon status')}")
        raise


def started_if_needed(args: Namespace) -> None:
    """Start the daemon unless it runs, and say so when that was needed.

    Raises:
        OcapError: The start failed; the class says how.
    """
    from kernel.cli.quarantine import ready_text

    state = ensured(args)
    if state.started:
        note(f"started the daemon (pid {state.pid}): {ready_text(state.quarantined)}")
