"""Models of file systems: when an operation can be relied on, and which of the others can be lost together.

Invariant: what a model relies on at some moment it relies on at every later one; whatever ``ext4-ordered`` allows to be
lost, ``strict`` allows too.

The models follow published studies of what file systems do:

* T. S. Pillai et al., "All File Systems Are Not Created Equal: On the Complexity of Crafting Crash-Consistent
  Applications", OSDI 2014 (ALICE, BOB): writes, appends and directory operations reach the disk whole, in part or not
  at all, in the orders that a file system allows; a rename within a directory is atomic.
* J. Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing", OSDI 2018 (CrashMonkey and
  ACE), and the same group's "File System Crash-Recovery Guarantees" (linux-fsdevel, March 2019): on ext4, fsync of a
  new file makes its name durable, and metadata reach the disk in the order of one journal.
* The Linux kernel's documentation of ext4 (data=ordered, delalloc, auto_da_alloc): data are written before the
  metadata that refer to them are committed; a rename over an existing file forces the new file's blocks out first.
* M. Ramos et al., "When Amnesia Strikes: Understanding and Reproducing Data Loss Bugs with Fault Injection", VLDB 2024
  (LazyFS): lost and torn writes of what POSIX does not promise.
* A. Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020: after an fsync that failed, pages
  are marked clean on ext4, XFS and Btrfs alike; what was in them is not written by a later fsync that succeeds.
"""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.crash.operations import SetMode, SetNames, Truncate, Write
from pytest_ocap.sweeps.crash.pages import pages_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_ocap.sweeps.crash.filesystem import Log
    from pytest_ocap.sweeps.crash.operations import Operation, Sync


_NONE: frozenset[int] = frozenset()


class Model(enum.StrEnum):
    """What a file system promises."""

    STRICT = "strict"
    """POSIX to the letter: data after fsync or fdatasync of their file, names after fsync of their directory."""
    EXT4 = "ext4-ordered"
    """ext4 as it is mounted by default."""
    FAILS_CLEAN = "fsync-fails-clean"
    """ext4, where an fsync that failed has marked the pages clean: no later one writes them."""


