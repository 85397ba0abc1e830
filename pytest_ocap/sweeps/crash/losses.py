"""Which losses are tried at one moment: few enough to run, and most of what is known to find bugs.

Invariant: whatever is tried is possible under the model, and the order is always the same.  With a bound as large as
the number of the pending operations every subset of them is tried.

Between two syncs every operation is pending until the next one ends, so what could be lost a moment ago can be lost
now, together with the newest operation.  Therefore only losses that leave the newest in place, at least in part, are
tried where nothing became durable since: the others were tried before.
"""

from __future__ import annotations

import enum
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.crash.mending import Loss, Torn
from pytest_ocap.sweeps.crash.operations import SetNames, Write
from pytest_ocap.sweeps.crash.pages import PAGE, SECTOR
from pytest_ocap.sweeps.crash.together import Together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_ocap.sweeps.crash.models import Durability
    from pytest_ocap.sweeps.crash.operations import Operation


class Family(enum.IntEnum):
    """Why a loss is tried; the most telling first."""

    ALL_LOST = enum.auto()
    """Nothing but what is durable."""
    NOTHING_LOST = enum.auto()
    """As if the processes had been killed."""
    DATA_LOST = enum.auto()
    """All names are there, the bytes are not."""
    FILE_LOST = enum.auto()
    """The bytes of one file."""
    NAMES_LOST = enum.auto()
    """All bytes are there, the names are not: all, those of one directory, or the last of them."""
    TORN = enum.auto()
    """A write is there in part."""
    ONE_LOST = enum.auto()
    ONE_KEPT = enum.auto()
    """With the names or without."""
    SOME_LOST = enum.auto()
    """Two or more, up to the bound."""
    SOME_KEPT = enum.auto()


@dataclass(frozen=True, slots=True)
class Bound:
    """How far the search goes.

    Attributes:
        reordered: Of how many operations every subset is lost alone, and kept alone.
        window: Of how many of the newest pending operations these are taken: as many changes of files, and as many of
            names.
        tears: At how many places a write is torn, at most.
    """

    reordered: int = 2
    window: int = 6
    tears: int = 4

    def words(self) -> str:
        """Say it in a sentence."""
        return (
            "at each call that changes the disk: all or none of what is not durable; all bytes, all names, one file's "
            "bytes, one directory's names, the last names; each set of up to "
            f"{self.reordered} of the {self.window} newest changes of files and the {self.window} newest of names, "
            f"lost or kept alone; each write torn at up to {self.tears} borders of its sectors ({SECTOR} bytes) "
            f"and pages ({PAGE} bytes), and with its length but not its bytes"
        )


