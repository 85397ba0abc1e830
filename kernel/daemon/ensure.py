"""``ensure_daemon``: one daemon for a home directory, or a typed error that says why there is none.

The order of questions: does a daemon answer on the socket?  Does somebody hold the lock, and if so, who, and how far is
that start?  Only when the lock is free is a daemon spawned; whoever loses the race for the lock goes back to waiting
for the winner.  A start counts as hung when its phase and its progress have not changed for ``timeout`` seconds, or
at once when its process is stopped: a slow start that gets on is waited for.
"""

from __future__ import annotations

import time

from kernel.daemon import outcome
from kernel.daemon.client import Client
from kernel.daemon.lock import EMBEDDED, FAILED, READY, STOPPING, inspect_lock
from kernel.daemon.process import is_alive, monotonic
from kernel.daemon.rpc import INVALID_PARAMS
from kernel.daemon.spawn import Spawned, reap, spawn_daemon
from kernel.daemon.stop import StopReport, stop_daemon
from kernel.daemon.watch import SETTLING, Watch, stands_still
from kernel.errors import ConnectionLostError, NotRunningError, OcapError, RequestTimeoutError, RpcError
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from kernel.daemon.home import Home
    from kernel.daemon.lock import LockInfo, LockState

    OnPhase = Callable[[str, int | None, int | None], None]

__all__ = ["DaemonState", "StopReport", "daemon_status", "ensure_daemon", "stop_daemon"]

#: How long a listener may outlast its lock: a process that is killed closes one after the other, in seconds.
_CLOSING = 0.25

#: How often a daemon of ours may be ready and gone again (others stop it meanwhile) before that is reported.
_ATTEMPTS = 3

_POLL = 0.02

#: Whoever starts a daemon is told what is quarantined: the subclusters that run may be many, and are not asked for.
_QUARANTINED = ("quarantined",)


class DaemonState(Record):
    """A daemon that is ready."""

    state: str
    """``ready``, or ``degraded`` when something is quarantined."""
    pid: int
    socket: str
    version: str
    started: bool
    """Whether this call started it."""
    quarantined: list[dict[str, Any]]
    """The quarantined subclusters: ``id`` and the fields of ``quarantine`` in ``getStatus``."""
    seconds: float
    """How long the call took."""


def ensure_daemon(
    home: Home,
    *,
    timeout: float = 30.0,
    on_phase: OnPhase | None = None,
    options: Sequence[str] = (),
    clock: Callable[[], float] = monotonic,
) -> DaemonState:
    """Give the home's daemon, starting it if need be; safe to call from many processes at once.

    Args:
        home: The home directory; made when there is none.
        timeout: How long a start may make no progress, and how long a ready daemon may take to answer, in seconds.
        on_phase: Called with phase, done and total as a start gets on (None where nothing is counted).
        options: Further options for a daemon that has to be started.
        clock: Monotonic seconds.

    Raises:
        DaemonDiedError: The start failed; ``data`` has phase, pid, exitStatus or signal, the error's record and the
            last lines of the log.
        DaemonHungError: The start makes no progress; ``data`` has pid, phase and seconds.
        DaemonUnresponsiveError: A ready daemon does not answer.
        DaemonForeignError: Something else owns the socket or the store.
        HomeError: The home directory cannot be used.
    """
    return _Ensuring(home, timeout, on_phase, options, clock).run()


def daemon_status(home: Home, *, timeout: float = 5.0) -> dict[str, Any]:
    """Give what ``getStatus`` gives, without ever starting a daemon.

    While a daemon is starting (or stopping) the lists are empty, and ``daemon`` has the state ``starting``
    (``stopping``), the phase, the progress and for how many seconds there was none.

    Raises:
        NotRunningError: No daemon runs; ``data`` has what is known of the last one.
        DaemonHungError: The process of a starting daemon is stopped.
        DaemonUnresponsiveError: It holds its lock, but does not answer within ``timeout`` seconds.
        DaemonForeignError: Something else owns the socket.
    """
    return _Ensuring(home, timeout, None, (), monotonic).status()


