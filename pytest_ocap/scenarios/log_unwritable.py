"""A log that cannot be written: the daemon says so and fails, or says so and goes on; it never dies of it unheard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability
from pytest_ocap.examination import scenario
from pytest_ocap.faults.logs import LOG_FAULTS, LogFault
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, start
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    SETTLED,
    check_ends,
    check_nothing_left,
    check_service,
    check_settled,
    check_starts_again,
    service_checks,
    settled_store,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination
    from pytest_ocap.situation import Daemon

WHY = re.compile(
    r"director|no space|full|permission|denied|read-?only|regular file|cannot (?:be )?(?:open|writ)"
    r"|ENOSPC|EACCES|EISDIR",
    re.IGNORECASE,
)

LATER = "later"
"""The variant in which the log is lost while the daemon runs."""


def fault_of(driver: KernelDriver, home: Path, how: str) -> LogFault:
    """Make the fault that is called ``how`` here."""
    path = driver.log(home)
    assert path is not None, "the driver claims a log, and does not say where it lies"
    return LOG_FAULTS["full" if how == LATER else how](path)


class LogUnwritable(Arrangement):
    """A log that cannot be written, from the start or once the daemon runs; what is handed out is the fault."""

    marker = "log_unwritable"

    @property
    def given(self) -> LogFault:
        """The fault."""
        return self.fault

    def in_the_home(self) -> None:
        """Arrange what is there from the start."""
        self.fault = fault_of(self.situation.driver, self.situation.store.home, self.values["how"])
        if self.values["how"] != LATER:
            self.situation.run_under(self.fault.setting)
            self.situation.arm(self.fault)

    def after_the_start(self, daemon: Daemon) -> None:
        """Arrange what comes later."""
        if self.values["how"] == LATER and daemon.outcome.ok:
            self.situation.arm(self.fault)


@scenario(
    Capability.LOG,
    edition="2026.2",
    checks={
        **SETTLED,
        "names-path": "the start's client is told the path of the log, whether the start fails or goes on without it",
        "says-why": "it is told in words what is wrong with the log",
        "still-answers": "a daemon that runs goes on answering when its log cannot be written any more",
        "healthy-answer": "every subcluster answers, once the log can be written or in spite of it",
        "state-kept": "every subcluster goes on where it was",
        "stop-is-clean": "the stop's client says that it succeeded, within 10 s",
        "nothing-left": NOTHING_LEFT,
        "starts-when-mended": "once the log can be written, the next start is ready",
    },
)
def log_unwritable(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    how: str = "directory",
) -> None:
    """Start with a log that cannot be written, or have it so ``later``: when the daemon runs."""
    store = settled_store(driver, home, store)
    fault = fault_of(driver, home, how)
    if how == LATER:
        _examine_later(examination, driver, store, fault)
        return
    examination.expect(*SETTLED, "nothing-left", "starts-when-mended", *service_checks(driver))
    with examination.armed(fault):
        outcome = driver.start(home, timeout=driver.start_timeout, setting=fault.setting)
        ready = check_settled(examination, driver, home, outcome, fault.path, WHY, told_anyway=True)
        check_ends(examination, driver, home, running=ready)
    check_starts_again(examination, driver, store)


def _examine_later(examination: Examination, driver: KernelDriver, store: PersistedStore, fault: LogFault) -> None:
    home = store.home
    examination.expect("still-answers", *service_checks(driver), "stop-is-clean", "nothing-left", "starts-when-mended")
    start(driver, home)
    with examination.armed(fault):
        check_service(examination, driver, store)
        examination.outcome("still-answers", driver.ping(home, timeout=ANSWER_SECONDS))
        crew = processes.using(home)
        examination.outcome("stop-is-clean", driver.stop(home, timeout=ANSWER_SECONDS), within=ANSWER_SECONDS)
        check_nothing_left(examination, driver, home, crew)
    examination.outcome("starts-when-mended", driver.start(home, timeout=driver.start_timeout))
