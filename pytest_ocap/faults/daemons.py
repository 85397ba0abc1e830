"""Faults of a daemon that runs: it alone dies, in its service or in the middle of its stop.

Invariant: the daemon is told from what it started before anything is done, and the proof is what the process table
shows: it was there, stood where it had to be struck, and is gone; what it had started was not touched, or stands still.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.clients import ADOPTERS, is_client
from pytest_ocap.clock import Clock
from pytest_ocap.driver import PLAIN, Capability, has
from pytest_ocap.listeners import listener
from pytest_ocap.persisted import ANSWER_SECONDS, start
from pytest_ocap.verdict import NotMeasuredError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

    from pytest_ocap.driver import KernelDriver, Outcome, Setting

DEATH_SECONDS = 5.0
"""How long a process may take to die of a signal."""

SAMPLE_SECONDS = 0.0005
"""How often it is looked at how far a stop has come."""

PARTS = (None, None, None, None, 0.9, 0.75, 0.6, 0.45, 0.3, 0.15, 0.0)
"""For each attempt after which part of a stop's duration it is struck at the latest: a stop of which nothing was seen
in time is struck a little sooner each time (``None``: only when something is seen)."""


def crew_of(home: Path) -> list[psutil.Process]:
    """Give the processes of a home that are the daemon or were started by it: no client, nothing of the harness."""
    return [
        process
        for process in processes.using(home)
        if process.pid not in ADOPTERS and not is_client(process.pid, _parent(process))
    ]


def daemon_of(driver: KernelDriver, home: Path) -> psutil.Process:
    """Tell the daemon from the processes that it started: by its pid file, by its socket, or as their one ancestor.

    Raises:
        NotMeasuredError: That cannot be told.
    """
    crew = {process.pid: process for process in crew_of(home)}
    for told in (_written, _listening):
        pid = told(driver, home)
        if pid is not None and pid in crew:
            return crew[pid]
    ancestors = [process for process in crew.values() if _parent(process) not in crew]
    if len(ancestors) == 1:
        return ancestors[0]
    known = "\n".join(processes.describe(process) for process in crew.values()) or "no process uses the home"
    raise NotMeasuredError(f"it cannot be told which process is the daemon of {home}:\n{known}")


class DaemonDeath:
    """The daemon alone dies of a signal, whatever it is doing; what it had started is left to itself."""

    id = "daemon-death"

    def __init__(self, driver: KernelDriver, home: Path, *, number: int = signal.SIGKILL) -> None:
        self.daemon: psutil.Process | None = None
        self._driver = driver
        self._home = home
        self._number = number

    def arrange(self) -> None:
        """Find the daemon and send it the signal."""
        self.daemon = daemon_of(self._driver, self._home)
        self.prepare(self.daemon)
        self.daemon.send_signal(self._number)
        _await_death(self.daemon)

    def prepare(self, daemon: psutil.Process) -> None:
        """Do what has to be done while the daemon still lives."""
        if self._number != signal.SIGKILL and sys.platform == "linux":
            import psutil

            daemon.rlimit(psutil.RLIMIT_CORE, (0, 0))  # nobody wants its core

    def fired(self) -> str | None:
        """Say which process is gone."""
        if self.daemon is None or processes.alive(self.daemon):
            return None
        return f"pid {self.daemon.pid} died of {signal.Signals(self._number).name}"

    def undo(self) -> None:
        """Do nothing: nobody comes back from the dead."""


class OrphanedWorkers(DaemonDeath):
    """The daemon alone is killed, and the workers that it had started are orphans: ``running``, or ``stopped`` ones."""

    id = "orphaned-workers"

    def __init__(self, driver: KernelDriver, home: Path, *, workers: str) -> None:
        super().__init__(driver, home)
        self.workers: list[psutil.Process] = []
        self.held: list[str] = []
        self._stopped = workers == "stopped"

    def prepare(self, daemon: psutil.Process) -> None:
        """Find the workers and what they hold; stop them, if that is wanted."""
        self.workers = [process for process in daemon.children(recursive=True) if processes.alive(process)]
        self.held = [held for worker in self.workers for held in _holdings(worker, self._home, self._driver)]
        if self._stopped:
            for worker in self.workers:
                worker.send_signal(signal.SIGSTOP)

    def fired(self) -> str | None:
        """Say whose workers are whose orphans."""
        died = super().fired()
        if died is None or not self.workers:
            return None
        return f"{died}, and had started pid {', '.join(str(worker.pid) for worker in self.workers)}"

    def resume(self) -> None:
        """Let workers that stand still go on."""
        for worker in self.workers:
            if processes.stopped(worker):
                worker.send_signal(signal.SIGCONT)

    def undo(self) -> None:
        """End the workers that are left."""
        processes.kill(self.workers)


class KilledStop:
    """A stop in the middle of which the daemon is killed: when it was ``asked``, or when its socket is ``closed``.

    That it was asked is seen by a change in its home; where a daemon ends too soon after that, it is killed while the
    client of the stop runs.  It is stopped (SIGSTOP) first, so that it can be seen where it stood.  A stop that was
    over by then is begun again, on a daemon that was started for it.
    """

    def __init__(self, driver: KernelDriver, home: Path, *, when: str, setting: Setting = PLAIN) -> None:
        self.id = f"killed-stop-{when}"
        self._driver = driver
        self._home = home
        self._when = when
        self._setting = setting
        self._clock = Clock()
        self._client: threading.Thread | None = None
        self._outcome: Outcome | None = None
        self._evidence: str | None = None

    def arrange(self) -> None:
        """Begin a stop and kill the daemon in the middle of it.

        Raises:
            UnsupportedError: Every stop was over, well, before it could be struck.
        """
        limit: float | None = None
        for part in PARTS:
            if not self._driver.ping(self._home, timeout=ANSWER_SECONDS).ok:
                start(self._driver, self._home, self._setting)
            if part is not None and self._when == "asked":
                limit = part * self.client().seconds
            if self._strike(daemon_of(self._driver, self._home), limit):
                return
            if not self.client().ok:
                return
        raise UnsupportedError(
            f"{len(PARTS)} stops were over before the daemon could be killed in the middle: it ends at once"
        )

    def fired(self) -> str | None:
        """Say where the daemon stood when it was killed."""
        return self._evidence

    def client(self) -> Outcome:
        """Wait for the client of that stop, and give what it was told."""
        assert self._client is not None, "the stop was not begun"
        self._client.join()
        assert self._outcome is not None
        return self._outcome

    def undo(self) -> None:
        """Wait for the client."""
        if self._client is not None:
            self._client.join()

    def _strike(self, daemon: psutil.Process, limit: float | None) -> bool:
        before = self._sight()
        self._client = threading.Thread(target=self._stop, daemon=True)
        began = self._clock.now()
        self._client.start()
        while self._client.is_alive() and self._sight() == before:
            if limit is not None and self._clock.now() - began >= limit:
                break
            self._clock.sleep(SAMPLE_SECONDS)
        after = self._clock.now() - began
        with contextlib.suppress(_errors()):
            daemon.send_signal(signal.SIGSTOP)
            self._clock.wait_until(lambda: processes.stopped(daemon) or not processes.alive(daemon), DEATH_SECONDS)
            stood = processes.stopped(daemon) and self._client.is_alive()
            where = processes.describe(daemon)
            daemon.kill()
            _await_death(daemon)
            if stood:
                self._evidence = f"killed {after * 1000:.1f} ms after its stop began: {where}"
        return self._evidence is not None

    def _stop(self) -> None:
        self._outcome = self._driver.stop(self._home, timeout=ANSWER_SECONDS)

    def _sight(self) -> object:
        """Give what is seen of the stop: what lies in the home, or whether the socket takes connections."""
        if self._when == "closed":
            path = self._driver.socket(self._home)
            assert path is not None, "the driver claims a socket, and does not say where it lies"
            return _refuses(path)
        return _content(self._home)


def _await_death(process: psutil.Process) -> None:
    Clock().wait_until(lambda: not processes.alive(process), DEATH_SECONDS, every=0.001)


def _content(home: Path) -> list[tuple[str, int, int]]:
    found = []
    for entry in os.scandir(home):
        with contextlib.suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            found.append((entry.name, status.st_mtime_ns, status.st_size))
    return sorted(found)


def _refuses(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        return client.connect_ex(os.fspath(path)) in (errno.ECONNREFUSED, errno.ENOENT)


def _written(driver: KernelDriver, home: Path) -> int | None:
    path = driver.pid(home) if has(driver, Capability.PIDFILE) else None
    try:
        return int(path.read_text().split()[0]) if path is not None else None
    except (OSError, ValueError, IndexError):
        return None


def _listening(driver: KernelDriver, home: Path) -> int | None:
    """Give the pid of the process that listens on the daemon's socket, where the platform tells it."""
    path = driver.socket(home) if has(driver, Capability.SOCKET) else None
    return None if path is None else listener(path)


def _holdings(worker: psutil.Process, home: Path, driver: KernelDriver) -> list[str]:
    """Say what of the home a process holds open that is the daemon's alone: any file but the log, and the socket."""
    log = driver.log(home) if has(driver, Capability.LOG) else None
    with contextlib.suppress(_errors()):
        files = [file.path for file in worker.open_files() if file.path.startswith(f"{home}/")]
        sockets = [str(link.laddr) for link in worker.net_connections("unix") if str(link.laddr).startswith(f"{home}/")]
        held = [path for path in (*files, *sockets) if log is None or path != os.fspath(log)]
        return [f"pid {worker.pid} holds {path}" for path in held]
    return []  # it has ended, or may not be looked at: what it holds shows when the daemon is gone


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except _errors():
        return 0


def _errors() -> type[Exception]:
    import psutil

    return psutil.Error
