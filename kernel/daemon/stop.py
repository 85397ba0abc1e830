"""Stopping a daemon: it is asked over RPC, then by SIGTERM, then ended by SIGKILL, and every step is reported.

Invariants: a signal goes to the process that the lock names (pid, start time and boot id), never to a pid alone; a
    socket's listener is asked to shut down only if it is that process; stale files are removed only while the lock is
    ours.
"""

from __future__ import annotations

import os
import signal
import stat
import time

from kernel.daemon import outcome
from kernel.daemon.client import Client
from kernel.daemon.lock import EMBEDDED, hold_briefly, inspect_lock, remove_pid_file
from kernel.daemon.process import ProcessId, await_end, is_alive, monotonic, send_signal, state_of
from kernel.daemon.spawn import reap
from kernel.errors import NotRunningError, OcapError, RequestTimeoutError, StopError
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.daemon.home import Home

_POLL = 0.01

#: With ``force``: how long SIGTERM may take before SIGKILL, in seconds.
_FORCED_PATIENCE = 1.0

#: How long the operating system may take to carry out a SIGKILL, in seconds.
_KILL_PATIENCE = 10.0


class StopReport(Record):
    """What stopping took."""

    pid: int | None
    how: str
    """``rpc``, ``sigterm``, ``sigkill`` or ``not-running``."""
    seconds: float
    steps: list[str]
    """What was done, in order, for people."""


def stop_daemon(
    home: Home, *, timeout: float = 10.0, force: bool = False, clock: Callable[[], float] = monotonic
) -> StopReport:
    """Stop the home's daemon, whatever state it is in, and clear away what a dead one left.

    Args:
        home: The home directory.
        timeout: How long asking nicely (RPC, then SIGTERM) may take before SIGKILL, in seconds.
        force: Skip the request; a short SIGTERM, then SIGKILL.
        clock: Monotonic seconds.

    Raises:
        StopError: The daemon cannot be ended.
        DaemonForeignError: The lock is held by a process that is no daemon.
    """
    reap()
    report = _Stopping(home, timeout, force, clock).run()
    reap()
    return report


class _Stopping:
    def __init__(self, home: Home, timeout: float, force: bool, clock: Callable[[], float]) -> None:
        self._home = home
        self._timeout = timeout
        self._force = force
        self._clock = clock
        self._began = clock()
        self._steps: list[str] = []

    def run(self) -> StopReport:
        process = self._holder()
        if process is None:
            self._clear_away()
            return self._report(None, "not-running")
        if not self._force and state_of(process.pid) not in ("T", "t"):
            deadline = self._began + self._timeout / 2
            if self._ask(process, deadline) and self._gone(process, deadline):
                self._clear_away()
                return self._report(process.pid, "rpc")
        patience = min(_FORCED_PATIENCE, self._timeout) if self._force else self._began + self._timeout - self._clock()
        if self._signal(process, signal.SIGTERM, max(patience, 0.1)):
            self._clear_away()
            return self._report(process.pid, "sigterm")
        if self._signal(process, signal.SIGKILL, _KILL_PATIENCE):
            self._clear_away()
            return self._report(process.pid, "sigkill")
        raise StopError(
            f"The daemon (pid {process.pid}, state {state_of(process.pid)}) survived SIGKILL, or its lock is kept.",
            remedy="It is probably stuck in the operating system (a disk or a network file system); see to that first.",
            pid=process.pid,
            steps=self._steps,
        )

    def _holder(self) -> ProcessId | None:
        """Give the daemon that holds the lock; None when it is free."""
        deadline = self._clock() + 1.0
        while True:
            lock = inspect_lock(self._home.lock)
            if not lock.held:
                return None
            if lock.info is not None and is_alive(lock.info.process):
                if lock.info.phase == EMBEDDED:
                    raise outcome.embedded(self._home, lock.info)
                return lock.info.process
            if self._clock() >= deadline:
                raise outcome.lock_held_by_stranger(self._home)
            time.sleep(_POLL)

    def _ask(self, process: ProcessId, deadline: float) -> bool:
        """Ask the daemon to shut down; say whether it said that it would."""
        patience = max(deadline - self._clock(), 0.1)

        def give_up_when_stopped() -> None:
            if state_of(process.pid) in ("T", "t"):
                raise RequestTimeoutError("its process is stopped and does not answer")

        try:
            with Client(
                self._home.socket, timeout=patience, while_waiting=give_up_when_stopped, clock=self._clock
            ) as client:
                listener = client.peer_pid()
                if listener is not None and listener != process.pid:
                    self._steps.append(f"did not ask pid {listener}, which listens on the socket but is not the daemon")
                    return False
                client.call("shutdown")
        except NotRunningError:
            self._steps.append("could not ask it over the socket: nothing listens there")
            return False
        except OcapError as error:
            self._steps.append(f"asked it to shut down over the socket, in vain: {error.message}")
            return not is_alive(process)
        self._steps.append("asked it to shut down over the socket")
        return True

    def _signal(self, process: ProcessId, number: signal.Signals, patience: float) -> bool:
        """Send a signal and wait; say whether the daemon has gone."""
        deadline = self._clock() + patience
        try:
            sent = send_signal(process, number)
            stopped = sent and number == signal.SIGTERM and state_of(process.pid) in ("T", "t")
            if stopped:
                send_signal(process, signal.SIGCONT)  # a stopped process takes SIGTERM only when it goes on
        except PermissionError as error:
            raise StopError(
                f"The daemon (pid {process.pid}) belongs to another user and cannot be signalled.",
                remedy="Stop it with the account that started it.",
                pid=process.pid,
                steps=self._steps,
            ) from error
        if sent:
            woken = ", and SIGCONT, because it was stopped" if stopped else ""
            self._steps.append(f"sent {number.name} to pid {process.pid}{woken}")
        return self._gone(process, deadline)

    def _gone(self, process: ProcessId, deadline: float) -> bool:
        """Wait until the process has ended and the lock is free or another's; say whether that came about."""
        while True:
            alive = is_alive(process)
            if not alive:
                lock = inspect_lock(self._home.lock)
                if not lock.held or (lock.info is not None and lock.info.process != process):
                    return True
            if self._clock() >= deadline:
                return False
            if alive:
                await_end(process, _POLL)
            else:
                time.sleep(_POLL)

    def _clear_away(self) -> None:
        """Remove what a daemon that died left behind, unless another one has come meanwhile."""
        if not os.path.exists(self._home.lock):
            return
        held = hold_briefly(self._home.lock)
        if held is None:
            return
        try:
            if remove_pid_file(self._home.pid):
                self._steps.append(f"removed the stale {self._home.pid}")
            if _is_dead_socket(self._home.socket, self._clock):
                os.unlink(self._home.socket)
                self._steps.append(f"removed the stale {self._home.socket}")
        finally:
            os.close(held)

    def _report(self, pid: int | None, how: str) -> StopReport:
        return StopReport(pid, how, self._clock() - self._began, self._steps)


def _is_dead_socket(path: str, clock: Callable[[], float]) -> bool:
    """Say whether a socket lies there on which nobody listens."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
    except OSError:
        return False
    try:
        with Client(path, timeout=1.0, clock=clock) as client:
            client.connect()
    except NotRunningError:
        return True
    except OcapError:
        return False  # somebody's, though we may not speak with them
    return False
