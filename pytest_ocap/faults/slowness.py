"""A fault of the machine: it is so busy that a start gets the processor in slices only.

Invariant: the start is never made to stand still for as long as hangs are told by: each pause is short, and the start
gets on after each.  The proof is that the processes of the start were seen standing, again and again, before it was
over.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.clock import Clock
from pytest_ocap.faults.starts import StartedProcesses
from pytest_ocap.verdict import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psutil

    from pytest_ocap.driver import Outcome

PAUSE_SECONDS = 0.05
"""How long the start stands still at a time."""

SLICE_SECONDS = 0.004
"""How long it then may run."""

LOOK_SECONDS = 0.001
"""How often its processes are looked for before there are any."""

LEAST_PAUSES = 3
"""Fewer have slowed nothing down."""

OVERSLEPT_SECONDS = 0.2
"""A pause that was longer has been more than slowness, since the harness did not get the processor either."""

STAND_SECONDS = 0.5
"""How long a process may take to be stopped; on a busy machine it has to be given the processor for that, too."""

SETTLE_SECONDS = 5.0
"""How long it may take until a start has processes to slow down."""


class SlowStart:
    """A start that takes at least so many seconds, if there is enough in it to be slowed down."""

    id = "slow-start"

    def __init__(self, home: Path, start: Callable[[], Outcome], seconds: float) -> None:
        self.pauses = 0
        self.longest = 0.0
        self._start = start
        self._seconds = seconds
        self._undone = False
        self._clock = Clock()
        self._started = StartedProcesses(home)
        self._outcome: Outcome | None = None
        self._client = threading.Thread(target=self._run, daemon=True)
        self._slowing = threading.Thread(target=self._slow_down, daemon=True)

    @property
    def overslept(self) -> bool:
        """Whether a pause was so long that a hang may have been told rightly."""
        return self.longest > OVERSLEPT_SECONDS

    @property
    def over(self) -> bool:
        """Whether the start's client has ended."""
        return self._outcome is not None

    def arrange(self) -> None:
        """Begin the start, and wait until it has been slowed down a little, or is over.

        Raises:
            UnsupportedError: It succeeded before it could be slowed down.
        """
        self._client.start()
        self._slowing.start()
        self._clock.wait_until(lambda: self.pauses >= LEAST_PAUSES or not self._client.is_alive(), SETTLE_SECONDS)
        if self.pauses < LEAST_PAUSES and not self._client.is_alive() and self.client().ok:
            raise UnsupportedError(
                f"the start was over after {self.client().seconds:.3f} s: too soon to be slowed down"
            )

    def fired(self) -> str | None:
        """Say how often the start stood still; often enough to be slow, or until it was given up."""
        given_up = self._outcome is not None and not self._outcome.ok
        enough = self.pauses >= LEAST_PAUSES or (self.pauses > 0 and given_up)
        return f"{self.pauses} pauses of {PAUSE_SECONDS} s" if enough else None

    def client(self) -> Outcome:
        """Wait for the start's client, and give what it was told."""
        self._client.join()
        assert self._outcome is not None
        return self._outcome

    def undo(self) -> None:
        """Let the start go on at full speed, and wait for its client."""
        self._undone = True
        for thread in (self._slowing, self._client):
            if thread.ident is not None:
                thread.join()

    def _run(self) -> None:
        self._outcome = self._start()

    def _slow_down(self) -> None:
        slowed = 0.0  # while there was somebody to slow down: a start may have a helper first, and be long at it itself
        while self._client.is_alive() and not self._undone and slowed < self._seconds:
            self._started.look()
            crew = self._started.living()
            if crew:
                began = self._clock.now()
                self._pause(crew)
                self._clock.sleep(SLICE_SECONDS)
                slowed += self._clock.now() - began
            else:
                self._clock.sleep(LOOK_SECONDS)

    def _pause(self, crew: list[psutil.Process]) -> None:
        try:
            _signal(crew, signal.SIGSTOP)
            stood = self._clock.wait_until(lambda: any(map(processes.stopped, crew)), STAND_SECONDS, every=0.001)
            began = self._clock.now()
            self._clock.sleep(PAUSE_SECONDS)
        finally:
            _signal(crew, signal.SIGCONT)
        self.pauses += stood
        self.longest = max(self.longest, self._clock.now() - began)


def _signal(crew: list[psutil.Process], number: int) -> None:
    import psutil

    for process in crew:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue  # it has ended
