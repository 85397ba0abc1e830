"""A daemon that dies right after it said that it is ready: nobody takes what it left behind for a daemon."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, cast

from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.daemons import DaemonDeath
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, start
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_serves_and_ends,
    masked,
    service_checks,
    settled_store,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, StatusDriver
    from pytest_ocap.examination import Examination

SIGNALS = {"kill": signal.SIGKILL, "crash": signal.SIGSEGV}
"""How the daemon dies: killed from outside, or of an error of its own in machine code."""

QUICK_SECONDS = 3.0
"""Within which a client has to know that there is no daemon: nobody has to be waited for."""

NOT_RUNNING = re.compile(
    r"\b(?:not|isn't|no longer|stopped|dead|died|nothing|nobody|no (?:\w+ )?(?:daemon|server|kernel|process))\b"
    r"|refused|unreachable",
    re.IGNORECASE,
)


class ReadyThenDies(Arrangement):
    """A daemon that was ready and is dead; what is handed out is its death."""

    marker = "ready_then_dies"

    @property
    def given(self) -> DaemonDeath:
        """The death."""
        return self.death

    def in_the_home(self) -> None:
        """Start the daemon and let it die."""
        situation = self.situation
        start(situation.driver, situation.store.home, situation.setting)
        self.death = situation.arm(
            DaemonDeath(situation.driver, situation.store.home, number=SIGNALS[self.values["how"]])
        )


@scenario(
    checks={
        "noticed-at-once": "a ping of the dead daemon fails, by itself and within 3 s",
        "status-not-fooled": "the daemon's own client says that it does not run, within 3 s",
        "restarts": "the next start is ready, within its budget",
        "ping": "a ping is answered",
        "healthy-answer": "every subcluster answers",
        "state-kept": "every subcluster goes on where it was",
        "nothing-left": NOTHING_LEFT,
    },
    edition="2026.2",
)
def ready_then_dies(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    how: str = "kill",
) -> None:
    """Start, let the daemon die as soon as it is ready, ask for it, and start again."""
    asks = has(driver, Capability.STATUS)
    examination.expect(
        "noticed-at-once",
        *(("status-not-fooled",) if asks else ()),
        "restarts",
        "ping",
        *service_checks(driver),
        "nothing-left",
    )
    store = settled_store(driver, home, store)
    start(driver, home)
    with examination.armed(DaemonDeath(driver, home, number=SIGNALS[how])):
        ping = driver.ping(home, timeout=ANSWER_SECONDS)
        noticed = not ping.ok and not ping.timed_out and ping.seconds <= QUICK_SECONDS
        examination.check("noticed-at-once", noticed, ping.describe())
        if asks:
            _check_status(examination, driver, home)
        if not examination.outcome(
            "restarts", driver.start(home, timeout=driver.start_timeout), within=driver.start_timeout
        ):
            return
        check_serves_and_ends(examination, driver, store)


def _check_status(examination: Examination, driver: KernelDriver, home: Path) -> None:
    status = cast("StatusDriver", driver).status(home, timeout=ANSWER_SECONDS)
    legible = NOT_RUNNING.search(status.text) is not None and masked(status.text) is None
    quick = not status.timed_out and status.seconds <= QUICK_SECONDS
    examination.check("status-not-fooled", not status.ok and quick and legible, status.describe())
