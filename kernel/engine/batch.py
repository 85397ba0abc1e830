"""When work becomes durable, and what may leave the kernel only after that (output validity).

Cranks and other units of work share one transaction of the store.  Replies and IO writes are handed to
:meth:`Batch.after_commit` and leave when the transaction is durable; when the disk fails instead, everything since
the last commit is undone, ``lost`` callbacks are told why, and the kernel forgets its workers, which have seen a
future that did not happen.
"""

from __future__ import annotations

from contextlib import contextmanager

from kernel.store import BatchLostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from kernel.errors import StoreError
    from kernel.events import Log
    from kernel.loop import Loop, TimerHandle
    from kernel.store import Store

_LINGER_SECONDS = 0.02
"""How long work that nobody waits for may stay uncommitted, so that it can share a commit with what follows."""

_GATHER_SECONDS = 0.005
"""How long an output may be held back while vats are at work, so that what they do can share its commit: some ten times
what a commit takes, so that under load the time goes into messages."""

_PAUSE_SECONDS = 0.001
"""How long an output is held back when nothing more gets done: a vat that works for long must not delay the others."""


class Batch:
    """The store's current transaction; see the head of this module."""

    def __init__(self, store: Store, loop: Loop, log: Log) -> None:
        self._store = store
        self._loop = loop
        self._log = log
        self._outputs: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._on_lost: list[Callable[[StoreError], object]] = []
        self._deciding = False
        self._held: TimerHandle | None = None
        self._held_until = 0.0
        self._linger: TimerHandle | None = None
        self._losses = 0
        self.at_work: Callable[[], bool] = lambda: False
        """Says whether more work is about to be done that could share the commit."""
        self.reset_workers: Callable[[StoreError], object] = lambda _error: None
        self.before_commit: Callable[[], object] = lambda: None
        """Called in a unit of its own before work becomes durable, with which it shares the commit."""
        self.keeps_failing: Callable[[StoreError], object] = lambda _error: None
        """Called when the store has failed again, and nothing became durable in between."""

    @contextmanager
    def unit(self) -> Iterator[None]:
        """Do a piece of work whole or not at all.

        Raises:
            StoreError: The store failed; everything since the last commit is undone and every waiter was told.
        """
        outputs, on_lost = len(self._outputs), len(self._on_lost)
        try:
            with self._store.unit():
                yield
        except BatchLostError as lost:
            self._lose(lost.error)
            raise lost.error from lost
        except BaseException:
            del self._outputs[outputs:], self._on_lost[on_lost:]
            raise
        if self._outputs:
            self._decide_soon()
        elif self._linger is None:
            self._linger = self._loop.call_later(_LINGER_SECONDS, self._commit_or_report)

    def after_commit(self, callback: Callable[..., object], *args: Any) -> None:
        """Call once the unit under way is durable; never if it is undone."""
        self._outputs.append((callback, args))

    def if_lost(self, callback: Callable[[StoreError], object]) -> None:
        """Call with the cause if the unit under way, or the next one, is undone because the store failed."""
        self._on_lost.append(callback)

    def commit(self) -> None:
        """Make everything durable now, then let the outputs leave.

        Raises:
            StoreError: The store failed; everything since the last commit is undone and every waiter was told.
        """
        for timer in (self._held, self._linger):
            if timer is not None:
                timer.cancel()
        self._held = self._linger = None
        dirty = self._store.dirty
        try:
            if dirty:
                with self._store.unit():
                    self.before_commit()
            self._store.commit()
        except BatchLostError as lost:
            self._lose(lost.error)
            raise lost.error from lost
        if dirty:
            self._losses = 0
        outputs, self._outputs = self._outputs, []
        self._on_lost.clear()
        for callback, args in outputs:
            try:
                callback(*args)
            except Exception as error:  # noqa: BLE001 - one output that fails must not hold back the others
                self._loop.report_unhandled(error)

    def _decide_soon(self) -> None:
        """Decide about the commit once what the unit has set going is under way, which is in the round after next."""
        if not self._deciding:
            self._deciding = True
            self._loop.call_soon(self._loop.call_soon, self._decide)

    def _decide(self) -> None:
        self._deciding = False
        if not self._outputs:
            return
        if not self.at_work():
            self._commit_or_report()
            return
        now = self._loop.time()
        if self._held is None:
            self._held_until = now + _GATHER_SECONDS
        else:
            self._held.cancel()
        self._held = self._loop.call_later(
            max(0.0, min(_PAUSE_SECONDS, self._held_until - now)), self._commit_or_report
        )

    def _commit_or_report(self) -> None:
        from kernel.errors import StoreError

        try:
            self.commit()
        except StoreError as error:
            self._log.error("store.failed", error=error.to_json())

    def _lose(self, error: StoreError) -> None:
        self._outputs.clear()
        on_lost, self._on_lost = self._on_lost, []
        self._log.error("store.batch-lost", error=error.to_json(), waiters=len(on_lost))
        self.reset_workers(error)
        for callback in on_lost:
            callback(error)
        self._losses += 1
        if self._losses > 1:
            self.keeps_failing(error)
