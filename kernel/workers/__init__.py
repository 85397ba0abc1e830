"""Worker processes: one for each running vat, confined, forked from one warm template process.

:class:`WorkerPool` starts the template when it is first needed, has it fork a process for each vat, and carries
frames to and fro. It does not know what frames mean, except those that tell of a worker's own state.
"""

from __future__ import annotations

from kernel.workers.pool import Worker, WorkerPool
from kernel.workers.types import Confinement, Limits, WorkerExit

__all__ = ["Confinement", "Limits", "Worker", "WorkerExit", "WorkerPool"]
