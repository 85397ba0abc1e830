"""Spawning a daemon: detached, with two pipes, and the waiting for what it says on them.

Invariants: the daemon gets no descriptor of the caller except the two pipes; a daemon that dies is noticed by the end
    of its status pipe, within milliseconds, with its exit status or signal; children that ended are reaped at the
    next call, so a caller that lives long keeps no zombies.  ``posix_spawn`` is used because importing ``subprocess``
    costs more than the call.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time

from kernel.daemon.process import identify_child, monotonic, signal_name
from kernel.daemon.status import StatusReader
from kernel.errors import DaemonDiedError
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

#: The descriptor on which the daemon finds its status pipe.
STATUS_FD = 3

_MAX_STDERR = 64 * 1024

#: Daemons of this process that went on when the wait for their start was over, until they are reaped.
_children: set[int] = set()


class Ending(Record):
    """How a process ended; both None when somebody else reaped it."""

    exit_status: int | None
    signal: str | None

    def __str__(self) -> str:
        if self.signal is not None:
            return f"it was ended by {self.signal}"
        if self.exit_status is not None:
            return f"exit status {self.exit_status}"
        return "its exit status is not known"


class Spawned:
    """A daemon that this process has started, as long as it starts."""

    def __init__(self, pid: int, status_fd: int, stderr_fd: int) -> None:
        self.pid = pid
        self.identity = identify_child(pid)
        self.phase: str | None = None
        self.progress: tuple[int, int] | None = None
        self.fatal: dict[str, Any] | None = None
        self.ready = False
        self.ended = False
        """Whether the status pipe has ended."""
        self._ending: Ending | None = None
        self._stderr = b""
        self._reader = StatusReader()
        self._status_fd = status_fd
        self._stderr_fd = stderr_fd
        self._poller = select.poll()
        for fd in (status_fd, stderr_fd):
            os.set_blocking(fd, False)
            self._poller.register(fd, select.POLLIN)

    @property
    def stderr(self) -> str:
        """What the daemon wrote to its standard error before its log was open."""
        return self._stderr.decode("utf-8", "replace").strip()

    def wait(self, seconds: float) -> list[tuple[str | None, tuple[int, int] | None]]:
        """Wait for news at most so long; give each step, phase and progress, that the start has made."""
        steps: list[tuple[str | None, tuple[int, int] | None]] = []
        for fd, _events in self._poller.poll(max(0.0, seconds) * 1000):
            data = _read(fd)
            if data is None:
                continue
            if not data:
                self._poller.unregister(fd)
                self.ended = self.ended or fd == self._status_fd
            elif fd == self._stderr_fd:
                self._stderr = (self._stderr + data)[-_MAX_STDERR:]
            else:
                for message in self._reader.feed(data):
                    self._take(message)
                    steps.append((self.phase, self.progress))
        return steps

    def _take(self, message: dict[str, Any]) -> None:
        if "phase" in message:
            self.phase = str(message["phase"])
            self.progress = None
            self.ready = self.phase == "ready"
        elif "progress" in message:
            self.progress = (int(message["progress"][0]), int(message["progress"][1]))
        elif "fatal" in message:
            self.fatal = message["fatal"]

    def ending(self, patience: float = 3.0, clock: Callable[[], float] = monotonic) -> Ending | None:
        """Wait for the process to end and say how; None when it goes on in spite of its closed pipe."""
        deadline = clock() + patience
        pause = 0.0005
        while self._ending is None:
            self.wait(0)
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self._ending = Ending(None, None)
                break
            if pid:
                self.wait(0)
                code = os.waitstatus_to_exitcode(status)
                self._ending = Ending(None, signal_name(-code)) if code < 0 else Ending(code, None)
                break
            if clock() >= deadline:
                return None
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        return self._ending

    def close(self) -> None:
        """Close this process's ends of the pipes; the daemon goes on, and is reaped when it has ended."""
        if self._ending is None:
            _children.add(self.pid)
        os.close(self._status_fd)
        os.close(self._stderr_fd)


def _read(fd: int) -> bytes | None:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return None


def spawn_daemon(home: str, options: Sequence[str] = ()) -> Spawned:
    """Start a daemon for a home directory; returns at once.

    Args:
        home: The directory, absolute.
        options: Further options of ``python -m kernel.daemon``.

    Raises:
        DaemonDiedError: The system cannot start the process.
    """
    reap()
    status_read, status_write = _pipe()
    stderr_read, stderr_write = _pipe()
    arguments = [sys.executable, "-P", "-m", "kernel.daemon", "--home", home, "--status-fd", str(STATUS_FD), *options]
    try:
        pid = os.posix_spawn(
            sys.executable,
            arguments,
            _environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, stderr_write, 2),
                (os.POSIX_SPAWN_DUP2, status_write, STATUS_FD),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD),
        )
    except OSError as error:
        os.close(status_read)
        os.close(stderr_read)
        raise DaemonDiedError(
            f"The daemon could not be started: {sys.executable}: {error.strerror}.", phase="spawn", home=home
        ) from error
    finally:
        os.close(status_write)
        os.close(stderr_write)
    return Spawned(pid, status_read, stderr_read)


def reap() -> None:
    """Collect the daemons of this process that have ended."""
    for pid in list(_children):
        try:
            ended, _status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended = pid  # whoever embeds us reaps all children itself
        if ended:
            _children.discard(pid)


def _pipe() -> tuple[int, int]:
    """Make a pipe whose writing end is out of the way of the numbers that the child uses."""
    reading, writing = os.pipe()
    try:
        moved = fcntl.fcntl(writing, fcntl.F_DUPFD_CLOEXEC, STATUS_FD + 7)
    finally:
        os.close(writing)
    return reading, moved


def _environment() -> dict[str, str]:
    """Give the environment in which the daemon finds the very package that this process uses.

    The daemon works in ``/``, so relative entries of ``PYTHONPATH`` are made absolute; ``-P`` keeps the working
    directory of the caller, whatever lies in it, off the daemon's path.
    """
    environment = dict(os.environ)
    entries = [os.path.abspath(entry) for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    package_parent = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if os.path.basename(package_parent) not in ("site-packages", "dist-packages") and package_parent not in entries:
        entries.insert(0, package_parent)
    if entries:
        environment["PYTHONPATH"] = os.pathsep.join(entries)
    return environment
