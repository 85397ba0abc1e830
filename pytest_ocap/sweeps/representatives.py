"""Which cases stand for the others that are like them, and which are tried first.

Cases are of one sort when the same fault strikes calls that do the same to the same path.  Sorts differ; within one,
the 97th write to a log is much like the 96th.  Of each the 1st, the 2nd, the 4th, the 8th … are chosen, so that a sweep
comes by the beginning and by every order of magnitude, in time that grows with the logarithm of a workload's length.
No point is left out: one that has none of these has one case all the same.

Invariant: what is chosen depends on the cases and their order alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_ocap.sweeps.cases import Case


def representatives(cases: Iterable[Case]) -> list[Case]:
    """Choose the 1st, 2nd, 4th, 8th and so on of each sort, and the most telling case of a point without any.

    The order stays as it is.
    """
    every = list(cases)
    seen: Counter[tuple[str, ...]] = Counter()
    chosen: set[str] = set()
    for case in every:
        seen[case.sort] += 1
        if seen[case.sort].bit_count() == 1:
            chosen.add(case.id)
    struck = {case.point for case in every if case.id in chosen}
    for case in sorted(every, key=lambda case: KINDS.index(case.sweep)):
        if case.point not in struck:
            struck.add(case.point)
            chosen.add(case.id)
    return [case for case in every if case.id in chosen]


def most_telling_first(cases: Iterable[Case]) -> list[Case]:
    """Order cases so that a budget which ends early has seen one of each sort, then the second of each, and so on.

    The kinds of faults take turns.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    queues: dict[str, list[tuple[int, int, Case]]] = {kind: [] for kind in KINDS}
    for place, case in enumerate(cases):
        seen[case.sort] += 1
        queues[case.sweep].append((seen[case.sort], place, case))
    turns = [
        (turn, KINDS.index(kind), case)
        for kind, queue in queues.items()
        for turn, (_, _, case) in enumerate(sorted(queue, key=lambda entry: entry[:2]))
    ]
    return [case for _, _, case in sorted(turns, key=lambda entry: entry[:2])]
