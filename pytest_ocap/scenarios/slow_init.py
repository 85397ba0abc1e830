"""A start that is slow, since the machine is busy: it is waited for, and nobody calls it hung or ends it."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from pytest_ocap.arranging import Arrangement
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.slowness import SlowStart
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_ends,
    check_service,
    locked_files,
    service_checks,
    settled_store,
)
from pytest_ocap.verdict import NotMeasuredError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Outcome
    from pytest_ocap.examination import Examination

STARTING = re.compile(
    r"\b(?:starting|starts? up|coming up|loading|initiali[sz]ing|not (?:yet )?ready)\b", re.IGNORECASE
)
HUNG = re.compile(
    r"\b(?:hangs?|hung|hanging|stuck|unresponsive|not respond\w*|no answer|died|dead|crashed|killed"
    r"|tim(?:ed?|ing)[ -]?out|database is locked)\b",
    re.IGNORECASE,
)

ATTEMPTS = 3
"""How often it is tried to slow a start down without making it stand still."""


class SlowInit(Arrangement):
    """A start that is slow; what is handed out is its slowness, once the daemon was started."""

    marker = "slow_init"
    slowness: SlowStart | None = None

    @property
    def given(self) -> SlowStart | None:
        """The slowness."""
        return self.slowness

    def around_the_start(self, start: Callable[[], Outcome]) -> Outcome:
        """Start the daemon slowly."""
        self.slowness = SlowStart(self.situation.home, start, self.values["seconds"])
        self.situation.arm(self.slowness)
        return self.slowness.client()


@scenario(
    checks={
        "first-caller-waits": "the client of the slow start ends when the daemon is ready, or says that it is starting",
        "second-caller-waits": "another client that starts it meanwhile ends in the same way",
        "never-called-hung": "nobody is told that the daemon hangs, is dead or could not be waited for",
        "ping": "a ping is answered",
        "healthy-answer": "every subcluster answers",
        "state-kept": "every subcluster goes on where it was",
        "nothing-left": NOTHING_LEFT,
    },
    edition="2026.2",
)
def slow_init(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    seconds: int = 1,
) -> None:
    """Let a start have the processor in slices only, for so many ``seconds``, and start again meanwhile."""
    examination.expect(
        "first-caller-waits",
        "second-caller-waits",
        "never-called-hung",
        "ping",
        *service_checks(driver),
        "nothing-left",
    )
    store = settled_store(driver, home, store)
    first, second = _start_slowly(examination, driver, home, seconds)
    for name, outcome in (("first-caller-waits", first), ("second-caller-waits", second)):
        fine = outcome.ok or (not outcome.timed_out and STARTING.search(outcome.text) is not None)
        examination.check(name, fine, outcome.describe())
    called = [found.group() for found in map(HUNG.search, (first.text, second.text)) if found]
    told = f"{first.describe()}\n{second.describe()}"
    examination.check("never-called-hung", not called, f"it was told {called}\n{told}" if called else told)
    Clock().wait_until(lambda: driver.ping(home, timeout=ANSWER_SECONDS).ok, driver.start_timeout, every=0.05)
    if not examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS)):
        return
    check_service(examination, driver, store)
    check_ends(examination, driver, home)


def _start_slowly(examination: Examination, driver: KernelDriver, home: Path, seconds: int) -> tuple[Outcome, Outcome]:
    """Start slowly and, meanwhile, start again; when the harness itself was kept waiting, nothing is concluded."""
    start = partial(driver.start, home, timeout=driver.start_timeout)
    longest = 0.0
    for _ in range(ATTEMPTS):
        fault = SlowStart(home, start, seconds)
        with examination.armed(fault):
            _wait_until_it_leads(driver, home, fault)
            second = start()
            first = fault.client()
        if (first.ok and second.ok) or not fault.overslept:
            return first, second
        longest = fault.longest
        driver.kill(home)
    raise NotMeasuredError(f"the machine is so busy that a pause of {longest:.1f} s was made, which is no slowness")


def _wait_until_it_leads(driver: KernelDriver, home: Path, fault: SlowStart) -> None:
    """Wait until the slow start has taken its lock: else the next may overtake it, and which is which is chance."""
    if has(driver, Capability.LOCK):
        Clock().wait_until(lambda: fault.over or bool(locked_files(home)), driver.start_timeout)