class _Ensuring:
    """One call of :func:`ensure_daemon`."""

    def __init__(
        self, home: Home, timeout: float, on_phase: OnPhase | None, options: Sequence[str], clock: Callable[[], float]
    ) -> None:
        self._home = home
        self._timeout = timeout
        self._on_phase = on_phase
        self._options = options
        self._clock = clock
        self._began = clock()
        self._gone_again = 0
        self._unexplained_since: float | None = None
        self._last_phase: tuple[str, tuple[int, int] | None] | None = None

    def run(self) -> DaemonState:
        reap()
        self._home.create()
        while True:
            answer = self._ask(_QUARANTINED)
            if answer is not None:
                return self._state(answer, started=False)
            lock = inspect_lock(self._home.lock)
            if not lock.held:
                outcome.report_unreported_death(self._home, lock.info)
                status = self._start()
                if status is not None:
                    return self._state(status, started=True)
                continue
            holder = self._holder(lock)
            if holder is None:
                self._wait_for_explanation()
            else:
                self._unexplained_since = None
                self._await_other(holder)

    def status(self) -> dict[str, Any]:
        reap()
        while True:
            answer = self._ask()
            if answer is not None:
                return answer
            lock = inspect_lock(self._home.lock)
            if not lock.held:
                raise outcome.not_running(self._home, lock.info)
            holder = self._holder(lock)
            if holder is None:
                self._wait_for_explanation()
            elif holder.phase != READY:
                if stands_still(holder.pid, clock=self._clock):
                    raise outcome.stuck(self._home, holder.pid, holder.phase, _idle(holder), stopped=True, ready=False)
                return _unfinished(holder)
            elif self._listener_is_gone(holder):
                raise outcome.not_listening(self._home, holder)

    def _holder(self, lock: LockState) -> LockInfo | None:
        """Give who holds the lock, None when its text does not name a living process.

        Raises:
            DaemonForeignError: It is a program that runs the kernel in its own process.
        """
        info = lock.info
        if info is None or info.ended_cleanly or not is_alive(info.process):
            return None
        if info.phase == EMBEDDED:
            raise outcome.embedded(self._home, info)
        return info

    def _wait_for_explanation(self) -> None:
        """Wait a little: a lock held by nobody whom its text names is that of a daemon just coming or just going.

        Raises:
            DaemonForeignError: It has been so for too long.
        """
        now = self._clock()
        if self._unexplained_since is None:
            self._unexplained_since = now
        if now - self._unexplained_since >= SETTLING:
            raise outcome.lock_held_by_stranger(self._home)
        time.sleep(_POLL)

    # --- a daemon that may be there ---

    def _ask(self, state: Sequence[str] = ()) -> dict[str, Any] | None:
        """Ask whoever listens for its status, of the subclusters in one state if it is given.

        None when nobody listens, or the daemon is not ready yet.

        Raises:
            DaemonForeignError: Who listens is not this home's daemon.
            DaemonUnresponsiveError: The daemon is ready but does not answer.
        """
        deadline = self._clock() + _CLOSING
        while True:
            with Client(self._home.socket, timeout=self._timeout, clock=self._clock) as client:
                try:
                    listener = client.peer_pid()
                except NotRunningError:
                    return None
                except RequestTimeoutError:
                    listener = None  # its backlog is full: the lock tells who it should be
                lock = inspect_lock(self._home.lock)
                if lock.held and lock.info is not None:
                    if lock.info.phase != READY:
                        return None
                    if listener in (None, lock.info.pid):
                        return self._query(lock.info, state)
            # The listener is not the holder of the lock.  One of them may just be going: look again before saying so.
            if self._clock() >= deadline:
                raise outcome.foreign_listener(self._home, listener)
            time.sleep(_POLL)

    def _query(self, info: LockInfo, state: Sequence[str]) -> dict[str, Any] | None:
        watch = Watch(self._home, self._timeout, self._clock)
        with Client(
            self._home.socket,
            timeout=self._timeout,
            while_waiting=lambda: watch.check(info.pid, info.phase, ready=True),
            clock=self._clock,
        ) as client:
            try:
                status = _status(client, state)
            except (NotRunningError, ConnectionLostError):
                return None  # it has just gone
            except RequestTimeoutError as error:
                raise outcome.stuck(
                    self._home, info.pid, info.phase, self._timeout, stopped=False, ready=True
                ) from error
        if not isinstance(status, dict) or not isinstance(status.get("daemon"), dict):
            raise outcome.foreign_listener(self._home, info.pid)
        return status

    def _await_other(self, info: LockInfo) -> None:
        """Wait until somebody else's start is ready or over.

        Raises:
            DaemonHungError: It makes no progress.
            DaemonDiedError: It failed.
            DaemonUnresponsiveError: It is ready, but nothing listens.
        """
        watch = Watch(self._home, self._timeout, self._clock)
        mark = (info.phase, info.progress_monotonic)
        if info.phase == READY:
            if self._listener_is_gone(info):
                raise outcome.not_listening(self._home, info)
            return
        while True:
            lock = inspect_lock(self._home.lock)
            current = lock.info
            if not lock.held or current is None or current.process != info.process:
                if current is not None and current.process == info.process and current.phase == FAILED:
                    raise outcome.failed_elsewhere(self._home, current)
                return
            if current.phase in (READY, FAILED):
                if current.phase == READY:
                    return
            elif current.phase != STOPPING:
                self._tell(current.phase, current.progress)
            if (current.phase, current.progress_monotonic) != mark:
                mark = (current.phase, current.progress_monotonic)
                watch.moved()
            watch.check(current.pid, current.phase, ready=current.phase == STOPPING, idle=_idle(current))
            time.sleep(_POLL)

    def _listener_is_gone(self, info: LockInfo) -> bool:
        """Say whether a ready daemon's socket is missing, and stays so."""
        deadline = self._clock() + SETTLING
        while self._clock() < deadline:
            lock = inspect_lock(self._home.lock)
            if not lock.held or lock.info is None or lock.info.process != info.process or lock.info.phase != READY:
                return False
            try:
                with Client(self._home.socket, timeout=SETTLING, clock=self._clock) as client:
                    client.connect()
                return False
            except NotRunningError:
                time.sleep(_POLL)
            except OcapError:
                return False
        return True

    # --- a daemon of our own ---

    def _start(self) -> dict[str, Any] | None:
        """Spawn a daemon and wait for it; give its status, or None when somebody else's came first.

        Raises:
            DaemonDiedError, DaemonHungError, DaemonForeignError: As :func:`ensure_daemon` says.
        """
        spawned = spawn_daemon(self._home.path, self._options)
        try:
            self._await_ready(spawned)
            if spawned.ready:
                answer = self._ask(_QUARANTINED)
                if answer is not None:
                    return answer
                ending = spawned.ending(patience=SETTLING)
                self._gone_again += 1
                if self._gone_again < _ATTEMPTS and (ending is None or ending.exit_status == 0):
                    return None  # somebody has stopped it already
            elif outcome.lost_the_race(spawned):
                spawned.ending()
                return None
            raise outcome.died(self._home, spawned)
        finally:
            spawned.close()

    def _await_ready(self, spawned: Spawned) -> None:
        watch = Watch(self._home, self._timeout, self._clock)
        while not (spawned.ready or spawned.ended or spawned.fatal):
            for phase, progress in spawned.wait(min(0.1, self._timeout)):
                watch.moved()
                if phase is not None:
                    self._tell(phase, progress)
            watch.check(spawned.pid, spawned.phase)

    def _tell(self, phase: str, progress: tuple[int, int] | None) -> None:
        if self._on_phase is not None and (phase, progress) != self._last_phase:
            self._last_phase = (phase, progress)
            done, total = progress if progress is not None else (None, None)
            self._on_phase(phase, done, total)

    def _state(self, status: dict[str, Any], *, started: bool) -> DaemonState:
        daemon = status["daemon"]
        quarantined = [
            {"id": record["id"], **(record.get("quarantine") or {})}
            for record in status.get("subclusters", ())
            if record.get("state") == "quarantined"
        ]
        return DaemonState(
            state=str(daemon["state"]),
            pid=int(daemon["pid"]),
            socket=self._home.socket,
            version=str(daemon["version"]),
            started=started,
            quarantined=quarantined,
            seconds=self._clock() - self._began,
        )


def _status(client: Client, state: Sequence[str]) -> Any:
    """Ask for the status; a daemon of an edition that does not choose by state gives all of it."""
    try:
        return client.call("getStatus", state)
    except RpcError as error:
        if not state or error.data.get("rpcCode") != INVALID_PARAMS:
            raise
        return client.call("getStatus")


def _idle(info: LockInfo) -> float:
    """Give for how many seconds a daemon has made no progress, by its own account."""
    return monotonic() - info.progress_monotonic


def _unfinished(info: LockInfo) -> dict[str, Any]:
    from kernel.timestamps import timestamp

    return {
        "vats": [],
        "subclusters": [],
        "remoteComms": {"state": "disconnected"},
        "daemon": {
            "pid": info.pid,
            "version": info.version,
            "state": "stopping" if info.phase == STOPPING else "starting",
            "phase": info.phase,
            "progress": list(info.progress) if info.progress else None,
            "idleSeconds": round(_idle(info), 1),
            "startedAt": timestamp(info.phase_since),
        },
    }