class Durability:
    """What can be relied on in one recording under one model.

    Attributes:
        model: The model.
        since: For each operation, from when on it is durable, in seconds of the recording; infinity for never.
    """

    def __init__(self, model: Model, log: Log) -> None:
        self.model = model
        self.since: list[float] = [math.inf] * len(log.operations)
        self._operations = log.operations
        self._by_inode: dict[int, list[int]] = defaultdict(list)
        self._doomed: dict[int, set[int]] = {}
        """Writes whose fsync failed, and those of their pages that no write has touched since."""
        self._forced: dict[int, frozenset[int]] = {}
        """By the call of a rename over another file, the writes that go before it."""
        for operation in log.operations:
            self._register(operation)
        for sync in sorted(log.syncs, key=lambda sync: sync.ended):
            if math.isfinite(sync.ended):
                self._take(sync)

    def _register(self, operation: Operation) -> None:
        number = operation.number
        for inode in _concerned(operation):
            self._by_inode[inode].append(number)
        if isinstance(operation, SetNames) and operation.replaces and self.model is not Model.STRICT:
            before = self._by_inode[operation.inode]
            self._forced[operation.call] = frozenset(n for n in before if isinstance(self._operations[n], Write))

    # --- what is durable -----------------------------------------------------------------------------------------

    def _take(self, sync: Sync) -> None:
        if sync.failed:
            if self.model is Model.FAILS_CLEAN:
                self._doom(sync)
            return
        covered = [n for n in self._numbers(sync.inode) if self._operations[n].ended <= sync.began]
        if sync.only is not None:
            covered = [n for n in covered if n == sync.only]
        if self.model is Model.STRICT:
            self._rely(covered if sync.inode is None else self._own(sync, covered), sync.ended)
        else:
            self._commit(sync, covered)

    def _numbers(self, inode: int | None) -> Iterable[int]:
        return range(len(self._operations)) if inode is None else self._by_inode[inode]

    def _own(self, sync: Sync, covered: Iterable[int]) -> list[int]:
        """What POSIX promises for one file or directory: its bytes and length, its entries, its mode."""
        return [number for number in covered if _is_own(self._operations[number], sync)]

    def _rely(self, numbers: Iterable[int], when: float) -> None:
        for number in numbers:
            self.since[number] = min(self.since[number], when)

    def _commit(self, sync: Sync, covered: list[int]) -> None:
        """ext4: the file's data are written, and the journal is committed as far as the file's metadata need it."""
        data = [n for n in covered if isinstance(self._operations[n], Write) and self._is_written(n, covered)]
        through = -1
        for number in covered:
            operation = self._operations[number]
            if isinstance(operation, Write):
                if operation.extends and math.isinf(self.since[number]):
                    # Its blocks are allocated while it is written back, in the transaction that runs then.
                    through = self._last_ended(sync.began)
                elif not sync.data_only:
                    through = max(through, number)
            elif not (isinstance(operation, SetMode) and sync.data_only):
                through = max(through, number)
        if sync.inode is None:
            through = self._last_ended(sync.began)
        if 0 <= through < len(self._operations) - 1:
            # The halves of a rename are in one transaction.
            through += self._operations[through].call == self._operations[through + 1].call
        self._rely(data, sync.ended)
        for number in range(through + 1):
            operation = self._operations[number]
            if isinstance(operation, Write) or operation.ended > sync.began or self.since[number] <= sync.ended:
                continue
            self._rely([number], sync.ended)
            self._rely(self.forced_out_by(number), sync.ended)

    def _last_ended(self, moment: float) -> int:
        return max((operation.number for operation in self._operations if operation.ended <= moment), default=-1)

    def forced_out_by(self, number: int) -> frozenset[int]:
        """Give the writes that reach the disk before an operation does: a rename over another file (auto_da_alloc)."""
        return self._forced.get(self._operations[number].call, _NONE) - self._doomed.keys()

    # --- pages marked clean --------------------------------------------------------------------------------------

    def _doom(self, sync: Sync) -> None:
        for number in self._numbers(sync.inode):
            operation = self._operations[number]
            if isinstance(operation, Write) and operation.began <= sync.ended and math.isinf(self.since[number]):
                self._doomed[number] = set(pages_of(operation.offset, operation.end))

    def _is_written(self, number: int, covered: Iterable[int]) -> bool:
        """Say whether a sync that succeeds writes an operation's pages: they are dirty, or were made so again."""
        if number not in self._doomed:
            return True
        clean, mine = self._doomed[number], self._operations[number]
        assert isinstance(mine, Write)
        for later in covered:
            operation = self._operations[later]
            if not isinstance(operation, Write) or operation.inode != mine.inode:
                continue
            if later > number and later not in self._doomed:
                clean = clean.difference(pages_of(operation.offset, operation.end))
        self._doomed[number] = clean
        return not clean

    def is_doomed(self, number: int) -> bool:
        """Say whether the fsync of a write has failed and left its pages clean."""
        return number in self._doomed

    def may_be_zeros(self, operation: Write) -> bool:
        """Say whether a file may have got the length of a write without its data."""
        return operation.extends and (self.model is Model.STRICT or operation.number in self._doomed)

    def may_lose_head(self, operation: Write) -> bool:
        """Say whether a later part of a write may be there without an earlier one."""
        return not operation.extends or self.model is Model.STRICT or operation.number in self._doomed

    def borders_of(self, operation: Write, borders: Iterable[int], page: int) -> list[int]:
        """Choose those borders, as offsets in the file, at which a write may be torn."""
        if self.model is Model.STRICT or not operation.extends:
            return list(borders)
        # Data before the length that covers them: an append is cut at a page.
        return [border for border in borders if border % page == 0]


def _concerned(operation: Operation) -> Iterable[int]:
    """The inodes whose sync has to do with an operation."""
    if isinstance(operation, SetNames):
        return {operation.inode, *operation.directories}
    assert isinstance(operation, Write | Truncate | SetMode)
    return (operation.inode,)


def _is_own(operation: Operation, sync: Sync) -> bool:
    if isinstance(operation, SetNames):
        return sync.inode in operation.directories
    if isinstance(operation, SetMode):
        return not sync.data_only
    return True
