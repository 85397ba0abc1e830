"""A recording, read as operations on a disk.

Invariant: the operations, applied in order to the image from before, give what the processes saw when the recording
ended.  Knows what each call means to a file system, and nothing of what survives a power cut.

Calls of several threads may overlap; the recording's order, that of their beginnings, is taken for the order in which
they took effect.
"""

from __future__ import annotations

import math
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.crash.image import Entry, Type
from pytest_ocap.sweeps.crash.operations import Operation, SetMode, SetNames, Sync, Truncate, Write

if TYPE_CHECKING:
    from pytest_ocap.sweeps.calls import Call, Recording
    from pytest_ocap.sweeps.crash.image import Image

ROOT = 0
"""The inode of the home itself."""

_LINKS_FOLLOWED = 8
_DEFAULT_MODES = {Type.FILE: 0o600, Type.DIRECTORY: 0o700, Type.SOCKET: 0o600, Type.LINK: 0o777, Type.FIFO: 0o600}


class _Common(TypedDict):
    number: int
    call: int
    began: float
    ended: float
    words: str


@dataclass(slots=True)
class Log:
    """What a recording asked of the disk.

    Attributes:
        inodes: What each inode was when it was first seen: with its content, if it was there before the recording.
        names: The entries before the recording: by directory and name, the inode.
        operations: By number.
        syncs: In the order in which they began.
        notes: What could not be followed, in words.
    """

    inodes: list[Entry] = field(default_factory=list)
    names: dict[tuple[int, str], int] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    syncs: list[Sync] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_recording(image: Image, recording: Recording) -> Log:
    """Read a recording as operations.

    Args:
        image: The home before the recording began.
        recording: The recording.
    """
    reader = _Reader(image)
    for call in recording.calls:
        reader.read(call)
    reader.log.notes[:0] = recording.notes
    return reader.log


