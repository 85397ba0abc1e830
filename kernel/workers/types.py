"""What the pool's callers give and get: bounds, the state of confinement, how a worker ended."""

from __future__ import annotations

from kernel.records import Record

MIB = 1024 * 1024


class Limits(Record):
    """Bounds for one worker.

    Attributes:
        memory_bytes: Address space of the process.
        frame_bytes: The longest frame, in either direction.
        log_bytes_per_delivery: What a vat may write to the log during one delivery; the rest is counted and dropped.
    """

    memory_bytes: int = 512 * MIB
    frame_bytes: int = 16 * MIB
    log_bytes_per_delivery: int = 256 * 1024


class Confinement(Record):
    """Whether the operating system refuses workers what they have no business with.

    Attributes:
        state: ``full``, or ``none`` where the platform lacks the means.
        reason: Why not, when it is ``none``.
        remedy: What would help, when it is ``none``.
    """

    state: str
    reason: str | None = None
    remedy: str | None = None


class WorkerExit(Record):
    """How a worker ended.

    Attributes:
        pid: Its process; None when it never had one.
        status: Its exit status; None when a signal ended it, or nobody saw.
        signal: The name of the signal that ended it, as ``SIGKILL``.
        reason: One sentence for a person.
        unavailable: Whether the machine could not give it a process, or took that away with all others: what the worker
            was to run is not to blame.
        from_outside: Whether it was killed, and by neither the kernel nor a fault of its own: the system ran out of
            memory, or a person did it.
    """

    pid: int | None
    status: int | None
    signal: str | None
    reason: str
    unavailable: bool = False
    from_outside: bool = False
