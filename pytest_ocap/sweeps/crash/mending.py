"""The content of one file when some of its operations are lost.

Invariant: a sector holds what some first part of the writes to it left there, since what is written is the page
cache's whole sector, with all that came before; so a write that came after a lost one does not reach the sectors that
both touch.  Knows which operations are lost and not why.

Nothing is replayed from the beginning.  A file's content after each of its operations is kept (they share their pages),
and of a content from which something is lost only the pages concerned are made anew.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.crash.operations import Truncate, Write
from pytest_ocap.sweeps.crash.pages import PAGE, SECTOR, Pages, pages_of, sectors_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_ocap.sweeps.crash.operations import FileOperation


@dataclass(frozen=True, slots=True)
class Torn:
    """A write of which a part is on the disk.

    Attributes:
        operation: Its number.
        start: Where the part begins that is on the disk, as an offset in the file.
        end: Where it ends.
        length: Whether the file has the length that the whole write gave it; zeros fill it up.
    """

    operation: int
    start: int
    end: int
    length: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """What is not on the disk.

    Attributes:
        dropped: The operations that are lost whole, by number.
        torn: The one that is there in part.
    """

    dropped: frozenset[int] = frozenset()
    torn: Torn | None = None

    @property
    def numbers(self) -> frozenset[int]:
        """All operations that are not on the disk as they should be."""
        return self.dropped if self.torn is None else self.dropped | {self.torn.operation}


class FileHistory:
    """One file's operations, and its content after each."""

    __slots__ = (
        "_mended",
        "_mended_at",
        "_place_of",
        "contents",
        "last_truncate",
        "numbers",
        "operations",
        "owner",
        "touching",
    )

    def __init__(self, initial: Pages) -> None:
        self.operations: list[FileOperation] = []
        self.numbers: list[int] = []
        self.contents: list[Pages] = [initial]
        self.touching: dict[int, list[int]] = defaultdict(list)
        """By page, the places of the writes that touch it."""
        self.owner: list[int] = [-1]
        """The place of the write that gave the file its length, after each operation."""
        self.last_truncate: list[int] = [-1]
        self._place_of: dict[int, int] = {}
        self._mended_at = -1
        self._mended: dict[tuple[tuple[int, ...], Torn | None], Pages] = {}
        """Contents from which something is lost, made lately: many losses have the same of one file."""

    def add(self, operation: FileOperation) -> None:
        """Take the next operation."""
        place, before = len(self.operations), self.contents[-1]
        self.operations.append(operation)
        self._place_of[operation.number] = place
        self.numbers.append(operation.number)
        if isinstance(operation, Truncate):
            self.contents.append(before.truncate(operation.size))
            self.owner.append(-1)
            self.last_truncate.append(place)
            return
        self.contents.append(_written(before, operation.offset, operation.data))
        self.owner.append(place if operation.end > before.size else self.owner[-1])
        self.last_truncate.append(self.last_truncate[-1])
        for page in pages_of(operation.offset, operation.end):
            self.touching[page].append(place)

    def content(self, upto: int, loss: Loss) -> Pages:
        """Give the content.

        Args:
            upto: How many of the recording's operations were begun.
            loss: Which of these are lost.
        """
        count = bisect.bisect_left(self.numbers, upto)
        lost = self._places(loss.numbers, count)
        if not lost:
            return self.contents[count]
        if self._mended_at != count:
            self._mended_at, self._mended = count, {}
        torn = loss.torn if loss.torn is not None and loss.torn.operation in self._place_of else None
        key = (tuple(lost), torn)
        if key not in self._mended:
            self._mended[key] = _Mending(self, count, lost, torn).content()
        return self._mended[key]

    def _places(self, numbers: frozenset[int], count: int) -> list[int]:
        """Find which of the first operations are among some."""
        if len(numbers) > count:
            return [place for place in range(count) if self.numbers[place] in numbers]
        places = [self._place_of[number] for number in numbers if number in self._place_of]
        return sorted(place for place in places if place < count)


