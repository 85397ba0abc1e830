"""Answers that the kernel itself gives, for channels and services: what they did is known in this process only.

So an answer that the store loses is given again, for as long as the process lives.
"""

from __future__ import annotations

from kernel.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.engine.batch import Batch
    from kernel.engine.router import Router
    from kernel.engine.settlement import Settlement
    from kernel.events import Log
    from kernel.loop import Loop

_RETRY_SECONDS = 1.0
"""How long an answer that the store lost waits before it is given again."""


class Answers:
    """See the head of this module."""

    def __init__(self, batch: Batch, router: Router, loop: Loop, log: Log) -> None:
        self._batch = batch
        self._router = router
        self._loop = loop
        self._log = log

    def give(self, result: int | None, settlement: Settlement) -> None:
        """Settle the promise that somebody waits for, if there is one."""
        if result is None:
            return
        self._batch.if_lost(lambda _error: self._loop.call_later(_RETRY_SECONDS, self.give, result, settlement))
        try:
            with self._batch.unit():
                self._router.resolve(result, settlement)
        except StoreError as error:
            self._log.error("store.failed", error=error.to_json())
