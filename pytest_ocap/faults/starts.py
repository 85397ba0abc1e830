"""Faults of a start under way: the daemon is killed or stopped in the middle of it.

Invariant: the proof is what the process table shows: a process of this start was there, and has vanished or stands
still, without the harness having touched it.  One that lived too shortly to be seen was there when the failpoint noted
its pid before it struck.  What the client says proves nothing, since that is what is being judged.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.clients import ADOPTERS, FORKED, KILLED, UNTOLD, is_client
from pytest_ocap.clock import Clock
from pytest_ocap.driver import PLAIN, Interrupt

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

    from pytest_ocap.driver import KernelDriver, Outcome, Setting

SAMPLE_SECONDS = 0.004
"""How often the process table is looked at while a start is under way."""

SETTLE_SECONDS = 5.0
"""How long an interrupted start may take to come to its end or its stand."""


class StartedProcesses:
    """The processes that a start brings into being, as they are seen from now on; its client is none of them.

    One that shows a title has no environment to look at, and is known by whom it descends from.
    """

    def __init__(self, home: Path) -> None:
        self.seen: dict[int, psutil.Process] = {}
        self._home = os.fspath(home)
        self._known = _pids()

    def look(self) -> None:
        """Take in what is new."""
        import psutil

        adopting = self._home in ADOPTERS.values()
        for pid in _pids() - self._known:
            try:
                process = psutil.Process(pid)
                parent = process.ppid()
                if is_client(pid, parent) or parent in UNTOLD:
                    continue  # the client, or not (yet) somebody that we know
                lineage = process.parents() if adopting else []
                adopted = any(ADOPTERS.get(parent.pid) == self._home for parent in lineage)
                environment = process.environ()
                if adopted or environment.get(processes.TOKEN) == self._home:
                    self.seen[pid] = process
                    self._known.add(pid)
                elif parent in FORKED:
                    continue  # it is about to become a program of its own, and has its client's environment until then
                elif _whole(lineage) if adopting else environment:
                    self._known.add(pid)  # a stranger, of whom there may be many: it never gets our mark any more
            except (psutil.Error, OSError):
                continue

    def living(self) -> list[psutil.Process]:
        """Give those that live."""
        return [process for process in self.seen.values() if processes.alive(process)]


class InterruptedStart:
    """A start whose daemon is killed (``how="kill"``) or stopped (``how="hang"``) when it begins a phase."""

    def __init__(
        self, driver: KernelDriver, home: Path, *, how: str, phase: str, patience: float, setting: Setting = PLAIN
    ) -> None:
        self.id = f"{how}-in-{phase}"
        self.how = how
        self.outcome: Outcome | None = None
        self._driver = driver
        self._home = home
        self._note = home.parent / "struck"
        self._interrupt = Interrupt(how, phase, self._note)
        self._patience = patience
        self._setting = setting
        self._clock = Clock()
        self._client: threading.Thread | None = None
        self._started = StartedProcesses(home)

    @property
    def hung(self) -> psutil.Process | None:
        """The process that stands still, when there is one."""
        return next((process for process in self._started.seen.values() if processes.stopped(process)), None)

    def arrange(self) -> None:
        """Begin the start and wait until it came to its end, or to its stand."""
        self._started = StartedProcesses(self._home)
        KILLED.pop(os.fspath(self._home), None)
        self._note.unlink(missing_ok=True)
        self._client = threading.Thread(target=self._start, daemon=True)
        self._client.start()
        deadline = self._clock.now() + self._patience + SETTLE_SECONDS
        while self._clock.now() < deadline:
            self._started.look()
            if self.how == "hang" and self.hung is not None:
                return
            if not self._client.is_alive():
                break
            self._clock.sleep(SAMPLE_SECONDS)
        self._clock.wait_until(
            lambda: not self._living() if self.how == "kill" else self.hung is not None, SETTLE_SECONDS
        )

    def fired(self) -> str | None:
        """Say which process stands still, or was there and has vanished."""
        if self.how == "hang":
            hung = self.hung
            return None if hung is None else f"stopped: {processes.describe(hung)}"
        gone = {*self._started.seen, *KILLED.get(os.fspath(self._home), ()), *self._noted()}
        if not gone or self._living():
            return None
        return f"killed: pid {', '.join(map(str, sorted(gone)))}"

    def client(self) -> Outcome:
        """Wait for the interrupted start's own client, and give what it was told."""
        assert self._client is not None, "the start was not begun"
        self._client.join()
        assert self.outcome is not None
        return self.outcome

    def undo(self) -> None:
        """End what is left of the start, and wait for its client."""
        processes.kill(self._started.seen.values())
        if self._client is not None:
            self._client.join()
        self._note.unlink(missing_ok=True)

    def _start(self) -> None:
        self.outcome = self._driver.start(
            self._home, timeout=self._patience, interrupt=self._interrupt, setting=self._setting
        )

    def _living(self) -> list[psutil.Process]:
        known = self._started.seen
        noted = [process for pid in self._noted() - known.keys() if (process := _process(pid)) is not None]
        return [process for process in (*known.values(), *noted) if processes.alive(process)]

    def _noted(self) -> set[int]:
        """Give the pids that the daemon's failpoint noted."""
        try:
            return {int(line) for line in self._note.read_text(encoding="ascii").split()}
        except FileNotFoundError:
            return set()


def _whole(lineage: list[psutil.Process]) -> bool:
    """Say whether a process's ancestors are known to the first; where one ends meanwhile, the rest is not."""
    return bool(lineage) and lineage[-1].ppid() == 0


def _pids() -> set[int]:
    import psutil

    return set(psutil.pids())


def _process(pid: int) -> psutil.Process | None:
    import psutil

    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
