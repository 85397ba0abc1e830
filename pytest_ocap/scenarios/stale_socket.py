"""Something else where the daemon's socket belongs: dead things are replaced, other people's are left alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.sockets import SOCKET_FAULTS, LiveListener, SomebodysData
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, demand
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_answers,
    check_nothing_left,
    fatal_seconds,
    names_path,
    settled_store,
    state_checks,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination
    from pytest_ocap.faults.sockets import SocketFault


REPLACED = {
    "boots": "the start replaces what a dead daemon has left and is ready, within its budget",
    "ping": "a ping is answered",
    "healthy-answer": "every subcluster answers",
    "state-kept": "every subcluster goes on where it was",
    "stop-is-clean": "the stop's client says that it succeeded, within 10 s",
    "nothing-left": NOTHING_LEFT,
}
REFUSED = {
    "refused": "the start fails",
    "quickly": "it fails by itself, within 5 s",
    "names-path": "its client names the path of the socket",
    "names-owner": "its client names the pid of the process that listens there",
    "left-alone": "the other process still listens there and answers",
    "nothing-left": NOTHING_LEFT,
    "starts-when-free": "with the path free again, the next start is ready",
}
EITHER = {
    "replaced-or-refused": "the start is ready and a ping is answered; or it fails within 5 s and names the path",
    "nothing-lost": "what stood at the path is still somewhere in its directory, unchanged",
    "nothing-left": NOTHING_LEFT,
    "starts-when-free": "with the path free again, the next start is ready",
}


class StaleSocket(Arrangement):
    """What stands where the socket belongs; what is handed out is the fault that put it there."""

    marker = "stale_socket"

    @property
    def given(self) -> SocketFault:
        """The fault."""
        return self.fault

    def in_the_home(self) -> None:
        """Put it there."""
        path = self.situation.driver.socket(self.situation.store.home)
        assert path is not None, "the driver claims a socket, and does not say where it lies"
        self.fault = self.situation.arm(SOCKET_FAULTS[self.values["kind"]](path))


@scenario(Capability.SOCKET, edition="2026.1", checks=REPLACED | REFUSED | EITHER)
def stale_socket(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    kind: str = "dead",
) -> None:
    """Start with ``kind`` at the socket's path.

    What a dead daemon may have left (a dead socket, a dangling link) has to be replaced.  A live listener has to be
    refused by name, and left alone.  A file or a directory with content is no daemon's: the start may move it aside or
    refuse, by name; what it may not do is lose it.
    """
    path = driver.socket(home)
    assert path is not None, "the driver claims a socket, and does not say where it lies"
    store = settled_store(driver, home, store)
    fault = SOCKET_FAULTS[kind](path)
    if isinstance(fault, LiveListener):
        _examine_refusal(examination, driver, home, fault)
    elif isinstance(fault, SomebodysData):
        _examine_either(examination, driver, home, fault)
    else:
        _examine_replacement(examination, driver, store, fault)


def _examine_replacement(
    examination: Examination, driver: KernelDriver, store: PersistedStore, fault: SocketFault
) -> None:
    home = store.home
    probes = has(driver, Capability.PROBE) and has(driver, Capability.LAUNCH)
    answers = ("healthy-answer", *state_checks(driver, "state-kept")) if probes else ()
    examination.expect("boots", "ping", *answers, "stop-is-clean", "nothing-left")
    with examination.armed(fault):
        start = driver.start(home, timeout=driver.start_timeout)
        if not examination.outcome("boots", start, within=driver.start_timeout):
            return
        examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS))
        if probes:
            check_answers(examination, driver, store, store.subclusters)
        crew = processes.using(home)
        examination.outcome("stop-is-clean", driver.stop(home, timeout=ANSWER_SECONDS), within=ANSWER_SECONDS)
        check_nothing_left(examination, driver, home, crew)


def _examine_refusal(examination: Examination, driver: KernelDriver, home: Path, fault: LiveListener) -> None:
    examination.expect(*REFUSED)
    with examination.armed(fault):
        outcome = driver.start(home, timeout=driver.start_timeout)
        told = outcome.describe()
        examination.check("refused", not outcome.ok, told)
        quick = not outcome.timed_out and outcome.seconds <= fatal_seconds(driver)
        examination.check("quickly", quick, told)
        examination.check("names-path", names_path(outcome.text, fault.path), f"wanted: {fault.path}\n{told}")
        named = re.search(rf"\b{fault.owner}\b", outcome.text) is not None
        examination.check("names-owner", named, f"wanted: pid {fault.owner}\n{told}")
        alone = fault.untouched() and fault.answers()
        examination.check("left-alone", alone, f"{fault.path} {'is as it was' if alone else 'was changed or removed'}")
        if outcome.ok:
            driver.stop(home, timeout=ANSWER_SECONDS)
    check_nothing_left(examination, driver, home)
    examination.outcome("starts-when-free", driver.start(home, timeout=driver.start_timeout))


def _examine_either(examination: Examination, driver: KernelDriver, home: Path, fault: SomebodysData) -> None:
    examination.expect(*EITHER)
    with examination.armed(fault):
        outcome = driver.start(home, timeout=driver.start_timeout)
        told = outcome.describe()
        if outcome.ok:
            ping = driver.ping(home, timeout=ANSWER_SECONDS)
            examination.check("replaced-or-refused", ping.ok, f"{told}\nping: {ping.describe()}")
            demand("stop", driver.stop(home, timeout=ANSWER_SECONDS))
        else:
            by_name = names_path(outcome.text, fault.path) and outcome.seconds <= fatal_seconds(driver)
            examination.check("replaced-or-refused", by_name, f"wanted: {fault.path}\n{told}")
        where = fault.found()
        examination.check("nothing-lost", where is not None, f"what stood at {fault.path} is now {where or 'lost'}")
        check_nothing_left(examination, driver, home)
    examination.outcome("starts-when-free", driver.start(home, timeout=driver.start_timeout))
