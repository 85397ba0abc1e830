"""Many callers start the daemon at once: one comes up, and everybody gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap import clients, processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.crowds import Crowd
from pytest_ocap.listeners import TELLS, listener
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, start
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    SETTLE_SECONDS,
    check_ends,
    check_service,
    service_checks,
    settled_store,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psutil

    from pytest_ocap.driver import KernelDriver, Outcome
    from pytest_ocap.examination import Examination


def leave(driver: KernelDriver, home: Path, after: str) -> None:
    """Have the daemon of a home that is stopped leave it ``after`` a stop, as it is, or after it was killed."""
    if after == "kill":
        start(driver, home)
        driver.kill(home)


class ConcurrentStart(Arrangement):
    """The first start is made by many callers at once; what is handed out is the crowd."""

    marker = "concurrent_start"

    @property
    def given(self) -> Crowd:
        """The crowd."""
        return self.crowd

    def in_the_home(self) -> None:
        """Leave the home as it should be found."""
        leave(self.situation.driver, self.situation.store.home, self.values["after"])

    def around_the_start(self, start: Callable[[], Outcome]) -> Outcome:
        """Have everybody start; gives the outcome of the one who was back last."""
        self.crowd = self.situation.arm(Crowd(self.values["callers"], start))
        return self.crowd.calls[-1].outcome


@scenario(
    edition="2026.2",
    checks={
        "all-served": "every caller is told that the daemon is ready, and its ping is answered at once",
        "none-waits": "every caller is back within the budget of a start",
        "same-daemon": "every caller finds the same process behind the socket, or in the pid file",
        "one-daemon": "one daemon is left, 5 s after the last caller was back",
        "healthy-answer": "every subcluster answers",
        "state-kept": "every subcluster goes on where it was",
        "nothing-left": NOTHING_LEFT,
    },
)
def concurrent_start(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    callers: int = 8,
    after: str = "stop",
) -> None:
    """Start from ``callers`` places at once, on what a daemon left ``after`` its stop, or its kill."""
    told = has(driver, Capability.SOCKET) or has(driver, Capability.PIDFILE)
    examination.expect(
        "all-served",
        "none-waits",
        *(("same-daemon",) if told else ()),
        "one-daemon",
        *service_checks(driver),
        "nothing-left",
    )
    store = settled_store(driver, home, store)
    leave(driver, home, after)
    before = {process.pid for process in processes.using(home)}

    def look() -> tuple[bool, int | None]:
        return driver.ping(home, timeout=ANSWER_SECONDS).ok, daemon_of(driver, home) if told else None

    crowd = Crowd(callers, lambda: driver.start(home, timeout=driver.start_timeout), look)
    with examination.armed(crowd):
        outcomes = [call.outcome for call in crowd.calls]
        seen = [call.saw for call in crowd.calls]
        unserved = [
            f"ping answered: {ping}; start: {outcome.describe()}"
            for outcome, (ping, _) in zip(outcomes, seen, strict=True)
            if not (outcome.ok and ping)
        ]
        examination.check("all-served", not unserved, "\n".join(unserved) or f"{callers} callers were served")
        slowest = max(outcomes, key=lambda outcome: outcome.seconds)
        waited = slowest.timed_out or slowest.seconds > driver.start_timeout
        examination.check("none-waits", not waited, slowest.describe())
        if told:
            pids = {pid for _, pid in seen}
            examination.check("same-daemon", len(pids) == 1 and None not in pids, f"the callers found: {pids}")
        Clock().wait_until(lambda: len(_daemons(home, before)) <= 1, SETTLE_SECONDS, every=0.02)
        daemons = _daemons(home, before)
        listing = "\n".join(processes.describe(process) for process in daemons) or "none"
        examination.check("one-daemon", len(daemons) == 1, listing)
        if unserved:
            return
        check_service(examination, driver, store)
        check_ends(examination, driver, home)


def daemon_of(driver: KernelDriver, home: Path) -> int | None:
    """Give the pid of the process that listens on the daemon's socket, else what the pid file says."""
    path = driver.socket(home) if has(driver, Capability.SOCKET) and TELLS else None
    if path is not None:
        return listener(path, seconds=ANSWER_SECONDS)
    pid_file = driver.pid(home)
    try:
        return None if pid_file is None else int(pid_file.read_text())
    except (OSError, ValueError):
        return None


def _daemons(home: Path, before: set[int]) -> list[psutil.Process]:
    """Give the new processes that use the home and are nobody's child there; adopters and clients are our own."""
    import psutil

    ours = {*clients.ADOPTERS, *clients.RUNNING, *before}
    found = {process.pid: process for process in processes.using(home) if process.pid not in ours}
    roots = []
    for process in found.values():
        try:
            if process.ppid() not in found:
                roots.append(process)
        except psutil.Error:
            continue  # it has ended
    return roots
