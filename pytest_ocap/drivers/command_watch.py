"""Interrupt a start of a daemon that has no failpoints: strike when something observable happens in its home.

This runs in the runner, a process of its own that shares one processor with the start and is the more urgent of the
two: what it observes has hardly gone on before it strikes.

Invariant: the moments are named after what is observed (``home``: the first change in the home; ``lock``, ``log``,
``store``: that file is opened; ``pidfile``: it is written; ``socket``: it is bound), and only processes that the start
brought forth, its client excepted, are struck.  Where the moment does not come before the client has its answer,
nothing is struck, and the fault has not fired.  Linux only: the observer is inotify.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

IN_MODIFY, IN_CLOSE_WRITE, IN_OPEN, IN_MOVED_TO, IN_CREATE = 0x2, 0x8, 0x20, 0x80, 0x100  # inotify(7)
IN_NONBLOCK, IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_EVENT = struct.Struct("iIII")

_WRITTEN = IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO
MOMENTS: dict[str, int] = {
    "home": _WRITTEN,
    "lock": IN_OPEN | IN_CREATE,
    "pidfile": _WRITTEN,
    "log": IN_OPEN | IN_CREATE,
    "store": IN_OPEN | IN_CREATE | IN_MOVED_TO,
    "socket": IN_CREATE | IN_MOVED_TO,
}
"""The moments that can be observed, in their usual order, and the events of the file by which each is told."""

DECIDE_SECONDS = 0.5
"""How long the client of a daemon that stands still, and may have been ready, is given to show that it was."""

SHOW_SECONDS = 0.1
"""How long what is struck stands still before it is ended, so that whoever looks at the processes has seen it."""

NICE = 10
"""By how much less urgent a start is than what observes it."""

LOOK_SECONDS = 0.02
"""How often it is asked whether the client has gone, and whether its daemon listens."""


def moments(places: Mapping[str, Path | None]) -> tuple[str, ...]:
    """Name the moments that can be observed of a daemon whose files are known."""
    return tuple(name for name in MOMENTS if name == "home" or places.get(name) is not None)


class Client(Protocol):
    """The client of the start, as its parent knows it."""

    pid: int
    status: int | None

    def wait(self, seconds: float) -> bool:
        """Wait for its end; say whether it came within so many seconds."""
        ...

    def abandoned(self) -> bool:
        """Say whether the harness no longer waits for it, as when a daemon in the foreground has answered."""
        ...


class Order(NamedTuple):
    """When and how to strike.

    Attributes:
        how: ``kill`` or ``hang``.
        path: The file whose events tell the moment; with ``anything``, the directory of such files.
        events: These events, as inotify's mask.
        socket: Where the daemon listens; ``""`` when that is not known.
        pidfile: Where it writes its pid; ``""`` when that is not known.
        seconds: How long the start may take.
        foreground: The client is the daemon itself.
    """

    how: str
    path: str
    events: int
    anything: bool
    socket: str
    pidfile: str
    seconds: float
    foreground: bool


def order(
    how: str, name: str, home: Path, places: Mapping[str, Path | None], *, seconds: float, foreground: bool
) -> Order:
    """Make the order to strike at a moment of :func:`moments`."""
    path = home if name == "home" else places[name]
    socket_path, pidfile = (os.fspath(places.get(key) or "") for key in ("socket", "pidfile"))
    events, anything = MOMENTS[name], name == "home"
    return Order(how, os.fspath(path or home), events, anything, socket_path, pidfile, seconds, foreground)


def urgent() -> None:
    """Bind this process and its future children to one processor, and go first on it, where that is allowed.

    Who is not root, or has no leave to (RLIMIT_RTPRIO), may have to wait there for others when the machine is busy.
    """
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def patient() -> None:
    """Let all others on this processor go first."""
    os.nice(NICE)


class Watch:
    """Observes a moment; what happened before it was begun is not observed."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._target = Path(order.path, "*") if order.anything else Path(order.path)
        self._watched: dict[int, Path] = {}

    def begin(self) -> Self:
        """Observe from now on."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._look_closer()
        return self

    def close(self) -> None:
        """Observe no more."""
        os.close(self._descriptor)

    def fileno(self) -> int:
        """Give the descriptor that can be read when something happened."""
        return int(self._descriptor)

    def happened(self) -> bool:
        """Take in what happened; say whether the moment has come."""
        come = False
        try:
            data = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return False
        while data:
            watch, mask, _, length = _EVENT.unpack_from(data)
            name = os.fsdecode(data[_EVENT.size : _EVENT.size + length].rstrip(b"\0"))
            data = data[_EVENT.size + length :]
            directory = self._watched.get(watch)
            if directory is None or directory != self._target.parent:
                come = self._look_closer() or come
            elif mask & self._order.events and (self._order.anything or name == self._target.name):
                come = True
        return come

    def _look_closer(self) -> bool:
        """Watch the file's directory, or as long as there is none, what comes nearest; say whether the file is new."""
        directory = self._target.parent
        while not directory.is_dir():
            directory = directory.parent
        if directory in self._watched.values():
            return False
        late = bool(self._watched)
        events = self._order.events | IN_CREATE | IN_MOVED_TO
        watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), events)
        if watch < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(directory))
        self._watched[watch] = directory
        if directory != self._target.parent:
            return self._look_closer()  # it may have come into being meanwhile
        return late and (any(directory.iterdir()) if self._order.anything else self._target.exists())


