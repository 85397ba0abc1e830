"""Crash states without cleverness: every subset of what may be lost, replayed from the beginning.

Slow, short, and written without the code that it checks: sectors one by one, no pages, no digests, nothing shared.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.crash.filesystem import ROOT, Log
from pytest_ocap.sweeps.crash.image import Image, Type
from pytest_ocap.sweeps.crash.operations import Operation, SetMode, SetNames, Truncate, Write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ocap.sweeps.calls import Recording

Disk = frozenset[tuple[str, str, int, bytes | str]]
"""Each name with its type, mode and content."""

SECTOR = 512


def plain(image: Image) -> Disk:
    """Write an image in the same form."""
    return frozenset(
        (path, str(entry.type), entry.mode, entry.content.to_bytes() if entry.type is Type.FILE else entry.text)
        for path, entry in image.entries.items()
    )


def final(log: Log) -> Disk:
    """Give the disk when nothing is lost."""
    return _replay(log, log.operations, frozenset(), None)


def strict_states(log: Log, recording: Recording, *, tears: bool) -> set[Disk]:
    """Give all states that POSIX to the letter allows, one more torn write at most, at every border, if asked for."""
    found: set[Disk] = set()
    moments = [(call.began, place) for place, call in enumerate(recording.calls)]
    moments += [(call.began, place) for place, call in enumerate(recording.calls[1:])]
    moments += [(float("inf"), len(recording.calls) - 1)] if moments else []
    for moment, place in moments:
        begun = [operation for operation in log.operations if operation.call <= recording.calls[place].number]
        pending = [operation for operation in begun if not _is_durable(log, operation, moment)]
        for size in range(len(pending) + 1):
            for dropped in itertools.combinations(pending, size):
                numbers = frozenset(operation.number for operation in dropped)
                if not _directories_move_in_order(pending, numbers):
                    continue
                found.add(_replay(log, begun, numbers, None))
                kept = [operation for operation in pending if operation.number not in numbers]
                for tear in _tears(kept) if tears else ():
                    found.add(_replay(log, begun, numbers, tear))
    return found


def _is_durable(log: Log, operation: Operation, moment: float) -> bool:
    for sync in log.syncs:
        if sync.failed or sync.ended > moment or operation.ended > sync.began:
            continue
        if sync.only is not None and sync.only != operation.number:
            continue
        if sync.inode is None:
            return True
        if isinstance(operation, SetNames):
            if any(directory == sync.inode for directory, _, _ in operation.changes):
                return True
        elif isinstance(operation, SetMode):
            if operation.inode == sync.inode and not sync.data_only:
                return True
        elif isinstance(operation, Write | Truncate) and operation.inode == sync.inode:
            return True
    return False


def _directories_move_in_order(pending: list[Operation], dropped: frozenset[int]) -> bool:
    moves = [o.number in dropped for o in pending if isinstance(o, SetNames) and o.moves_directory]
    return moves == sorted(moves)


_Tear = tuple[int, int, int, bool]


def _tears(kept: list[Operation]) -> Iterator[_Tear]:
    for operation in kept:
        if isinstance(operation, Write):
            borders = range((operation.offset // SECTOR + 1) * SECTOR, operation.end, SECTOR)
            for border in borders:
                yield operation.number, operation.offset, border, False
                yield operation.number, border, operation.end, False
                if operation.extends:
                    yield operation.number, operation.offset, border, True
            if operation.extends:
                yield operation.number, operation.offset, operation.offset, True


def _replay(log: Log, operations: list[Operation], dropped: frozenset[int], tear: _Tear | None) -> Disk:
    contents = {number: bytearray(entry.content.to_bytes()) for number, entry in enumerate(log.inodes)}
    modes = {number: entry.mode for number, entry in enumerate(log.inodes)}
    stale: dict[int, set[int]] = {number: set() for number in contents}
    names = dict(log.names)
    for operation in operations:
        lost = operation.number in dropped
        if isinstance(operation, SetNames) and not lost:
            for directory, name, inode in operation.changes:
                names[directory, name] = -1 if inode is None else inode
        elif isinstance(operation, SetMode) and not lost:
            modes[operation.inode] = operation.mode
        elif isinstance(operation, Truncate) and not lost:
            content = contents[operation.inode]
            contents[operation.inode] = (content + bytes(operation.size))[: operation.size]
            freed = {sector for sector in stale[operation.inode] if sector * SECTOR >= operation.size}
            stale[operation.inode] -= freed
        elif isinstance(operation, Write):
            start, end, length = (operation.offset, operation.offset if lost else operation.end, False)
            if tear is not None and tear[0] == operation.number:
                _, start, end, length = tear
            _write(contents[operation.inode], stale[operation.inode], operation, start, end, length=length)
    return frozenset(_walk(log, names, modes, contents))


def _write(content: bytearray, stale: set[int], operation: Write, start: int, end: int, *, length: bool) -> None:
    for sector in range(operation.offset // SECTOR, (operation.end - 1) // SECTOR + 1):
        left, right = max(operation.offset, sector * SECTOR), min(operation.end, (sector + 1) * SECTOR)
        if not (start <= left and right <= end):
            stale.add(sector)
        elif sector not in stale:
            content.extend(bytes(max(0, right - len(content))))
            content[left:right] = operation.data[left - operation.offset : right - operation.offset]
    if length:
        content.extend(bytes(max(0, operation.end - len(content))))


def _walk(
    log: Log, names: dict[tuple[int, str], int], modes: dict[int, int], contents: dict[int, bytearray]
) -> Iterator[tuple[str, str, int, bytes | str]]:
    waiting = [("", ROOT)]
    while waiting:
        path, inode = waiting.pop()
        entry = log.inodes[inode]
        content = bytes(contents[inode]) if entry.type is Type.FILE else entry.text
        yield path, str(entry.type), modes[inode], content
        if entry.type is Type.DIRECTORY:
            inside = [(name, child) for (directory, name), child in names.items() if directory == inode and child >= 0]
            waiting.extend((f"{path}/{name}" if path else name, child) for name, child in inside)