class Losses:
    """The losses to try at one moment.

    Attributes:
        left_out: How many of the bound's kind were not tried, for the window and the number of tears.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        durability: Durability,
        pending: list[int],
        newest: frozenset[int],
        bound: Bound,
    ) -> None:
        """Look at a moment.

        Args:
            operations: All of the recording.
            durability: What the model says of them.
            pending: Those that may be lost now, in order.
            newest: Those of them that the loss must leave in place, at least one; empty when any may be lost.
            bound: How far to go.
        """
        self._operations = operations
        self._durability = durability
        self._pending = pending
        self._newest = newest
        self._bound = bound
        self._together = Together(operations, durability, pending)
        self._names = [n for n in pending if isinstance(operations[n], SetNames)]
        names = set(self._names)
        self._data = [n for n in pending if n not in names]
        self._window = sorted([*self._data[-bound.window :], *self._names[-bound.window :]])
        self.left_out = self._count_left_out()

    def __iter__(self) -> Iterator[tuple[Family, Loss]]:
        seen: set[Loss] = set()
        for family, dropped, torn in self._proposals():
            if self._newest and self._newest <= dropped:
                continue
            partial = None if torn is None else torn.operation
            lost = self._together.close(dropped, partial)
            if lost is None or (self._newest and self._newest <= lost):
                continue
            loss = Loss(lost, torn)
            if loss not in seen:
                seen.add(loss)
                yield family, loss

    def _proposals(self) -> Iterator[tuple[Family, frozenset[int], Torn | None]]:
        everything, nothing = frozenset(self._pending), frozenset[int]()
        yield Family.ALL_LOST, everything - self._newest, None
        yield Family.ALL_LOST, everything, None
        yield Family.NOTHING_LOST, nothing, None
        yield from self._groups()
        yield from self._tears(frozenset(self._data), everything)
        singles = self._window if self._newest else sorted({*self._window, *self._names})
        for number in singles:
            yield Family.ONE_LOST, frozenset((number,)), None
        for number in sorted(self._newest or self._window):
            yield Family.ONE_KEPT, everything - {number}, None
            yield Family.ONE_KEPT, frozenset(self._data) - {number}, None
        for size in range(2, self._bound.reordered + 1):
            for subset in itertools.combinations(self._window, size):
                yield Family.SOME_LOST, frozenset(subset), None
                if not self._newest or not self._newest.isdisjoint(subset):
                    yield Family.SOME_KEPT, everything.difference(subset), None

    def _groups(self) -> Iterator[tuple[Family, frozenset[int], None]]:
        data, names = frozenset(self._data), frozenset(self._names)
        yield Family.DATA_LOST, data, None
        yield Family.NAMES_LOST, names, None
        files: dict[int, list[int]] = {}
        for number in self._data:
            files.setdefault(self._operations[number].inode, []).append(number)
        for numbers in list(files.values())[-self._bound.window :]:
            yield Family.FILE_LOST, frozenset(numbers), None
        directories: dict[int, list[int]] = {}
        for number in self._names:
            operation = self._operations[number]
            assert isinstance(operation, SetNames)
            for directory in sorted(operation.directories):
                directories.setdefault(directory, []).append(number)
        for numbers in list(directories.values())[-self._bound.window :]:
            yield Family.NAMES_LOST, frozenset(numbers), None
        for first in range(max(0, len(self._names) - self._bound.window), len(self._names)):
            yield Family.NAMES_LOST, frozenset(self._names[first:]), None

    # --- tears ---------------------------------------------------------------------------------------------------

    def _tears(self, data: frozenset[int], everything: frozenset[int]) -> Iterator[tuple[Family, frozenset[int], Torn]]:
        for number in self._window:
            operation = self._operations[number]
            if not isinstance(operation, Write):
                continue
            torn = list(self._torn(operation))
            if self._newest and number not in self._newest:
                # It was torn in each way when it was the newest; now it is torn beneath what came after.
                torn = torn[len(torn) // 2 :][:1]
            for tear in torn:
                for others in (frozenset[int](), data - {number}, everything - {number}):
                    yield Family.TORN, others, tear

    def _torn(self, operation: Write) -> Iterator[Torn]:
        start, end = operation.offset, operation.end
        borders = self._durability.borders_of(operation, _borders(operation, self._bound.tears), PAGE)
        for border in borders:
            yield Torn(operation.number, start, border)
        if borders and self._durability.may_lose_head(operation):
            yield Torn(operation.number, borders[0], end)
        if self._durability.may_be_zeros(operation):
            yield Torn(operation.number, start, start, length=True)
            for border in borders[:1]:
                yield Torn(operation.number, start, border, length=True)

    # --- what is not tried ---------------------------------------------------------------------------------------

    def _count_left_out(self) -> int:
        fixed = len(self._newest)
        pending, window = len(self._pending) - fixed, len(self._window) - len(self._newest.intersection(self._window))
        left_out = 0
        for size in range(1, self._bound.reordered + 1):
            left_out += math.comb(pending, size) - math.comb(window, size)
            rest = size - 1 if fixed else size
            left_out += math.comb(pending, rest) - math.comb(window, rest)
        if not fixed and self._bound.reordered:
            left_out -= len(set(self._names).difference(self._window))
        for number in self._newest or self._window:
            operation = self._operations[number]
            if isinstance(operation, Write):
                left_out += max(0, len(_all_borders(operation)) - self._bound.tears)
        return left_out


def _all_borders(operation: Write) -> range:
    """The borders of sectors within a write, as offsets in the file."""
    return range((operation.offset // SECTOR + 1) * SECTOR, operation.end, SECTOR)


def _borders(operation: Write, most: int) -> list[int]:
    """Choose borders: the first, the last, those of pages; evenly, when there are too many."""
    borders = _all_borders(operation)
    if len(borders) <= most:
        return list(borders)
    pages = [border for border in borders if border % PAGE == 0]
    chosen = {*_evenly([borders[0], borders[-1]], most), *_evenly(pages, most - 2)}
    missing = most - len(chosen)
    chosen.update(_evenly([border for border in borders if border not in chosen], missing))
    return sorted(chosen)


def _evenly(values: Sequence[int], most: int) -> Iterable[int]:
    if most <= 0:
        return []
    if len(values) <= most:
        return values
    return [values[(index * len(values)) // most] for index in range(most)]
