"""A directory as a value: what is in it, read from a disk or to be put on one.

Invariant: an image that was put into an empty directory and read again is equal to itself.  Owners and times are not
part of it.  Knows nothing of recordings.
"""

from __future__ import annotations

import enum
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.crash.pages import EMPTY, PAGE, Pages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Type(enum.StrEnum):
    """What stands at a name."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    SOCKET = "socket"
    FIFO = "fifo"


_TYPES = {
    stat.S_IFREG: Type.FILE,
    stat.S_IFDIR: Type.DIRECTORY,
    stat.S_IFLNK: Type.LINK,
    stat.S_IFSOCK: Type.SOCKET,
    stat.S_IFIFO: Type.FIFO,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at one name.

    Attributes:
        type: What it is.
        mode: The permission bits.
        content: Of a file.
        text: What a symbolic link says.
        first: Of a file with several names, the first of them in the order of names; ``None`` otherwise.
    """

    type: Type
    mode: int
    content: Pages = EMPTY
    text: str = ""
    first: str | None = None

    @property
    def key(self) -> bytes:
        """Tells this entry from others; 16 bytes."""
        said = f"{self.type}\0{self.mode:o}\0{self.text}\0{self.first}\0".encode(errors="surrogateescape")
        return hashlib.blake2b(said + self.content.digest, digest_size=16).digest()


class Image:
    """A directory.

    Attributes:
        entries: What is in it, by path relative to it, in the order of paths; ``""`` is the directory itself.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = dict(sorted(entries.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> bytes:
        """Equal for equal images: 16 bytes."""
        hashed = hashlib.blake2b(digest_size=16)
        for path, entry in self.entries.items():
            hashed.update(path.encode(errors="surrogateescape") + b"\0" + entry.key)
        return hashed.digest()

    def bytes_of(self, path: str) -> bytes:
        """Give a file's content.

        Raises:
            KeyError: No file stands there.
        """
        entry = self.entries[path]
        if entry.type is not Type.FILE:
            raise KeyError(path)
        return entry.content.to_bytes()

    @classmethod
    def read(cls, directory: Path) -> Image:
        """Read a directory; nothing may be written to it meanwhile.

        Raises:
            OSError: Something cannot be read.
            ValueError: A device stands in it.
        """
        found: list[tuple[str, os.stat_result]] = [("", os.stat(directory))]
        for folder, names, files in os.walk(directory):
            for name in [*names, *files]:
                path = os.path.join(folder, name)
                found.append((os.path.relpath(path, directory), os.lstat(path)))
        entries: dict[str, Entry] = {}
        names_of: dict[tuple[int, int], str] = {}
        for path, status in sorted(found):
            kind = _TYPES.get(stat.S_IFMT(status.st_mode))
            if kind is None:
                raise ValueError(f"{os.path.join(directory, path)} is a device: a home has none")
            first = None
            if kind is not Type.DIRECTORY and status.st_nlink > 1:
                first = names_of.setdefault((status.st_dev, status.st_ino), path)
            entries[path] = _read_entry(os.path.join(directory, path), kind, stat.S_IMODE(status.st_mode), first)
        return cls(_without_lone_names(entries))

    def materialise(self, directory: Path) -> None:
        """Put it into an empty directory, with modes, further names of files, sockets and all.

        Raises:
            FileExistsError: Something stands in the way.
        """
        root = os.fspath(directory)
        folders = []
        for path, entry in self.entries.items():
            place = os.path.join(root, path) if path else root
            if entry.type is Type.DIRECTORY:
                folders.append((place, entry.mode))
                if path:
                    os.mkdir(place, 0o700)
            elif entry.first is not None and entry.first != path:
                os.link(os.path.join(root, entry.first), place, follow_symlinks=False)
            else:
                _put(place, entry)
        for place, mode in reversed(folders):
            os.chmod(place, mode)


def _read_entry(path: str, kind: Type, mode: int, first: str | None) -> Entry:
    if kind is Type.FILE:
        with open(path, "rb") as file:
            return Entry(kind, mode, content=Pages.of(file.read()), first=first)
    if kind is Type.LINK:
        return Entry(kind, 0o777, text=os.readlink(path), first=first)
    return Entry(kind, mode, first=first)


def _without_lone_names(entries: dict[str, Entry]) -> dict[str, Entry]:
    """A file whose further names lie outside has one name here."""
    firsts = [entry.first for entry in entries.values() if entry.first is not None]
    lone = {first for first in firsts if firsts.count(first) == 1}
    return {
        path: Entry(entry.type, entry.mode, entry.content, entry.text) if entry.first in lone else entry
        for path, entry in entries.items()
    }


def _put(place: str, entry: Entry) -> None:
    if entry.type is Type.LINK:
        os.symlink(entry.text, place)
        return
    if entry.type is Type.FILE:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for start, run in entry.content.runs():
                _write_all(descriptor, run, start)
            os.ftruncate(descriptor, entry.content.size)
            os.fchmod(descriptor, entry.mode)
        finally:
            os.close(descriptor)
        return
    os.mknod(place, entry.mode | (stat.S_IFSOCK if entry.type is Type.SOCKET else stat.S_IFIFO))
    os.chmod(place, entry.mode)


def _write_all(descriptor: int, pages: list[bytes], offset: int) -> None:
    written = os.pwritev(descriptor, pages, offset)
    rest = memoryview(b"".join(pages))[written:] if written < len(pages) * PAGE else memoryview(b"")
    while rest:
        offset += written
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
