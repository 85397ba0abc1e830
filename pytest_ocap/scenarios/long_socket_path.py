"""A home whose socket has the longest path that there can be works like any other; one byte more is refused by name."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, Subcluster, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.deep_home import LONGEST_SOCKET_PATH, DeepHome
from pytest_ocap.faults.startup import SocketPathTooLong
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, bundles_of
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_answers,
    check_nothing_left,
    fatal_seconds,
    masked,
    names_path,
    settled_store,
    state_checks,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination

LIMIT = re.compile(r"\b(?:103|104|107|108)\b")
"""The limits of today's systems, with and without the NUL."""

BUNDLE = "deep"
"""The name of the bundle that is launched in the home far down."""


class LongSocketPath(Arrangement):
    """A home far down, which is started in place of the store's; what is handed out is the fault."""

    marker = "long_socket_path"

    @property
    def given(self) -> DeepHome:
        """The home."""
        return self.deep

    def in_the_home(self) -> None:
        """Make the home."""
        length = LONGEST_SOCKET_PATH + (self.values["length"] == "too-long")
        self.deep = self.situation.arm(DeepHome(self.situation.driver, self.situation.store.home, length))
        self.situation.start_elsewhere(self.deep.home)


WORKS = {
    "boots": "the start is ready, within its budget",
    "ping": "a ping is answered",
    "launches": "a subcluster can be launched",
    "answers": "the subcluster answers",
    "stop-is-clean": "the stop's client says that it succeeded, within 10 s",
    "boots-again": "the next start is ready, within its budget",
    "answers-again": "the subcluster answers",
    "state-kept": "the subcluster goes on where it was",
    "nothing-left": NOTHING_LEFT,
}
REFUSED = {
    "refused": "the start fails by itself, within 5 s",
    "names-path": "its client names the path of the socket",
    "names-limit": "its client names the number of bytes that the path may have",
    "no-masked-text": "its client says something where an error's text belongs",
    "not-cut-off": "nothing stands at the path's longest allowed beginning",
    "nothing-left": NOTHING_LEFT,
}


@scenario(Capability.SOCKET, checks=WORKS | REFUSED, edition="2026.2")
def long_socket_path(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    length: str = "longest",
) -> None:
    """Use a daemon whose socket has the ``longest`` path that there can be, or start one whose path is ``too-long``."""
    home = settled_store(driver, home, store).home
    if length == "longest":
        _examine_longest(examination, driver, home)
    else:
        _examine_refusal(examination, driver, home)


def _examine_longest(examination: Examination, driver: KernelDriver, base: Path) -> None:
    launches = has(driver, Capability.LAUNCH)
    probes = launches and has(driver, Capability.PROBE)
    examination.expect(
        "boots",
        "ping",
        *(("launches",) if launches else ()),
        *(("answers",) if probes else ()),
        "stop-is-clean",
        "boots-again",
        *(("answers-again", *state_checks(driver, "state-kept")) if probes else ()),
        "nothing-left",
    )
    deep = DeepHome(driver, base, LONGEST_SOCKET_PATH)
    with examination.armed(deep):
        home = deep.home
        start = driver.start(home, timeout=driver.start_timeout)
        if not examination.outcome("boots", start, within=driver.start_timeout):
            return
        examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS))
        store = PersistedStore(home, ())
        if launches:
            store = _launched(examination, driver, home, bundles_of(base))
        if probes and store.subclusters:
            answer = driver.probe(home, store.subclusters[0], timeout=ANSWER_SECONDS)
            examination.outcome("answers", answer)
            store.answers[store.subclusters[0].id] = 1
        examination.outcome("stop-is-clean", driver.stop(home, timeout=ANSWER_SECONDS), within=ANSWER_SECONDS)
        again = driver.start(home, timeout=driver.start_timeout)
        if not examination.outcome("boots-again", again, within=driver.start_timeout):
            return
        if probes and store.subclusters:
            check_answers(examination, driver, store, store.subclusters, answer="answers-again")
        crew = processes.using(home)
        driver.stop(home, timeout=ANSWER_SECONDS)
        check_nothing_left(examination, driver, home, crew)


def _launched(examination: Examination, driver: KernelDriver, home: Path, bundles: Path) -> PersistedStore:
    bundle = bundles / f"{BUNDLE}.bundle"
    url = driver.make_bundle(bundle)
    launched = driver.launch(home, url, timeout=ANSWER_SECONDS)
    if not examination.outcome("launches", launched):
        return PersistedStore(home, ())
    identity, root = launched.value
    return PersistedStore(home, (Subcluster(identity, root, bundle, url),))


def _examine_refusal(examination: Examination, driver: KernelDriver, home: Path) -> None:
    examination.expect(*REFUSED)
    fault = SocketPathTooLong(driver, home)
    with examination.armed(fault):
        outcome = driver.start(fault.home, timeout=driver.start_timeout)
        told = outcome.describe()
        quick = not outcome.timed_out and outcome.seconds <= fatal_seconds(driver)
        examination.check("refused", not outcome.ok and quick, told)
        examination.check("names-path", names_path(outcome.text, fault.path), f"wanted: {fault.path}\n{told}")
        rest = outcome.text.replace(os.fspath(fault.path), "")
        examination.check("names-limit", LIMIT.search(rest) is not None, f"wanted: {LONGEST_SOCKET_PATH}\n{told}")
        examination.check("no-masked-text", masked(outcome.text) is None, told)
        beginning = os.fsencode(fault.path)[:LONGEST_SOCKET_PATH]
        cut = os.path.lexists(beginning) and not os.path.isdir(beginning)
        examination.check("not-cut-off", not cut, f"{os.fsdecode(beginning)} {'was made' if cut else 'does not exist'}")
        check_nothing_left(examination, driver, fault.home)
