"""A store that another process holds: the start waits or fails at once, and says what is in its way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability
from pytest_ocap.examination import scenario
from pytest_ocap.faults.stores import StoreHeld
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, demand
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    SETTLED,
    check_nothing_left,
    check_service,
    check_settled,
    check_starts_again,
    service_checks,
    settled_store,
    store_path,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination

WHY = re.compile(r"another (?:process|program|daemon|connection)|\bheld\b|\bholds\b|in use|is open in", re.IGNORECASE)
"""What says more than that something is locked."""

FINDERS = re.compile(r"\b(?:fuser|lsof|lslocks)\b")
"""What tells who has a file open."""


class StoreLocked(Arrangement):
    """Another process holds the store; what is handed out is the fault, whose ``undo`` has it let go."""

    marker = "store_locked"

    @property
    def given(self) -> StoreHeld:
        """The fault, with its ``holder``."""
        return self.fault

    def in_the_home(self) -> None:
        """Have the store held."""
        situation = self.situation
        path = store_path(situation.driver, situation.store.home)
        self.fault = situation.arm(StoreHeld(path, self.values["how"]))


@scenario(
    Capability.SQLITE_STORE,
    Capability.STORE,
    edition="2026.2",
    checks={
        **SETTLED,
        "says-why": "a start that fails says that another process holds the store, and not only that it is locked",
        "reader-disturbs-nobody": "the start is ready although somebody reads the store",
        "names-holder": "a start that fails names the pid of the process that holds the store, or what finds it",
        "holder-unharmed": "the process that holds the store goes on, and was sent no signal",
        "nothing-left": NOTHING_LEFT,
        "starts-when-free": "once the store is let go, the next start is ready",
        "healthy-answer": "every subcluster answers then, or while somebody only reads the store",
        "state-kept": "every subcluster goes on where it was",
    },
)
def store_locked(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    how: str = "exclusive",
) -> None:
    """Start while another process is in a transaction of its own.

    One that is ``exclusive`` lets nobody read, one that is ``immediate`` lets nobody write; one that is ``shared`` only
    reads, and has to disturb nobody.
    """
    reads = how == "shared"
    examination.expect(
        *SETTLED,
        "reader-disturbs-nobody" if reads else "names-holder",
        "holder-unharmed",
        "nothing-left",
        "starts-when-free",
        *service_checks(driver),
    )
    store = settled_store(driver, home, store)
    fault = StoreHeld(store_path(driver, home), how)
    with examination.armed(fault):
        outcome = driver.start(home, timeout=driver.start_timeout)
        ready = check_settled(examination, driver, home, outcome, fault.path, WHY)
        told = outcome.describe()
        holder = fault.holder
        if reads:
            if examination.check("reader-disturbs-nobody", ready, told):
                check_service(examination, driver, store)
        else:
            named = re.search(rf"\b{holder.pid}\b", outcome.text) or FINDERS.search(outcome.text)
            examination.check("names-holder", ready or named is not None, f"wanted: {holder.pid}\n{told}")
        crew = [process for process in processes.using(home) if process.pid != holder.pid]
        if ready:
            demand("stop", driver.stop(home, timeout=ANSWER_SECONDS))
        harm = holder.harm()
        examination.check("holder-unharmed", harm is None, harm or f"pid {holder.pid} goes on")
    check_nothing_left(examination, driver, home, crew)
    if reads:
        examination.outcome("starts-when-free", driver.start(home, timeout=driver.start_timeout))
    else:
        check_starts_again(examination, driver, store, "starts-when-free")
