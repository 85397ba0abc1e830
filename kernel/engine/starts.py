"""Which vats start at the same time: a bounded number, or many at once would cost each other their deadlines.

A vat's deadline runs from its turn on, and one that hangs keeps its place no longer than that.
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.engine.vat_process import VatProcess

MAX_STARTING = 32


class Starts:
    """The starts that are under way, and those that wait for their turn."""

    def __init__(self, begin: Callable[[VatProcess], object]) -> None:
        """Make an empty one; ``begin`` is called when it is a vat's turn."""
        self._begin = begin
        self._under_way: set[VatProcess] = set()
        self._waiting: deque[VatProcess] = deque()

    def add(self, process: VatProcess) -> None:
        """Begin a start now, or when it is its turn."""
        self._waiting.append(process)
        self._next()

    def over(self, process: VatProcess) -> None:
        """Note that a start has come to its end, good or bad.  Idempotent."""
        self._under_way.discard(process)
        self._next()

    def _next(self) -> None:
        while self._waiting and len(self._under_way) < MAX_STARTING:
            process = self._waiting.popleft()
            if not process.ended:
                self._under_way.add(process)
                self._begin(process)
