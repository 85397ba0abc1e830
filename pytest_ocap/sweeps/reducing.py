"""The least of several faults that still fails: delta debugging.

A fault that lasts strikes many calls; who wants to know why something fails wants to know which of them matter.  The
algorithm is *ddmin* of A. Zeller and R. Hildebrandt, *Simplifying and Isolating Failure-Inducing Input* (IEEE
Transactions on Software Engineering 28, 2002), with what is most often enough, the first fault alone, tried first.

Invariant: what it gives has been seen to fail.  Knows neither daemons nor what a fault is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")


@dataclass(frozen=True)
class Least(Generic[T]):
    """What was found.

    Attributes:
        faults: The faults, in their order.
        of: How many there were.
        tried: How many sets were tried.
        minimal: Whether it no longer fails when any one of them is left out; else the search ended too early to know.
    """

    faults: tuple[T, ...]
    of: int
    tried: int
    minimal: bool


class _SpentError(Exception):
    """As many sets have been tried as may be."""


def least_of(faults: Sequence[T], fails: Callable[[tuple[T, ...]], bool], most: int) -> Least[T] | None:
    """Find a smallest set of faults that still fails.

    Args:
        faults: All of them, in the order in which they strike.
        fails: Says whether a set of them, in that order, fails.
        most: How many sets may be tried; from 2 on.

    Returns:
        The set; None when even all of them do not fail, one by one, as the fault did that lasted.
    """
    known: dict[tuple[int, ...], bool] = {}

    def bad(chosen: tuple[int, ...]) -> bool:
        if chosen not in known:
            if len(known) >= most:
                raise _SpentError
            known[chosen] = fails(tuple(faults[place] for place in chosen))
        return known[chosen]

    every = tuple(range(len(faults)))
    found = every[:1]
    if not found:
        return None
    minimal = True
    if not bad(found):
        if not bad(every):
            return None
        found = every
        try:
            while smaller := next((part for part in _smaller(found) if bad(part)), None):
                found = smaller
        except _SpentError:
            minimal = False
            found = min((chosen for chosen, failed in known.items() if failed), key=len)
    return Least(tuple(faults[place] for place in found), len(faults), len(known), minimal)


def _smaller(chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Give the parts of a set that are tried in its place: its halves, then finer ones and the rest without each."""
    parts = 2
    while len(chosen) > 1:
        borders = [len(chosen) * number // parts for number in range(parts + 1)]
        pieces = [chosen[begin:end] for begin, end in pairwise(borders)]
        yield from pieces
        if parts > 2:
            yield from (tuple(place for place in chosen if place not in piece) for piece in pieces)
        if parts >= len(chosen):
            return
        parts = min(2 * parts, len(chosen))