class _Reader:
    """Follows the names and lengths of files through a recording."""

    def __init__(self, image: Image) -> None:
        self.log = Log()
        self._names: dict[tuple[int, str], int] = {}
        self._sizes: dict[int, int] = {}
        self._files: dict[int, int] = {}
        self._load(image)

    def read(self, call: Call) -> None:
        """Take one call."""
        if call.kind is Kind.SYNC:
            self._sync(call, self._inode_of(call))
        elif call.kind is Kind.SYNC_ALL:
            self._sync(call, None)
        elif call.result is None or call.result >= 0:
            handler = _HANDLERS.get(call.kind)
            if handler is not None:
                handler(self, call)

    # --- names ---------------------------------------------------------------------------------------------------

    def _load(self, image: Image) -> None:
        by_path: dict[str, int] = {}
        for path, entry in image.entries.items():
            if entry.first is not None and entry.first != path:
                inode = by_path[entry.first]
            else:
                inode = len(self.log.inodes)
                self.log.inodes.append(Entry(entry.type, entry.mode, entry.content, entry.text))
                self._sizes[inode] = entry.content.size
            by_path[path] = inode
            if path:
                parent, name = posixpath.split(path)
                self.log.names[by_path[parent], name] = inode
        self._names = dict(self.log.names)

    def _place(self, path: str) -> tuple[int, str] | None:
        """Find the directory and the name that a path means; the last part is not followed."""
        parent, name = posixpath.split(path)
        directory = self._find(parent)
        return None if directory is None or not name else (directory, name)

    def _find(self, path: str, *, follow: bool = True, depth: int = 0) -> int | None:
        """Find the inode that a path means."""
        if not path or path == ".":
            return ROOT
        place = self._place(path)
        inode = None if place is None else self._names.get(place)
        if inode is None or not follow or depth >= _LINKS_FOLLOWED or self.log.inodes[inode].type is not Type.LINK:
            return inode
        text = self.log.inodes[inode].text
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), text))
        return None if target.startswith(("/", "..")) else self._find(target, depth=depth + 1)

    def _inode_of(self, call: Call) -> int | None:
        """Find what a call is made on: by the open file where it is known, else by its path."""
        if call.file is not None and call.file in self._files:
            return self._files[call.file]
        inode = None if call.path is None else self._find(call.path)
        if inode is None:
            if call.path is not None or call.kind is Kind.SYNC:
                self._note(call, "is made on something that the recording did not show the making of")
        elif call.file is not None:
            self._files[call.file] = inode
        return inode

    def _make(self, call: Call, kind: Type, text: str = "") -> int:
        mode = _DEFAULT_MODES[kind] if call.mode is None else call.mode
        inode = len(self.log.inodes)
        self.log.inodes.append(Entry(kind, mode, text=text))
        self._sizes[inode] = 0
        if call.file is not None:
            self._files[call.file] = inode
        return inode

    def _rename_entries(self, call: Call, words: str, inode: int, *changes: tuple[str, int | None]) -> None:
        """Change entries: a path each, and what it means from then on."""
        places = [(self._place(path), target) for path, target in changes]
        found = tuple((place[0], place[1], target) for place, target in places if place is not None)
        if len(found) != len(places):
            self._note(call, "is made in a directory that the recording did not show the making of")
            return
        is_directory = self.log.inodes[inode].type is Type.DIRECTORY
        replaces = any(
            target is not None and self._names.get((directory, name), target) != target
            for directory, name, target in found
        )
        # A file that moves between directories: two entries of two directories, which POSIX does not tie together.
        apart = len({directory for directory, _, _ in found}) > 1 and not is_directory
        for part in [(change,) for change in found] if apart else [found]:
            self.log.operations.append(
                SetNames(
                    **self._common(call, words if not apart else f"{words} ({_half(part[0])})"),
                    changes=part,
                    inode=inode,
                    moves_directory=is_directory,
                    replaces=replaces and any(target is not None for _, _, target in part),
                )
            )
        for directory, name, target in found:
            if target is None:
                self._names.pop((directory, name), None)
            else:
                self._names[directory, name] = target

    # --- what calls do -------------------------------------------------------------------------------------------

    def _open(self, call: Call) -> None:
        if call.created and not (call.path is not None and self._find(call.path) is not None):
            inode = self._make(call, Type.FILE)
            if call.path is not None:
                self._rename_entries(call, f"creation of {call.path}", inode, (call.path, inode))
            return
        found = self._inode_of(call)
        if found is not None and call.truncated and self._sizes[found]:
            self._truncate_to(call, found, 0)

    def _write(self, call: Call) -> None:
        inode = self._inode_of(call)
        if inode is None or not call.data:
            return
        data = call.data if call.result is None else call.data[: call.result]
        offset = self._sizes[inode] if call.offset is None else call.offset
        if not data:
            return
        end = offset + len(data)
        count = f"{len(data)} byte{'' if len(data) == 1 else 's'}"
        self.log.operations.append(
            Write(
                **self._common(call, f"write of {count} at {offset} of {self._called(call)}"),
                inode=inode,
                offset=offset,
                data=data,
                end=end,
                extends=end > self._sizes[inode],
            )
        )
        self._sizes[inode] = max(self._sizes[inode], end)
        if call.durable:
            ended, only = _ended(call), len(self.log.operations) - 1
            self.log.syncs.append(Sync(call.number, ended, ended, inode, data_only=True, only=only))

    def _truncate(self, call: Call) -> None:
        inode = self._inode_of(call)
        if inode is not None and call.size is not None and call.size != self._sizes[inode]:
            self._truncate_to(call, inode, call.size)

    def _truncate_to(self, call: Call, inode: int, size: int) -> None:
        words = f"truncation of {self._called(call)} from {self._sizes[inode]} to {size} bytes"
        self.log.operations.append(Truncate(**self._common(call, words), inode=inode, size=size))
        self._sizes[inode] = size

    def _chmod(self, call: Call) -> None:
        inode = self._inode_of(call)
        if inode is not None and call.mode is not None:
            words = f"mode {call.mode:04o} of {self._called(call)}"
            self.log.operations.append(SetMode(**self._common(call, words), inode=inode, mode=call.mode))

    def _rename(self, call: Call) -> None:
        if call.path is None or call.target is None:
            return
        inode = self._find(call.path, follow=False)
        if inode is None:
            self._note(call, "moves something that the recording did not show the making of")
        elif call.text == "exchange":
            other = self._find(call.target, follow=False)
            words = f"exchange of {call.path} and {call.target}"
            self._rename_entries(call, words, inode, (call.path, other), (call.target, inode))
        elif self._find(call.target, follow=False) != inode:
            words = f"rename {call.path} -> {call.target}"
            self._rename_entries(call, words, inode, (call.path, None), (call.target, inode))

    def _link(self, call: Call) -> None:
        inode = self._files.get(call.file) if call.file is not None else None
        if inode is None and call.path is not None:
            inode = self._find(call.path, follow=False)
        if inode is None or call.target is None:
            self._note(call, "links something that the recording did not show the making of")
            return
        words = f"link {call.path} -> {call.target}" if call.path else f"link of a nameless file to {call.target}"
        self._rename_entries(call, words, inode, (call.target, inode))

    def _unlink(self, call: Call) -> None:
        inode = None if call.path is None else self._find(call.path, follow=False)
        if inode is not None and call.path is not None:
            words = f"removal of {call.path}"
            self._rename_entries(call, words, inode, (call.path, None))

    def _mkdir(self, call: Call) -> None:
        self._make_named(call, Type.DIRECTORY, f"creation of the directory {call.path}")

    def _symlink(self, call: Call) -> None:
        self._make_named(call, Type.LINK, f"creation of the link {call.path}")

    def _bind(self, call: Call) -> None:
        self._make_named(call, Type.SOCKET, f"creation of the socket {call.path}")

    def _make_named(self, call: Call, kind: Type, words: str) -> None:
        if call.result is None and call.path is not None and self._find(call.path, follow=False) is not None:
            self._note(call, "was not seen to succeed, and its name was taken: it is taken to have failed")
        elif call.path is not None:
            inode = self._make(call, kind, (call.text or "") if kind is Type.LINK else "")
            self._rename_entries(call, words, inode, (call.path, inode))

    def _sync(self, call: Call, inode: int | None) -> None:
        if call.kind is Kind.SYNC and inode is None:
            return
        failed = call.result is not None and call.result < 0
        self.log.syncs.append(Sync(call.number, call.began, _ended(call), inode, call.data_only, failed))

    # --- words ---------------------------------------------------------------------------------------------------

    def _common(self, call: Call, words: str) -> _Common:
        return _Common(
            number=len(self.log.operations), call=call.number, began=call.began, ended=_ended(call), words=words
        )

    def _called(self, call: Call) -> str:
        return "a nameless file" if call.path is None else call.path or "the home"

    def _note(self, call: Call, what: str) -> None:
        where = f"({call.path})" if call.path else ""
        self.log.notes.append(f"call {call.number} {call.name}{where} {what}")


def _half(change: tuple[int, str, int | None]) -> str:
    return "the old name goes" if change[2] is None else "the new name comes"


def _ended(call: Call) -> float:
    if call.ended is not None:
        return call.ended
    return math.inf if call.result is None else call.began


_HANDLERS = {
    Kind.OPEN: _Reader._open,
    Kind.WRITE: _Reader._write,
    Kind.TRUNCATE: _Reader._truncate,
    Kind.CHMOD: _Reader._chmod,
    Kind.RENAME: _Reader._rename,
    Kind.LINK: _Reader._link,
    Kind.SYMLINK: _Reader._symlink,
    Kind.UNLINK: _Reader._unlink,
    Kind.RMDIR: _Reader._unlink,
    Kind.MKDIR: _Reader._mkdir,
    Kind.BIND: _Reader._bind,
}