class Striker:
    """Strikes the processes of one start: ``kill`` ends all of them, ``hang`` stops the daemon proper."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._older = _pids()
        self._clients: set[int] = set()

    def attend(self, client: Client, watch: Watch) -> bool:
        """Wait for the moment, the end of the start or the end of time; strike at the moment, and say whether it came.

        A start is at its end with its client, unless the client called a daemon ready that does not even listen.
        """
        if not self._order.foreground:
            self._clients.add(client.pid)
        deadline = time.monotonic() + self._order.seconds
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        while time.monotonic() < deadline:
            poll.poll(LOOK_SECONDS * 1000)
            if watch.happened() and (found := self._processes()):
                return self._strike(found, client)
            if client.wait(0.0) and (client.status != 0 or self._may_be_ready()):
                return False
        return False

    def _strike(self, found: list[int], client: Client) -> bool:
        if self._order.how == "hang":
            _signal([self._chosen(found)], signal.SIGSTOP)
            return True
        _signal(found, signal.SIGSTOP)
        client.wait(SHOW_SECONDS)
        served = self._may_be_ready() and client.wait(DECIDE_SECONDS) and client.status == 0
        if served or client.abandoned():
            _signal(found, signal.SIGCONT)  # too late: the daemon was ready, and said so
            return False
        while found:
            _signal(found, signal.SIGKILL)
            client.wait(LOOK_SECONDS)  # and take in the ends of the others
            found = self._processes()
        return True

    def _may_be_ready(self) -> bool:
        """Say whether the daemon listens, as far as can be known."""
        if not self._order.socket:
            return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(self._order.socket)
            except OSError:
                return False
        return True

    def _chosen(self, found: list[int]) -> int:
        """Say which process is the daemon: that of the pid file, else one that has the file open, else the last."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            written = int(Path(self._order.pidfile).read_text().split()[0])
            if written in found:
                return written
        wanted = os.path.realpath(self._order.path)
        return next((pid for pid in found if wanted in _open_files(pid)), found[-1])

    def _processes(self) -> list[int]:
        """Find the living descendants of this process, without the client, in the order of their pids.

        Not by their environment: a daemon that writes a title for itself writes it over that.
        """
        parents = {pid: parent for pid in _pids() - self._older if (parent := _parent(pid)) is not None}
        found = {os.getpid()}
        while further := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= further
        return sorted(found - {os.getpid()} - self._clients)


def _pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _parent(pid: int) -> int | None:
    """Give the parent of a process; ``None`` when it has ended, as a zombie has."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except OSError:
        return None
    return None if state in (b"Z", b"X") else int(parent)


def _open_files(pid: int) -> set[str]:
    paths: set[str] = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                paths.add(os.readlink(entry.path))
    return paths


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
