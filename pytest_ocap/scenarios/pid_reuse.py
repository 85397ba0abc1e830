"""A pid file whose pid is now somebody else's: the daemon starts beside that process, and never touches it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability
from pytest_ocap.examination import scenario
from pytest_ocap.faults.pids import ReusedPid
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_ends,
    check_service,
    service_checks,
    settled_store,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination

NOT_RUNNING = re.compile(
    r"(?:not|isn't|n't|no longer) (?:\w+ )?(?:running|connect|answer)"
    r"|\bno (?:\w+ )*(?:daemon|process|server|status file)|nothing (?:to stop|runs)|already stopped"
    r"|refused|no such file|stale|gone|is dead",
    re.IGNORECASE,
)


class PidReuse(Arrangement):
    """The files of a killed daemon, whose pid is somebody else's; what is handed out is the fault."""

    marker = "pid_reuse"

    @property
    def given(self) -> ReusedPid:
        """The fault, with its ``bystander``."""
        return self.fault

    def in_the_home(self) -> None:
        """Arrange it."""
        situation = self.situation
        self.fault = situation.arm(ReusedPid(situation.driver, situation.store.home, self.values["kind"]))


@scenario(
    Capability.PIDFILE,
    edition="2026.2",
    checks={
        "boots": "the start is ready within its budget, whoever has the old pid",
        "ping": "a ping is answered",
        "healthy-answer": "every subcluster answers",
        "state-kept": "every subcluster goes on where it was",
        "pid-file-renewed": "the pid file names the bystander no more",
        "nothing-left": NOTHING_LEFT,
        "says-not-running": "a stop of a daemon that does not run says so, whoever has its old pid",
        "bystander-unharmed": "the process that has the pid goes on, and was sent no signal",
    },
)
def pid_reuse(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    kind: str = "other",
) -> None:
    """Start, and later stop what does not run, on files that name the pid of a process of ``kind``."""
    examination.expect(
        "boots",
        "ping",
        *service_checks(driver),
        "pid-file-renewed",
        "nothing-left",
        "says-not-running",
        "bystander-unharmed",
    )
    store = settled_store(driver, home, store)
    fault = ReusedPid(driver, home, kind)
    with examination.armed(fault):
        if examination.outcome("boots", driver.start(home, timeout=driver.start_timeout), within=driver.start_timeout):
            examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS))
            check_service(examination, driver, store)
            text = fault.pid_file.read_text().strip() if fault.pid_file.is_file() else "(no file)"
            renewed = text not in ("(no file)", str(fault.bystander.pid))
            examination.check("pid-file-renewed", renewed, f"{fault.pid_file}: {text}; not: {fault.bystander.pid}")
            check_ends(examination, driver, home)
            fault.leave()
            again = driver.stop(home, timeout=ANSWER_SECONDS)
            said = not again.timed_out and NOT_RUNNING.search(again.text) is not None
            examination.check("says-not-running", said, again.describe())
        harm = fault.bystander.harm()
        examination.check("bystander-unharmed", harm is None, harm or f"pid {fault.bystander.pid} goes on")
