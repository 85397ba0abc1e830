"""What is on the disk when some of the operations are lost: names, modes and, file by file, bytes.

Invariant: equal digests are equal images.  Knows which operations are lost and not why.
"""

from __future__ import annotations

import bisect
import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.crash.filesystem import ROOT
from pytest_ocap.sweeps.crash.image import Entry, Image, Type
from pytest_ocap.sweeps.crash.mending import FileHistory, Loss
from pytest_ocap.sweeps.crash.operations import SetMode, SetNames, Truncate, Write

if TYPE_CHECKING:
    from pytest_ocap.sweeps.crash.filesystem import Log
    from pytest_ocap.sweeps.crash.pages import Pages

_NOTHING = Loss()


@dataclass(frozen=True, slots=True)
class Tree:
    """Names, and what they mean.

    Attributes:
        paths: By path, the inode, in the order of paths.
        inodes: The inodes of files and whatever else has a name, once each.
        digest: Tells this tree from others.
    """

    paths: tuple[tuple[str, int], ...]
    inodes: tuple[int, ...]
    digest: bytes


class Contents:
    """What a recording put on the disk, and would have put there without some of its operations."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._files: dict[int, FileHistory] = {}
        self._modes: dict[int, list[SetMode]] = defaultdict(list)
        self._namings: list[SetNames] = []
        self._trees: dict[tuple[int, frozenset[int]], Tree] = {}
        self._whole: dict[int, bytes] = {}
        self._whole_upto = -1
        self._inodes: list[int] = []
        """By operation, whose content or mode it changes; -1 for names."""
        for operation in log.operations:
            self._inodes.append(operation.inode if isinstance(operation, Write | Truncate | SetMode) else -1)
            if isinstance(operation, SetNames):
                self._namings.append(operation)
            elif isinstance(operation, SetMode):
                self._modes[operation.inode].append(operation)
            elif isinstance(operation, Write | Truncate):
                if operation.inode not in self._files:
                    self._files[operation.inode] = FileHistory(log.inodes[operation.inode].content)
                self._files[operation.inode].add(operation)
        self._naming_numbers = [operation.number for operation in self._namings]
        self._name_numbers = frozenset(self._naming_numbers)

    # --- the whole disk ------------------------------------------------------------------------------------------

    def digest(self, upto: int, loss: Loss) -> bytes:
        """Tell what is on the disk from what is there otherwise.

        Args:
            upto: How many of the operations were begun.
            loss: Which of these are lost.

        Returns:
            16 bytes, equal for equal images.
        """
        tree = self.tree(upto, loss)
        changed = set(map(self._inodes.__getitem__, loss.numbers))
        keys = [
            self._key(inode, upto, loss) if inode in changed else self._whole_key(inode, upto) for inode in tree.inodes
        ]
        return hashlib.blake2b(b"".join([tree.digest, *keys]), digest_size=16).digest()

    def image(self, upto: int, loss: Loss) -> Image:
        """Give what is on the disk; see :meth:`digest`."""
        tree = self.tree(upto, loss)
        entries: dict[str, Entry] = {}
        firsts: dict[int, str] = {}
        names = Counter(inode for _path, inode in tree.paths)
        for path, inode in tree.paths:
            origin = self._log.inodes[inode]
            first = firsts.setdefault(inode, path) if names[inode] > 1 else None
            content = self.content(inode, upto, loss)
            entries[path] = Entry(origin.type, self._mode(inode, upto, loss), content, origin.text, first)
        return Image(entries)

    def _key(self, inode: int, upto: int, loss: Loss) -> bytes:
        return self._mode(inode, upto, loss).to_bytes(2, "little") + self.content(inode, upto, loss).digest

    def _whole_key(self, inode: int, upto: int) -> bytes:
        """The key of an inode of which nothing is lost."""
        if self._whole_upto != upto:
            self._whole_upto, self._whole = upto, {}
        if inode not in self._whole:
            self._whole[inode] = self._key(inode, upto, _NOTHING)
        return self._whole[inode]

    def _mode(self, inode: int, upto: int, loss: Loss) -> int:
        mode = self._log.inodes[inode].mode
        for operation in self._modes.get(inode, ()):
            if operation.number < upto and operation.number not in loss.dropped:
                mode = operation.mode
        return mode

    # --- names ---------------------------------------------------------------------------------------------------

    def tree(self, upto: int, loss: Loss) -> Tree:
        """Give the names that are on the disk; see :meth:`digest`."""
        count = bisect.bisect_left(self._naming_numbers, upto)
        dropped = loss.dropped & self._name_numbers
        key = (count, dropped)
        if key not in self._trees:
            names = dict(self._log.names)
            for operation in self._namings[:count]:
                if operation.number not in dropped:
                    for directory, name, inode in operation.changes:
                        if inode is None:
                            names.pop((directory, name), None)
                        else:
                            names[directory, name] = inode
            self._trees[key] = self._grow(names)
        return self._trees[key]

    def _grow(self, names: dict[tuple[int, str], int]) -> Tree:
        inside: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for (directory, name), inode in names.items():
            inside[directory].append((name, inode))
        found: dict[str, int] = {"": ROOT}
        seen, waiting = {ROOT}, [("", ROOT)]
        while waiting:
            folder, directory = waiting.pop()
            for name, inode in sorted(inside[directory]):
                path = f"{folder}/{name}" if folder else name
                if self._log.inodes[inode].type is Type.DIRECTORY:
                    if inode in seen:
                        continue
                    seen.add(inode)
                    waiting.append((path, inode))
                found[path] = inode
        paths = tuple(sorted(found.items()))
        places: dict[int, int] = {}
        hashed = hashlib.blake2b(digest_size=16)
        for path, inode in paths:
            origin = self._log.inodes[inode]
            place = places.setdefault(inode, len(places))
            hashed.update(f"{path}\0{origin.type}\0{origin.text}\0{place}\0".encode(errors="surrogateescape"))
        return Tree(paths, tuple(places), hashed.digest())

    # --- bytes ---------------------------------------------------------------------------------------------------

    def content(self, inode: int, upto: int, loss: Loss) -> Pages:
        """Give a file's content; see :meth:`digest`."""
        history = self._files.get(inode)
        return self._log.inodes[inode].content if history is None else history.content(upto, loss)
