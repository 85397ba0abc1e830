"""Many callers at once.

Invariant: all of them are let go in one moment, and the proof is that each was on its way before any was back.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_ocap.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_ocap.driver import Outcome


class Call(NamedTuple):
    """One caller's call: when it began and ended (monotonic seconds), its outcome, and what the caller then saw."""

    began: float
    ended: float
    outcome: Outcome
    saw: Any


class Crowd:
    """Callers of one verb, each in a thread.

    Args:
        count: How many.
        verb: What each calls.
        look: What each does at once when it is back.
    """

    id = "crowd"

    def __init__(self, count: int, verb: Callable[[], Outcome], look: Callable[[], object] = lambda: None) -> None:
        self.calls: list[Call] = []
        self._verb = verb
        self._look = look
        self._clock = Clock()
        self._errors: list[Exception] = []
        self._together = threading.Barrier(count)
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(count)]

    def arrange(self) -> None:
        """Let all of them call, and wait until all are back."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def fired(self) -> str | None:
        """See that all calls overlap."""
        if len(self.calls) < len(self._threads):
            return None
        last, first = max(call.began for call in self.calls), min(call.ended for call in self.calls)
        return f"{len(self.calls)} calls began before the first ended" if last < first else None

    def undo(self) -> None:
        """Do nothing: a call that is over cannot be taken back."""

    def _call(self) -> None:
        try:
            self._together.wait()
            began = self._clock.now()
            outcome = self._verb()
            ended = self._clock.now()
            self.calls.append(Call(began, ended, outcome, self._look()))
        except Exception as error:  # noqa: BLE001 (no verb raises because of the daemon: it is told to who arranges)
            self._errors.append(error)
