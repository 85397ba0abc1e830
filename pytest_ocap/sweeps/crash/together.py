"""What is lost together: what a file system does not write before something else.

Invariant: a loss that was closed here leaves a disk that the model allows, and closing it again adds nothing.

Under ``strict`` directories move in order (otherwise one could come to lie within itself), and nothing else depends on
anything.  Under the models of ext4: metadata reach the disk in the order of one journal, the two halves of a rename in
one transaction; an append needs the appends to the same file before it; a rename over another file needs what was
written to the new one (auto_da_alloc); bytes in freed blocks need the truncation that freed them.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.crash.models import Model
from pytest_ocap.sweeps.crash.operations import SetNames, Truncate, Write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ocap.sweeps.crash.models import Durability
    from pytest_ocap.sweeps.crash.operations import Operation


class Together:
    """The dependencies among what may be lost at one moment."""

    def __init__(self, operations: Sequence[Operation], durability: Durability, pending: Sequence[int]) -> None:
        """Look at a moment.

        Args:
            operations: All of the recording.
            durability: What the model says of them.
            pending: Those that may be lost, in order.
        """
        self._operations = operations
        self._durability = durability
        self._sequence: list[int] = []
        """What is lost from one on to the end: the moves of directories, or the journal."""
        self._halves: dict[int, int] = {}
        """Of a rename that is two operations, the first by the second."""
        self._appends: dict[int, list[int]] = defaultdict(list)
        self._renames: list[tuple[int, frozenset[int]]] = []
        self._truncates: list[Truncate] = []
        self._overwrites: list[Write] = []
        for number in pending:
            self._register(operations[number])

    def _register(self, operation: Operation) -> None:
        number = operation.number
        if self._durability.model is Model.STRICT:
            if isinstance(operation, SetNames) and operation.moves_directory:
                self._sequence.append(number)
            return
        if isinstance(operation, Write):
            if operation.extends:
                self._appends[operation.inode].append(number)
            if self._truncates:
                self._overwrites.append(operation)
            return
        if number and self._operations[number - 1].call == operation.call:
            self._halves[number] = number - 1
        self._sequence.append(number)
        before = self._durability.forced_out_by(number)
        if before:
            self._renames.append((number, before))
        if isinstance(operation, Truncate):
            self._truncates.append(operation)

    def close(self, dropped: frozenset[int], partial: int | None = None) -> frozenset[int] | None:
        """Add what cannot be on the disk when something is not.

        Args:
            dropped: The operations that are lost whole.
            partial: One of which a part is lost.

        Returns:
            All that is lost whole then; ``None`` when that would include the partial one.
        """
        missing = set(dropped) if partial is None else {*dropped, partial}
        before = -1
        while before != len(missing):
            before = len(missing)
            self._end_appends(missing)
            self._end_sequence(missing)
            self._keep_freed(missing)
        if partial is None:
            return frozenset(missing)
        return None if self._is_cut_off(partial, missing) else frozenset(missing - {partial})

    def _end_appends(self, missing: set[int]) -> None:
        for numbers in self._appends.values():
            first = self._first(numbers, missing)
            if first is not None:
                missing.update(numbers[first:])

    def _first(self, appends: list[int], missing: set[int]) -> int | None:
        """Find the place of the first append that is missing, and that others need."""
        if missing.isdisjoint(appends):
            return None
        places = (place for place, number in enumerate(appends) if number in missing)
        return next((place for place in places if not self._durability.is_doomed(appends[place])), None)

    def _end_sequence(self, missing: set[int]) -> None:
        ends = {*missing.intersection(self._sequence)}
        ends.update(number for number, before in self._renames if not missing.isdisjoint(before))
        if ends:
            first = min(ends)
            missing.update(self._sequence[bisect.bisect_left(self._sequence, self._halves.get(first, first)) :])

    def _keep_freed(self, missing: set[int]) -> None:
        for truncate in self._truncates:
            if truncate.number in missing:
                missing.update(write.number for write in self._overwrites if _is_in_freed(write, truncate))

    def _is_cut_off(self, partial: int, missing: set[int]) -> bool:
        """Say whether the partial one cannot be there even in part."""
        operation = self._operations[partial]
        assert isinstance(operation, Write)
        if any(t.number in missing and _is_in_freed(operation, t) for t in self._truncates):
            return True
        appends = self._appends.get(operation.inode, [])
        if not operation.extends or partial not in appends:
            return False
        first = self._first(appends, missing)
        return first is not None and appends[first] < partial


def _is_in_freed(write: Write, truncate: Truncate) -> bool:
    return write.inode == truncate.inode and write.number > truncate.number and write.end > truncate.size
