"""What was lost, in a line that a person can read.

Invariant: nothing that was lost goes without a word, though much of one kind may share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap.sweeps.crash.operations import Write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ocap.sweeps.calls import Call
    from pytest_ocap.sweeps.crash.mending import Torn
    from pytest_ocap.sweeps.crash.operations import Operation

LISTED = 6
"""How many losses a line names before it counts the rest."""

LATER_LISTED = 3
"""How many of the last operations of all, when all are lost, it names one by one."""


def say_lost(calls: Sequence[Call], dropped: Sequence[Operation], later: Sequence[Operation]) -> str:
    """Say which operations were lost whole.

    Args:
        calls: The recording's.
        dropped: Some among others that were kept.
        later: All from some moment on.
    """
    both = [*dropped, *later]
    before = len(dropped)
    while 0 < before < len(both) and both[before - 1].number + 1 == both[before].number:
        before -= 1
    dropped, later = both[:before], both[before:]
    if len(later) > LATER_LISTED:
        said = _gather(calls, dropped)
        end = f"all {len(later)} changes from call {later[0].call} on"
    else:
        said, end = _gather(calls, both), ""
    rest = len(said) - LISTED
    listed = ", ".join(said[:LISTED]) + (f", and {rest} more" if rest > 0 else "")
    return ", ".join(part for part in (listed, end) if part)


def _gather(calls: Sequence[Call], operations: Sequence[Operation]) -> list[str]:
    """Say each, the writes to one file together."""
    writes: dict[str | None, list[Operation]] = {}
    for operation in operations:
        if isinstance(operation, Write):
            writes.setdefault(calls[operation.call].path, []).append(operation)
    said = []
    for operation in operations:
        path = calls[operation.call].path
        if not isinstance(operation, Write) or len(writes[path]) == 1:
            said.append(operation.words)
        elif operation is writes[path][0]:
            said.append(f"{len(writes[path])} writes of {path or 'nameless files'}")
    return said


def say_torn(torn: Torn, operation: Operation) -> str:
    """Say which part of a write is there."""
    assert isinstance(operation, Write)
    if torn.start == torn.end:
        return f"length without bytes: {operation.words}"
    if torn.start > operation.offset:
        return f"torn: {operation.words} at {torn.start} (its end is there)"
    filled = ", filled up with zeros" if torn.length else ""
    return f"torn: {operation.words} at {torn.end} (its beginning is there{filled})"
