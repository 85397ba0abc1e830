"""Interrupt a start of a daemon that has no failpoints: strike when something observable happens in its home.

Invariant: the moments are named after what is observed (``home``: the first change in the home; ``lock``, ``store``:
that file is opened; ``pidfile``, ``log``: it is written; ``socket``: it is bound), and only processes that the start
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
import sys
from typing import TYPE_CHECKING, NamedTuple, Self

from pytest_ocap.clients import RUNNING
from pytest_ocap.processes import TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_ocap.drivers.command_clients import AdoptedClient

IN_MODIFY, IN_CLOSE_WRITE, IN_OPEN, IN_MOVED_TO, IN_CREATE = 0x2, 0x8, 0x20, 0x80, 0x100  # inotify(7)
IN_NONBLOCK, IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_EVENT = struct.Struct("iIII")

_WRITTEN = IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO
MOMENTS: dict[str, int] = {
    "home": _WRITTEN,
    "lock": IN_OPEN | IN_CREATE,
    "pidfile": _WRITTEN,
    "log": IN_MODIFY,
    "store": IN_OPEN | IN_CREATE | IN_MOVED_TO,
    "socket": IN_CREATE | IN_MOVED_TO,
}
"""The moments that can be observed, in their usual order, and the events of the file by which each is told."""

DECIDE_SECONDS = 0.5
"""How long the client of a daemon that stands still, and may have been ready, is given to show that it was."""


LOOK_SECONDS = 0.02
"""How often it is asked whether a daemon listens whose client has gone before it did."""


class Moment(NamedTuple):
    """What is waited for: the file (or the home, for any file in it) and the events."""

    path: Path
    events: int
    anything: bool = False


def moments(places: Mapping[str, Path | None]) -> tuple[str, ...]:
    """Name the moments that can be observed of a daemon whose files are known; none where there is no inotify."""
    if sys.platform != "linux":
        return ()
    return tuple(name for name in MOMENTS if name == "home" or places.get(name) is not None)


def moment(name: str, home: Path, places: Mapping[str, Path | None]) -> Moment:
    """Give the moment of that name."""
    place = places.get(name)
    return Moment(home, MOMENTS[name], anything=True) if place is None else Moment(place, MOMENTS[name])


class Watch:
    """Observes a moment; a context manager.  What happened before it was entered is not observed."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._target = moment.path / "*" if moment.anything else moment.path
        self._watched: dict[int, Path] = {}

    def __enter__(self) -> Self:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._look_closer()
        return self

    def __exit__(self, *_error: object) -> None:
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
            elif mask & self._moment.events and (self._moment.anything or name == self._target.name):
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
        events = self._moment.events | IN_CREATE | IN_MOVED_TO
        watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), events)
        if watch < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(directory))
        self._watched[watch] = directory
        if directory != self._target.parent:
            return self._look_closer()  # it may have come into being meanwhile
        return late and (any(directory.iterdir()) if self._moment.anything else self._target.exists())


class Striker:
    """Strikes the processes of one start: ``kill`` ends all of them, ``hang`` stops the daemon proper."""

    def __init__(self, how: str, moment: Moment, home: Path, socket_path: Path | None, pidfile: Path | None) -> None:
        self._how = how
        self._moment = moment
        self._home = os.fspath(home)
        self._socket = socket_path
        self._pidfile = pidfile
        self._older = _pids()

    def attend(self, client: AdoptedClient, watch: Watch, seconds: float) -> bool:
        """Wait for the moment, the end of the start or the end of time; strike at the moment, and say whether it came.

        A start is at its end with its client, unless the client called a daemon ready that does not even listen.
        """
        deadline = client.clock.now() + seconds
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        poll.register(client, select.POLLIN)
        while (left := deadline - client.clock.now()) > 0:
            poll.poll(min(left, LOOK_SECONDS if client.ended else left) * 1000)
            if watch.happened() and (found := self._processes()):
                return self._strike(found, client)
            if client.wait(0.001):
                if client.status != 0 or self._may_be_ready():
                    return False
                with contextlib.suppress(KeyError):
                    poll.unregister(client)
        return False

    def _strike(self, found: list[int], client: AdoptedClient) -> bool:
        if self._how == "hang":
            _signal([self._chosen(found)], signal.SIGSTOP)
            return True
        _signal(found, signal.SIGSTOP)
        if self._may_be_ready() and client.wait(DECIDE_SECONDS) and client.status == 0:
            _signal(found, signal.SIGCONT)  # too late: the client had been told that the daemon is ready
            return False
        while found:
            _signal(found, signal.SIGKILL)
            client.clock.wait_until(lambda found=found: not any(map(_exists, found)), 1.0)  # type: ignore[misc]
            found = self._processes()
        return True

    def _may_be_ready(self) -> bool:
        """Say whether the daemon listens, as far as can be known."""
        if self._socket is None:
            return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(os.fspath(self._socket))
            except OSError:
                return False
        return True

    def _chosen(self, found: list[int]) -> int:
        """Say which process is the daemon: that of the pid file, else one that has the file open, else the last."""
        if self._pidfile is not None:
            with contextlib.suppress(OSError, ValueError):
                written = int(self._pidfile.read_text().split()[0])
                if written in found:
                    return written
        wanted = os.path.realpath(self._moment.path)
        return next((pid for pid in found if wanted in _open_files(pid)), found[-1])

    def _processes(self) -> list[int]:
        """Find the living processes of this start, without its client and runner, in the order of their pids."""
        mark = os.fsencode(f"{TOKEN}={self._home}")
        found = []
        for pid in sorted(_pids() - self._older - RUNNING):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if mark in file.read().split(b"\0") and _exists(pid):
                        found.append(pid)
            except OSError:
                continue  # ended meanwhile, or somebody else's
        return found


def _pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _exists(pid: int) -> bool:
    """Say whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


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
