"""A daemon that makes no progress, told from one that is slow.

Invariant: a process counts as stopped (SIGSTOP, a debugger) only when it has not run in the meantime.  One that is
stopped whenever it is looked at may be one that somebody lets run in slices, and that gets on.
"""

from __future__ import annotations

import time

from kernel.daemon import outcome
from kernel.daemon.process import monotonic, state_of, switches_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel.daemon.home import Home

#: How long a process may be stopped before it counts as hung, in seconds.
STOPPED_PATIENCE = 0.3

#: How long a lock whose text names nobody, or a ready daemon without a socket, may be a passing state, in seconds.
SETTLING = 1.0

_LOOK = 0.1


class Standstill:
    """Notices that a process is stopped, and stays so."""

    def __init__(self, clock: Callable[[], float], patience: float = STOPPED_PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._since: float | None = None
        self._switches: int | None = None

    def look(self, pid: int) -> bool:
        """Look at the process; say whether it has been stopped for too long."""
        if state_of(pid) not in ("T", "t"):
            self._since = None
            return False
        switches = switches_of(pid)
        if self._since is None or switches != self._switches:
            self._since, self._switches = self._clock(), switches
        return self._clock() - self._since >= self._patience


def stands_still(pid: int, *, clock: Callable[[], float] = monotonic) -> bool:
    """Say whether a process is stopped, and stays so; takes as long as that takes to be known."""
    standstill = Standstill(clock)
    deadline = clock() + 2 * STOPPED_PATIENCE
    while state_of(pid) in ("T", "t") and clock() < deadline:
        if standstill.look(pid):
            return True
        time.sleep(_LOOK)
    return False


class Watch:
    """Notices that a start makes no progress."""

    def __init__(self, home: Home, timeout: float, clock: Callable[[], float]) -> None:
        self._home = home
        self._timeout = timeout
        self._clock = clock
        self._moved_at = clock()
        self._standstill = Standstill(clock)
        self._stopped = False
        self._looked_at = float("-inf")

    def moved(self) -> None:
        """Note a sign of progress."""
        self._moved_at = self._clock()

    def check(self, pid: int, phase: str | None, *, ready: bool = False, idle: float = 0.0) -> None:
        """Raise DaemonHungError (DaemonUnresponsiveError for a ready daemon) when there has been none for too long.

        Args:
            pid: The daemon.
            phase: Its phase.
            ready: Whether it is past its start.
            idle: For how long it is known to have made no progress, in seconds.
        """
        now = self._clock()
        if now - self._looked_at >= _LOOK:
            self._looked_at = now
            self._stopped = self._standstill.look(pid)
        observed = now - self._moved_at
        waited = observed >= self._timeout or (idle >= self._timeout and observed >= min(SETTLING, self._timeout))
        if self._stopped or waited:
            raise outcome.stuck(self._home, pid, phase, max(observed, idle), stopped=self._stopped, ready=ready)
