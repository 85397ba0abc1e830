"""Worker processes: one for each running vat, confined, forked from one warm template process.

:class:`WorkerPool` starts the template when it is first needed, has it fork a process for each vat, and carries
frames to and fro. It does not know what frames mean, except those that tell of a worker's own state.
"""

from __future__ import annotations

from kernel.workers.types import Confinement, Limits, WorkerExit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.workers.pool import Worker, WorkerPool

__all__ = ["Confinement", "Limits", "Worker", "WorkerExit", "WorkerPool"]


def __getattr__(name: str) -> object:
    # Imported when it is asked for: the template is in this package too, and has no use for it.
    if name in ("Worker", "WorkerPool"):
        from kernel.workers import pool

        return getattr(pool, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
