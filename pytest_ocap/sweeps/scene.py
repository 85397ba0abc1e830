"""What a supervisor knows while it looks at a call: the home, who makes the call, which file is which.

Invariant: paths are what the kernel makes of them for the process that names them (its working directory, its
descriptors, links on the way), and they are given relative to the home.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_ocap.sweeps import tracee
from pytest_ocap.sweeps.abi import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_ocap.sweeps.calls import Kind
    from pytest_ocap.sweeps.connections import Channels
    from pytest_ocap.sweeps.notify import Listener
    from pytest_ocap.sweeps.tree import Process

DELETED = " (deleted)"


class NotSeenError(Exception):
    """The call cannot be made in its process's place without a difference; the kernel has to make it."""


@dataclass
class Event:
    """A call that waits to be let go.

    Attributes:
        listener: Where it waits.
        identity: Its identity there.
        thread: The thread that makes it.
        process: That thread's process.
        name: The system call.
        args: Its arguments, as unsigned numbers.
        here: Descriptors of ours that are needed until the call has been dealt with.
    """

    listener: Listener
    identity: int
    thread: int
    process: Process
    name: str
    args: tuple[int, ...]
    here: list[int] = field(default_factory=list)

    def close(self) -> None:
        """Give back what was borrowed or opened for the call."""
        while self.here:
            os.close(self.here.pop())

    def signed(self, place: int) -> int:
        """Give an argument as a C int."""
        value = self.args[place] & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value

    def offset(self, place: int) -> int:
        """Give an argument as a 64-bit offset."""
        value = self.args[place]
        return value - (1 << 64) if value >> 63 else value


@dataclass
class Draft:
    """What a call does, before it is made.

    Attributes:
        kind: The kind.
        fields: Further attributes of the :class:`~pytest_ocap.sweeps.calls.Call`.
        perform: Makes the call in its process's place and gives its result; None when only the kernel can.
        deliver: Gives the result of ``perform`` to the process, when that takes more than a number.
    """

    kind: Kind
    fields: dict[str, Any] = field(default_factory=dict)
    perform: Callable[[], int] | None = None
    deliver: Callable[[int], int] | None = None


class Place(NamedTuple):
    """Where a path leads: as this process can use it, relative to the home, and what is there."""

    usable: str
    relative: str | None
    found: os.stat_result | None


class Files:
    """Numbers for files: one for each file, however many names and descriptors it has."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        self._last = 0

    def of(self, found: os.stat_result) -> int:
        """Give a file's number."""
        return self._numbers.get((found.st_dev, found.st_ino)) or self.fresh(found)

    def fresh(self, found: os.stat_result) -> int:
        """Give a number to a file that was just made: its inode may have been another's before."""
        self._last += 1
        self._numbers[found.st_dev, found.st_ino] = self._last
        return self._last


@dataclass
class Scene:
    """Everything about a run that is not about one call."""

    home: str
    channels: Channels
    files: Files = field(default_factory=Files)
    borrower: tracee.Borrower = field(default_factory=tracee.Borrower)
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Say once that something could not be followed."""
        self.notes[text] = None

    def relative(self, path: str) -> str | None:
        """Make a path relative to the home; None when it is not in there."""
        if path == self.home:
            return ""
        return path[len(self.home) + 1 :] if path.startswith(self.home + "/") else None

    def borrow(self, event: Event, descriptor: int) -> int:
        """Borrow the open file behind a descriptor until the event is closed."""
        found = self.borrower.borrow(event.process.pid, descriptor)
        event.here.append(found)
        return found

    def described(self, event: Event, descriptor: int) -> str | None:
        """Say which file or directory of the home a descriptor is, as ``/proc`` does; None for anything else."""
        found = tracee.link(event.thread, descriptor)
        return found if self.relative(found) is not None else None

    def name_of(self, described: str, found: os.stat_result) -> str | None:
        """Give the path in the home of an open file; None when it has no name any more, or never had."""
        if found.st_nlink == 0 or (described.endswith(DELETED) and not _is_at(described, found)):
            return None
        return self.relative(described)

    def place(self, event: Event, directory: int, address: int, *, follow: bool) -> Place | None:
        """Find where a path leads; None when that is not in the home."""
        path = tracee.read_path(event.thread, address)
        usable = self.usable(event, directory, path)
        if not path or path.endswith("/"):
            usable = usable.rstrip("/") or "/"
        head, _, tail = usable.rpartition("/")
        try:
            parent = os.open(head or "/", os.O_PATH | os.O_DIRECTORY)
        except OSError:  # then the call fails, too; its name is what the words say
            return self._at(usable, os.path.normpath(self.spelt(event, directory, path)), None)
        try:
            real = os.readlink(f"/proc/self/fd/{parent}")
        finally:
            os.close(parent)
        real = os.path.join(real, tail)
        if tail in ("", ".", ".."):
            real = os.path.normpath(real)
        found = _lstat(usable)
        if follow and found is not None and stat.S_ISLNK(found.st_mode):
            real = os.path.realpath(real)
            found = _lstat(real)
        return self._at(usable, real, found)

    def usable(self, event: Event, directory: int, path: str) -> str:
        """Spell a path of another process so that it leads to the same place from here."""
        for own, number in (("/proc/self/", event.process.pid), ("/proc/thread-self/", event.thread)):
            if path.startswith(own):
                return f"/proc/{number}/{path[len(own) :]}"
        if path.startswith("/"):
            return path
        base = "cwd" if directory == AT_FDCWD else f"fd/{directory}"
        return f"/proc/{event.thread}/{base}/{path}" if path else f"/proc/{event.thread}/{base}"

    def spelt(self, event: Event, directory: int, path: str) -> str:
        """Make a path absolute by its words alone."""
        base = f"/proc/{event.thread}/cwd" if directory == AT_FDCWD else f"/proc/{event.thread}/fd/{directory}"
        return os.path.join(os.readlink(base), path)

    def _at(self, usable: str, real: str, found: os.stat_result | None) -> Place | None:
        relative = self.relative(real)
        return None if relative is None else Place(usable, relative, found)


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _is_at(path: str, found: os.stat_result) -> bool:
    there = _lstat(path)
    return there is not None and (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)
