"""The wall clock jumps, under a daemon that runs and between two of its runs: it is a matter of log lines only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.daemons import daemon_of
from pytest_ocap.faults.wall_clock import WallClock
from pytest_ocap.logs import LogMark
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, start
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_answers,
    check_serves_and_ends,
    service_checks,
    settled_store,
    state_checks,
)
from pytest_ocap.verdict import NotMeasuredError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

    from pytest_ocap.driver import KernelDriver, Outcome
    from pytest_ocap.examination import Examination

QUICK_SECONDS = 3.0
"""Within which a daemon answers whatever its clock says."""

RUNNING = re.compile(r"\b(?:already|running|runs|alive|in use|held)\b", re.IGNORECASE)
"""What a start may say of a daemon that it has found."""


class ClockStep(Arrangement):
    """A clock that has jumped since the home was used; what is handed out is the clock, for further jumps."""

    marker = "clock_step"

    @property
    def given(self) -> WallClock:
        """The clock."""
        return self.clock

    def in_the_home(self) -> None:
        """Have the daemon run under a clock that has jumped."""
        self.clock = self.situation.arm(WallClock(self.situation.store.home.parent, self.values["direction"]))
        self.situation.run_under(self.clock.setting)


@scenario(
    checks={
        "answers-at-once": "a daemon under which the clock has jumped answers a ping within 3 s",
        "goes-on": "every subcluster answers after the jump",
        "goes-on-where-it-was": "every subcluster goes on where it was before the jump",
        "not-taken-for-dead": "a start finds the daemon running, within 3 s, and it goes on being the daemon",
        "stop-is-clean": "the stop's client says that it succeeded, within 10 s",
        "starts-in-the-past": "a start with the clock before the home's last use is ready, within its budget",
        "log-goes-on": "lines are still written to the log",
        "ping": "a ping is answered",
        "healthy-answer": "every subcluster answers",
        "state-kept": "every subcluster goes on where it was",
        "nothing-left": NOTHING_LEFT,
    },
    edition="2026.2",
)
def clock_step(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    direction: str = "back",
) -> None:
    """Let the clock jump by a day under a daemon, stop it, and start again with a clock before that."""
    probes = has(driver, Capability.PROBE) and has(driver, Capability.LAUNCH)
    store = settled_store(driver, home, store)
    clock = WallClock(home.parent, direction)
    with examination.armed(clock):
        clock.right()
        before = LogMark(driver.log(home) if has(driver, Capability.LOG) else None)
        start(driver, home, clock.setting)
        logs = bool(before.lines())  # some daemons have nothing to say of a start
        examination.expect(
            "answers-at-once",
            *(("goes-on", *state_checks(driver, "goes-on-where-it-was")) if probes else ()),
            "not-taken-for-dead",
            "stop-is-clean",
            "starts-in-the-past",
            *(("log-goes-on",) if logs else ()),
            "ping",
            *service_checks(driver),
            "nothing-left",
        )
        daemon = daemon_of(driver, home)
        if not clock.reaches(daemon):
            raise UnsupportedError(f"the clock of {processes.describe(daemon)} cannot be moved: it preloads no library")
        mark = LogMark(before.path)
        clock.jump()
        examination.outcome("answers-at-once", driver.ping(home, timeout=ANSWER_SECONDS), within=QUICK_SECONDS)
        if probes:
            check_answers(examination, driver, store, store.subclusters, answer="goes-on", state="goes-on-where-it-was")
        again = driver.start(home, timeout=driver.start_timeout, setting=clock.setting)
        _check_alone(examination, driver, home, daemon, again)
        examination.outcome("stop-is-clean", driver.stop(home, timeout=ANSWER_SECONDS), within=ANSWER_SECONDS)
        if direction == "forward":
            clock.right()
        later = driver.start(home, timeout=driver.start_timeout, setting=clock.setting)
        if not examination.outcome("starts-in-the-past", later, within=driver.start_timeout):
            return
        if logs:
            examination.check("log-goes-on", bool(mark.lines()), mark.tail())
        check_serves_and_ends(examination, driver, store)


def _check_alone(
    examination: Examination, driver: KernelDriver, home: Path, daemon: psutil.Process, start: Outcome
) -> None:
    """Check that a start has found the daemon: whether it then succeeds or says why not is a matter of taste."""
    spoken = start.ok or RUNNING.search(start.text) is not None
    quick = not start.timed_out and start.seconds <= QUICK_SECONDS
    try:
        now = daemon_of(driver, home)
    except NotMeasuredError as error:
        examination.check("not-taken-for-dead", False, f"{error}\n{start.describe()}")
        return
    detail = f"before: {processes.describe(daemon)}\nnow: {processes.describe(now)}\n{start.describe()}"
    examination.check("not-taken-for-dead", now == daemon and spoken and quick, detail)
