"""The harness's own clock: budgets and waits that nobody can freeze.

Invariant: :meth:`Clock.now` runs on while freezegun or time-machine hold the process's time still.  freezegun
replaces every module attribute that is ``time.monotonic``, so the reading is ``clock_gettime(CLOCK_MONOTONIC)``,
which neither touches, bound when this module is imported.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Monotonic seconds, with a reading that a test may move forward."""

    def __init__(
        self,
        read: Callable[[int], float] = time.clock_gettime,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._read = read
        self._sleep = sleep
        self._offset = 0.0

    def __call__(self) -> float:
        """Give :meth:`now`, so that the clock can be passed where ``time.monotonic`` is expected."""
        return self.now()

    def now(self) -> float:
        """Give the seconds since some fixed moment; never goes back."""
        return self._read(time.CLOCK_MONOTONIC) + self._offset

    def advance(self, seconds: float) -> None:
        """Move the clock forward by so many seconds at once.

        Raises:
            ValueError: ``seconds`` is negative; a monotonic clock does not go back.
        """
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot be moved back by {-seconds} s")
        self._offset += seconds

    def sleep(self, seconds: float) -> None:
        """Sleep so many real seconds."""
        self._sleep(max(0.0, seconds))

    def wait_until(self, condition: Callable[[], bool], seconds: float, *, every: float = 0.005) -> bool:
        """Wait until the condition holds; say whether it did within so many seconds."""
        deadline = self.now() + seconds
        while not condition():
            if self.now() >= deadline:
                return False
            self.sleep(every)
        return True
