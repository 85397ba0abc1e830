"""A daemon killed in the middle of its stop: whoever stops it is told, and the next start finds everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_ocap import processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, has, lacks
from pytest_ocap.examination import scenario
from pytest_ocap.faults.daemons import KilledStop
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, start
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_serves_and_ends,
    masked,
    service_checks,
    settled_store,
    work,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination


def _supported(driver: KernelDriver, *, when: str = "asked", **_: Any) -> str | None:
    return lacks(driver, {Capability.SOCKET}) if when == "closed" else None


class KillAtStop(Arrangement):
    """A daemon that was killed in the middle of its stop; what is handed out is that stop."""

    marker = "kill_at_stop"

    @property
    def given(self) -> KilledStop:
        """The stop."""
        return self.stop

    def in_the_home(self) -> None:
        """Start the daemon, begin to stop it, and kill it."""
        situation = self.situation
        self.stop = situation.arm(
            KilledStop(situation.driver, situation.store.home, when=self.values["when"], setting=situation.setting)
        )


@scenario(
    checks={
        "stop-ends": "the client of the stop ends, by itself and within 10 s",
        "stop-is-legible": "it succeeds, since no daemon is left, or says in words what went wrong",
        "recovers": "the next start is ready, within its budget",
        "ping": "a ping is answered",
        "healthy-answer": "every subcluster answers",
        "state-kept": "every subcluster goes on where it was when it had last answered",
        "nothing-left": NOTHING_LEFT,
    },
    supported=_supported,
    edition="2026.2",
)
def kill_at_stop(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    when: str = "asked",
) -> None:
    """Use a daemon, stop it, kill it when its stop has come as far as ``when``, and start again."""
    probes = has(driver, Capability.PROBE) and has(driver, Capability.LAUNCH)
    examination.expect(
        "stop-ends",
        "stop-is-legible",
        "recovers",
        "ping",
        *service_checks(driver),
        "nothing-left",
    )
    store = settled_store(driver, home, store)
    start(driver, home)
    if probes:
        work(driver, store, store.subclusters)
    crew = processes.using(home)
    fault = KilledStop(driver, home, when=when)
    with examination.armed(fault):
        stop = fault.client()
        examination.check("stop-ends", not stop.timed_out and stop.seconds <= ANSWER_SECONDS, stop.describe())
        examination.check("stop-is-legible", stop.ok or masked(stop.text) is None, stop.describe())
        again = driver.start(home, timeout=driver.start_timeout)
        if not examination.outcome("recovers", again, within=driver.start_timeout):
            return
        check_serves_and_ends(examination, driver, store, crew)
