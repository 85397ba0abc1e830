"""A daemon killed alone, its workers not: they end, they are in nobody's way, and the next daemon goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.daemons import OrphanedWorkers
from pytest_ocap.persisted import PersistedStore, start
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_serves_and_ends,
    listens,
    locked_files,
    service_checks,
    settled_store,
    work,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination

ORPHAN_SECONDS = 2.0
"""Within which workers that lost their daemon have to have ended, when the next one is ready at the latest."""


class OrphanedWorker(Arrangement):
    """The workers that a killed daemon left behind; what is handed out is that fault."""

    marker = "orphaned_worker"

    @property
    def given(self) -> OrphanedWorkers:
        """The fault."""
        return self.orphans

    def in_the_home(self) -> None:
        """Start the daemon, have its subclusters work, and kill it alone."""
        situation = self.situation
        driver, store = situation.driver, situation.store
        start(driver, store.home, situation.setting)
        work(driver, store, [sub for sub in store.subclusters if sub not in situation.missing])
        self.orphans = situation.arm(OrphanedWorkers(driver, store.home, workers=self.values["workers"]))


@scenario(
    Capability.WORKERS,
    Capability.LAUNCH,
    Capability.PROBE,
    checks={
        "workers-hold-nothing": "no worker has the store, lock or socket open; without the daemon these are free",
        "recovers": "the next start is ready, within its budget, while the workers still stand where they stood",
        "orphans-end": "the workers have ended 2 s after the next start, or 2 s after they could go on",
        "ping": "a ping is answered",
        "healthy-answer": "every subcluster answers",
        "state-kept": "every subcluster goes on where it was when it had last answered",
        "nothing-left": NOTHING_LEFT,
    },
    edition="2026.2",
)
def orphaned_worker(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    workers: str = "running",
) -> None:
    """Kill a daemon whose workers are ``running``, or ``stopped`` so that they cannot notice, and start again."""
    examination.expect(
        "workers-hold-nothing",
        "recovers",
        "orphans-end",
        "ping",
        *service_checks(driver),
        "nothing-left",
    )
    store = settled_store(driver, home, store)
    start(driver, home)
    work(driver, store, store.subclusters)
    fault = OrphanedWorkers(driver, home, workers=workers)
    with examination.armed(fault):
        _check_holdings(examination, driver, home, fault)
        again = driver.start(home, timeout=driver.start_timeout)
        recovered = examination.outcome("recovers", again, within=driver.start_timeout)
        fault.resume()
        Clock().wait_until(lambda: not any(map(processes.alive, fault.workers)), ORPHAN_SECONDS)
        left = [processes.describe(worker) for worker in fault.workers if processes.alive(worker)]
        examination.check("orphans-end", not left, "\n".join(left) or f"{len(fault.workers)} workers have ended")
        if not recovered:
            return
        check_serves_and_ends(examination, driver, store)


def _check_holdings(examination: Examination, driver: KernelDriver, home: Path, fault: OrphanedWorkers) -> None:
    """Check that what was the daemon's alone is free: what workers held open, and what is locked or answered now."""
    held = list(fault.held)
    held += [f"locked though the daemon is gone: {path}" for path in locked_files(home)]
    path = driver.socket(home) if has(driver, Capability.SOCKET) else None
    if path is not None and listens(path):
        held.append(f"answered though the daemon is gone: {path}")
    names = ", ".join(str(worker.pid) for worker in fault.workers)
    examination.check("workers-hold-nothing", not held, "\n".join(held) or f"pid {names}: nothing of the home")
