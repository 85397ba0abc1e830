"""Faults: one small class each, which arranges one thing, proves that it is so, and undoes it.

Invariant: a fault that cannot show that it is in force says so (:meth:`Fault.fired` gives ``None``), and then nothing
is concluded from what the daemon does.  Faults know files, sockets and processes, and of the daemon only the driver
protocol.
"""

from __future__ import annotations

from typing import Protocol


class Fault(Protocol):
    """What every fault offers.  ``undo`` may be called at any time, also when ``arrange`` failed half way."""

    @property
    def id(self) -> str:
        """The fault's name, for reports."""
        ...

    def arrange(self) -> None:
        """Put the fault in place.

        Raises:
            UnsupportedError: This platform or this user cannot arrange it.
        """
        ...

    def fired(self) -> str | None:
        """Give the evidence that the fault is in force, or ``None``."""
        ...

    def undo(self) -> None:
        """Take the fault away and put back what was there."""
        ...
