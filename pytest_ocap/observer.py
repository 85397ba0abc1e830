"""Sees processes come and go, and files change, while a scenario runs.

Invariant: nothing is polled.  One thread sleeps until the kernel has news for it: a change in the home (inotify), the
end of a process that it knows (pidfd), or a verb that is over; only then does it look through the process table, and
only at processes that it has not judged yet.  What lived too shortly to be there at such a moment is not seen.  Linux
only; elsewhere nothing is observed, and a timeline has neither files nor processes.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from pytest_ocap.clients import ADOPTERS, BYSTANDERS, FORKED, is_client
from pytest_ocap.evidence import Event
from pytest_ocap.processes import TOKEN

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from pytest_ocap.journal import Journal

MOST_FILE_EVENTS = 300
"""How many changes of files are kept for one run."""

MOST_DIRECTORIES = 64
"""How many directories are watched for one run."""

MOST_OF_COMMAND = 300
"""How many characters of a command line are kept."""

LOOK_SECONDS = 0.05
"""How long after a look at the process table the next one comes at the earliest: news come in bursts."""

YOUNG_SECONDS = 0.1
"""A process younger than this may still become somebody else by an ``exec``, and is looked at again."""

IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x8, 0x40, 0x80, 0x100, 0x200  # inotify(7)
IN_NONBLOCK, IN_CLOEXEC, IN_ISDIR, IN_ONLYDIR = 0o4000, 0o2000000, 0x40000000, 0x01000000
_CHANGES = {
    IN_CREATE: "created",
    IN_CLOSE_WRITE: "written",
    IN_DELETE: "deleted",
    IN_MOVED_FROM: "moved away",
    IN_MOVED_TO: "moved here",
}
_MASK = sum(_CHANGES) | IN_ONLYDIR
_EVENT = struct.Struct("iIII")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """A process of the run: when it began and ended, and who it is."""

    pid: int
    ppid: int
    began: float
    name: str
    command: str
    role: str
    started: int
    ended: float | None = None
    descriptor: int = -1

    def event(self) -> Event:
        """Give its life as an event."""
        detail = f"pid {self.pid}, {self.role}, child of {self.ppid}: {self.command}"
        before = f"; it ran {-self.began:.2f} s before" if self.began < -0.01 else ""
        return Event(max(0.0, self.began), "process", self.name, detail + before, until=self.ended)


def role_of(pid: int, ppid: int, known: dict[int, str]) -> str:
    """Say what a process is in a run, given what those are that are known already.

    What the harness started is a client (or the runner that stands between); what a client left behind is a daemon;
    what a daemon started is a worker.
    """
    if pid in BYSTANDERS:
        return "bystander"
    if pid in ADOPTERS:
        return "runner"
    if is_client(pid, ppid):
        return "client"
    return "worker" if known.get(ppid) in ("daemon", "worker") else "daemon"


class Observer:
    """Observes one run, as a context manager; what it saw is in the journal at the end.

    Args:
        journal: The run's.
        running: Whether a daemon runs in the home already.
    """

    def __init__(self, journal: Journal, *, running: bool = False) -> None:
        self._journal = journal
        self._running = running
        self._root = journal.home.parent
        self._token = os.fsencode(f"{TOKEN}={self._root}/")
        self._place = os.fsencode(f"{self._root}/")
        self._judged: set[int] = set()
        self._newest = b""
        self._young = True
        self._found: dict[int, Seen] = {}
        self._here = f"../{journal.home.name}"
        self._directories: dict[int, Path] = {}
        self._shown: dict[Path, str] = {}
        self._changes: list[Event] = []
        self._thread: threading.Thread | None = None
        self._over = False
        self._done = threading.Event()

    def __enter__(self) -> Self:
        if sys.platform != "linux":
            return self
        self._boot = _boottime() - self._journal.now()
        if not self._running:
            self._judged = {pid for pid in _pids() if pid not in ADOPTERS}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._inotify = _libc().inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        if self._inotify >= 0:
            self._epoll.register(self._inotify, select.EPOLLIN)
            self._watch(self._root, known=True)
        self._thread = threading.Thread(target=self._be_thread, name="ocap-observer", daemon=True)
        self._thread.start()
        self._journal.look = self._look_now
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        self._journal.look = _nothing
        self._over = True
        self._look_now()
        self._done.wait()
        self._epoll.close()
        for descriptor in (self._wake, *(seen.descriptor for seen in self._found.values())):
            if descriptor >= 0:
                os.close(descriptor)
        for event in (*self._changes, *(seen.event() for seen in self._found.values())):
            self._journal.note(event)

    def _look_now(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _be_thread(self) -> None:
        try:
            self._observe()
        finally:
            self._done.set()
            if self._inotify >= 0:
                os.close(self._inotify)  # for which the system takes some ten milliseconds, and nobody need wait

    def _observe(self) -> None:
        looked, wanted = -LOOK_SECONDS, False
        while True:
            wait = max(0.0, looked + LOOK_SECONDS - self._journal.now()) if wanted else None
            ready = [descriptor for descriptor, _ in self._epoll.poll(wait)]
            now = self._journal.now()
            if self._inotify in ready:
                self._read_changes(now)
            self._read_ends(ready, now)
            if self._wake in ready:
                os.eventfd_read(self._wake)
            over = self._over  # not before that read: it may take the last wake with an earlier one
            wanted = wanted or self._wake in ready or self._inotify in ready
            if over or (wanted and now - looked >= LOOK_SECONDS):
                self._look()
                looked, wanted = now, False
            if over:
                return

    # --- processes ---------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Take in the processes of this run that are new."""
        newest = _newest()
        if newest == self._newest and not self._young:
            return
        self._newest, self._young = newest, False
        for pid in sorted(_pids() - self._judged):
            with suppress(OSError):  # it has ended
                self._judge(pid)

    def _judge(self, pid: int) -> None:
        name, ppid, started = _stat(pid)
        began = started / _TICKS - self._boot
        young = self._journal.now() - began < YOUNG_SECONDS
        seen = self._found.get(pid)
        if seen is None and not self._is_ours(pid, ppid):
            if young and is_client(pid, ppid):
                self._young = True  # it may be about to become a client, as nobody else's child does
            else:
                self._judged.add(pid)
            return
        if seen is None:
            known = {found.pid: found.role for found in self._found.values() if found.ended is None}
            seen = Seen(pid, ppid, began, name, "", role_of(pid, ppid, known), started)
            seen.descriptor = os.pidfd_open(pid)
            self._found[pid] = seen
            self._epoll.register(seen.descriptor, select.EPOLLIN)
        seen.name, seen.command = name, self._command(pid) or seen.command
        if young:
            self._young = True
        else:
            self._judged.add(pid)

    def _is_ours(self, pid: int, ppid: int) -> bool:
        if pid == os.getpid():
            return False
        if ppid in self._found and self._found[ppid].ended is None:
            return True
        client = FORKED.get(pid)
        if client is not None:
            return client.home.parent == self._root
        words = _read(pid, "cmdline")
        return self._token in _read(pid, "environ") or self._place in words

    def _command(self, pid: int) -> str:
        client = FORKED.get(pid)
        if client is not None:
            return client.command[:MOST_OF_COMMAND]
        return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()[:MOST_OF_COMMAND]

    def _read_ends(self, ready: list[int], now: float) -> None:
        for seen in self._found.values():
            if seen.descriptor in ready:
                seen.ended = now
                if seen.role == "daemon":
                    self._journal.ends.append(now)
                self._epoll.unregister(seen.descriptor)
                os.close(seen.descriptor)
                seen.descriptor = -1

    # --- files -------------------------------------------------------------------------------------------------------

    def _watch(self, directory: Path, *, known: bool) -> None:
        """Watch a directory and those in it; what lies in one that is not ``known`` has been created meanwhile."""
        if len(self._directories) >= MOST_DIRECTORIES:
            return
        watch = _libc().inotify_add_watch(self._inotify, os.fsencode(directory), _MASK)
        if watch < 0 or watch in self._directories:
            return
        self._directories[watch] = directory
        self._shown[directory] = os.path.relpath(directory, self._journal.home)
        with suppress(OSError):  # it may have gone, or may not be listed
            for entry in os.scandir(directory):
                if not known:
                    self._change("created", directory, entry.name, self._journal.now())
                if entry.is_dir(follow_symlinks=False):
                    self._watch(directory / entry.name, known=known)

    def _read_changes(self, now: float) -> None:
        try:
            data = os.read(self._inotify, 1 << 16)
        except BlockingIOError:
            return
        while data:
            watch, mask, _, length = _EVENT.unpack_from(data)
            name = os.fsdecode(data[_EVENT.size : _EVENT.size + length].rstrip(b"\0"))
            data = data[_EVENT.size + length :]
            directory = self._directories.get(watch)
            what = next((word for bit, word in _CHANGES.items() if mask & bit), None)
            if directory is None or what is None:
                continue
            self._change(what, directory, name, now)
            if mask & IN_ISDIR and mask & (IN_CREATE | IN_MOVED_TO):
                self._watch(directory / name, known=bool(mask & IN_MOVED_TO))

    def _change(self, what: str, directory: Path, name: str, now: float) -> None:
        if len(self._changes) >= MOST_FILE_EVENTS:
            return
        path = os.path.normpath(f"{self._shown[directory]}/{name}")
        last = self._changes[-1] if self._changes else None
        if last is None or (last.what, last.detail) != (path, what):
            self._changes.append(Event(now, "file", "." if path == self._here else path, what))


def _nothing() -> None:
    return None


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _newest() -> bytes:
    """Give the pid that was given away last: as long as it is the same, nobody is new."""
    with open("/proc/loadavg", "rb") as file:
        return file.read().split()[-1]


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _stat(pid: int) -> tuple[str, int, int]:
    """Give a process's name, its parent and when it was created, in ticks since the machine's start (proc(5))."""
    head, _, tail = _read(pid, "stat").decode(errors="replace").rpartition(")")
    if not tail:
        raise ProcessLookupError(pid)
    fields = tail.split()
    return head.partition("(")[2], int(fields[1]), int(fields[19])


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()[:300]
