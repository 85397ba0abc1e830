"""Something else where the daemon's socket belongs: dead things are replaced, other people's are left alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_ocap.driver import Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.sockets import SOCKET_FAULTS, LiveListener
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, demand
from pytest_ocap.scenarios.contracts import (
    fatal_seconds,
    check_answers,
    check_nothing_left,
    names_path,
    settled_store,
    state_checks,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Outcome
    from pytest_ocap.examination import Examination
    from pytest_ocap.faults.sockets import SocketFault

KINDS = tuple(SOCKET_FAULTS)

REPLACED = ("boots", "ping", "healthy-answer", "state-kept", "stop-is-clean")
REFUSED = ("refused", "quickly", "names-path", "names-owner", "left-alone", "starts-when-free")


@scenario(Capability.SOCKET, checks=(*REPLACED, *REFUSED, "nothing-left"))
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
    refused by name.  A plain file or a directory is no daemon's: it may be replaced only when nothing is lost, so
    with content it is refused, and left alone.
    """
    path = driver.socket(home)
    assert path is not None, "the driver claims a socket, and does not say where it lies"
    store = settled_store(driver, home, store)
    fault = SOCKET_FAULTS[kind](path)
    if kind in ("dead", "dangling"):
        _examine_replacement(examination, driver, store, fault)
    else:
        _examine_refusal(examination, driver, home, fault)


def _examine_replacement(
    examination: Examination, driver: KernelDriver, store: PersistedStore, fault: SocketFault
) -> None:
    home = store.home
    probes = has(driver, Capability.PROBE) and has(driver, Capability.LAUNCH)
    examination.expect(
        "boots", "ping", *(("healthy-answer", *state_checks(driver, "state-kept")) if probes else ()), "stop-is-clean", "nothing-left",
    )  # fmt: skip
    with examination.armed(fault):
        if not examination.outcome(
            "boots", driver.start(home, timeout=driver.start_timeout), within=driver.start_timeout
        ):
            return
        examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS))
        if probes:
            check_answers(examination, driver, store, store.subclusters)
        examination.outcome("stop-is-clean", driver.stop(home, timeout=ANSWER_SECONDS))
        check_nothing_left(examination, driver, home)


def _examine_refusal(examination: Examination, driver: KernelDriver, home: Path, fault: SocketFault) -> None:
    live = isinstance(fault, LiveListener)
    examination.expect(
        "refused", "quickly", "names-path", *(("names-owner",) if live else ()), "left-alone", "starts-when-free", "nothing-left",
    )  # fmt: skip
    with examination.armed(fault):
        outcome = driver.start(home, timeout=driver.start_timeout)
        told = outcome.describe()
        examination.check("refused", not outcome.ok, told)
        examination.check("quickly", not outcome.timed_out and outcome.seconds <= fatal_seconds(driver), told)
        examination.check("names-path", names_path(outcome.text, fault.path), f"wanted: {fault.path}\n{told}")
        if isinstance(fault, LiveListener):
            named = re.search(rf"\b{fault.owner}\b", outcome.text) is not None
            examination.check("names-owner", named, f"wanted: pid {fault.owner}\n{told}")
        untouched = fault.untouched() and (not isinstance(fault, LiveListener) or fault.answers())
        examination.check(
            "left-alone", untouched, f"{fault.path} {'is as it was' if untouched else 'was changed or removed'}"
        )
        if outcome.ok:
            driver.stop(home, timeout=ANSWER_SECONDS)
    _examine_freed(examination, driver, home, outcome)


def _examine_freed(examination: Examination, driver: KernelDriver, home: Path, first: Outcome) -> None:
    again = driver.start(home, timeout=driver.start_timeout)
    examination.outcome("starts-when-free", again)
    if again.ok:
        demand("stop", driver.stop(home, timeout=ANSWER_SECONDS))
    check_nothing_left(examination, driver, home)