class _Mending:
    """Makes one content from which something is lost."""

    def __init__(self, history: FileHistory, count: int, lost: list[int], torn: Torn | None) -> None:
        self._history = history
        self._count = count
        self._first = lost[0]
        self._lost = set(lost)
        self._torn = torn
        self._torn_place = None if torn is None else history.numbers.index(torn.operation, lost[0])

    def content(self) -> Pages:
        history, first, count = self._history, self._first, self._count
        if history.last_truncate[count] >= first:
            return self._replayed()
        kept = set(range(first, count)).difference(self._lost)
        if self._torn_place is not None:
            kept.add(self._torn_place)
        if len(self._lost) <= len(kept):
            base, concerned = history.contents[count], self._lost
        else:
            base, concerned = history.contents[first], kept
        pages = {page for place in concerned for page in self._pages_of(place)}
        return base.replace({page: self._page(page) for page in pages}, self._size(kept))

    def _write(self, place: int) -> Write:
        operation = self._history.operations[place]
        assert isinstance(operation, Write)
        return operation

    def _pages_of(self, place: int) -> range:
        operation = self._write(place)
        return pages_of(operation.offset, operation.end)

    def _kept_range(self, place: int) -> tuple[int, int]:
        """Which bytes of a write are on the disk."""
        operation = self._write(place)
        if place not in self._lost:
            return operation.offset, operation.end
        if self._torn is not None and operation.number == self._torn.operation:
            return self._torn.start, self._torn.end
        return operation.offset, operation.offset

    def _page(self, page: int) -> bytes:
        """Make one page: the writes to it in order, each without the sectors that a lost one has left stale."""
        content = bytearray(self._history.contents[self._first].page(page))
        stale: set[int] = set()
        low, high = page * PAGE, (page + 1) * PAGE
        places = self._history.touching.get(page, ())
        for place in places[bisect.bisect_left(places, self._first) :]:
            if place >= self._count:
                break
            _apply(self._write(place), self._kept_range(place), stale, content, low, high)
        return bytes(content)

    def _size(self, kept: Iterable[int]) -> int:
        """The file's length: the end of the last byte that is on the disk, or was only counted."""
        history = self._history
        owner = history.owner[self._count]
        if owner < self._first or (owner not in self._lost and not self._is_stale(_last(self._write(owner)), owner)):
            return history.contents[self._count].size
        size = history.contents[self._first].size
        for place in kept:
            operation = self._write(place)
            if place == self._torn_place and self._torn is not None and self._torn.length:
                size = max(size, operation.end)
                continue
            start, end = self._kept_range(place)
            if end <= size or end <= start:
                continue
            for sector in reversed(sectors_of(start, end)):
                if not self._is_stale(sector, place):
                    size = max(size, min(end, (sector + 1) * SECTOR))
                    break
        return size

    def _is_stale(self, sector: int, before: int) -> bool:
        for place in self._history.touching.get(sector * SECTOR // PAGE, ()):
            if place >= before:
                return False
            if place >= self._first and place in self._lost:
                low, operation = sector * SECTOR, self._write(place)
                if operation.offset < low + SECTOR and operation.end > low:
                    start, end = self._kept_range(place)
                    # What is kept of a torn write ends at borders of sectors: this one is there, or is not.
                    if not (start < end and start < low + SECTOR and end > low):
                        return True
        return False

    def _replayed(self) -> Pages:
        """The same, operation by operation: for files that were truncated meanwhile."""
        content = bytearray(self._history.contents[self._first].to_bytes())
        stale: set[int] = set()
        for place in range(self._first, self._count):
            operation = self._history.operations[place]
            if isinstance(operation, Truncate):
                if place not in self._lost:
                    size = operation.size
                    content = content[:size].ljust(size, b"\0")
                    stale = {sector for sector in stale if sector * SECTOR < size}
                continue
            kept = self._kept_range(place)
            fresh = [sector for sector in sectors_of(*kept) if kept[1] > kept[0] and sector not in stale]
            size = min(kept[1], (fresh[-1] + 1) * SECTOR) if fresh else 0
            if place == self._torn_place and self._torn is not None and self._torn.length:
                size = operation.end
            if size > len(content):
                content.extend(bytes(size - len(content)))
            _apply(operation, kept, stale, content, 0, max(len(content), operation.end))
        return Pages.of(bytes(content))


def _apply(operation: Write, kept: tuple[int, int], stale: set[int], content: bytearray, low: int, high: int) -> None:
    """Put what is kept of a write into a part of the file, and note the sectors that its loss leaves stale.

    Args:
        operation: The write.
        kept: The range of its bytes that are on the disk.
        stale: The sectors of which a lost write was to be the next version.
        content: The part of the file.
        low: Where it begins.
        high: Where it ends.
    """
    data, offset = operation.data, operation.offset
    start, end = max(kept[0], low), min(kept[1], high)
    if start < end:
        if stale:
            for sector in sectors_of(start, end):
                if sector not in stale:
                    left, right = max(start, sector * SECTOR), min(end, (sector + 1) * SECTOR)
                    content[left - low : right - low] = data[left - offset : right - offset]
        else:
            content[start - low : end - low] = data[start - offset : end - offset]
    if kept[0] == kept[1]:
        stale.update(sectors_of(max(operation.offset, low), min(operation.end, high)))
    elif kept != (operation.offset, operation.end):
        stale.update(_lost_sectors(operation, kept, low, high))


def _lost_sectors(operation: Write, kept: tuple[int, int], low: int, high: int) -> set[int]:
    """The sectors between two offsets that a write touches and that its kept part does not."""
    start, end = kept
    lost: set[int] = set()
    for left, right in ((max(operation.offset, low), min(start, high)), (max(end, low), min(operation.end, high))):
        if left < right:
            lost.update(sectors_of(left, right))
    return lost


def _last(operation: Write) -> int:
    return (operation.end - 1) // SECTOR


def _written(content: Pages, offset: int, data: bytes) -> Pages:
    """Write bytes over a content."""
    end = offset + len(data)
    changed: dict[int, bytes] = {}
    for number in pages_of(offset, end):
        low = number * PAGE
        start, stop = max(offset, low), min(end, low + PAGE)
        piece = data[start - offset : stop - offset]
        if len(piece) == PAGE:
            changed[number] = piece
        else:
            page = bytearray(content.page(number))
            page[start - low : stop - low] = piece
            changed[number] = bytes(page)
    return content.replace(changed, max(content.size, end))
