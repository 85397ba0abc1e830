"""A disk without room: what cannot be kept is not acknowledged, and all goes on when there is room again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, has, lacks
from pytest_ocap.examination import scenario
from pytest_ocap.faults.disks import SmallDisk
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, bundles_of, demand, start
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    SETTLED,
    check_ends,
    check_settled,
    check_starts_again,
    listed,
    masked,
    service_checks,
    settled_store,
    state_checks,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Outcome, Subcluster
    from pytest_ocap.examination import Examination
    from pytest_ocap.situation import Daemon

WHY = re.compile(r"no space|\broom\b|\bfull\b|ENOSPC", re.IGNORECASE)

MESSAGES = 20
"""How many messages are sent at most until one is refused: what is in a file already may have room for some more."""

NEEDS: dict[str, frozenset[Capability]] = {
    "start": frozenset(),
    "launch": frozenset({Capability.LAUNCH}),
    "message": frozenset({Capability.LAUNCH, Capability.PROBE}),
}
"""What each variant needs."""


class FullDisk(Arrangement):
    """A home on a disk that is full from the start, or once the daemon runs; what is handed out is the disk."""

    marker = "full_disk"

    @property
    def given(self) -> SmallDisk:
        """The disk, which ``free`` makes room on."""
        return self.disk

    def in_the_home(self) -> None:
        """Put the home on the disk."""
        self.disk = self.situation.arm(SmallDisk(self.situation.store.home, full=self.values["when"] == "start"))

    def after_the_start(self, daemon: Daemon) -> None:
        """Fill the disk, where that was not done before."""
        if self.values["when"] != "start" and daemon.outcome.ok:
            self.disk.fill()


def _supported(driver: KernelDriver, *, when: str = "start", **_: Any) -> str | None:
    return lacks(driver, NEEDS[when])


@scenario(
    edition="2026.2",
    checks={
        **SETTLED,
        "told": "what is refused for lack of room is refused by itself, within 10 s, in words that say so",
        "daemon-lives": "the daemon answers a ping although there is no room",
        "works-when-there-is-room": "with room again the same daemon does what it refused",
        "acknowledged-is-kept": "everything that was acknowledged is there after a kill and a start",
        "rolled-back": "nothing is there that was refused",
        "starts-when-mended": "with room again, the next start is ready",
        "healthy-answer": "every subcluster answers then",
        "state-kept": "every subcluster goes on where it was",
        "nothing-left": NOTHING_LEFT,
    },
    supported=_supported,
)
def full_disk(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    when: str = "start",
) -> None:
    """Start on a disk without room, or launch a subcluster or send messages when there is no room any more."""
    store = settled_store(driver, home, store)
    disk = SmallDisk(home, full=when == "start")
    with examination.armed(disk):
        if when == "start":
            _examine_start(examination, driver, store, disk)
        elif when == "launch":
            _examine_launch(examination, driver, store, disk)
        else:
            _examine_message(examination, driver, store, disk)
        check_ends(examination, driver, home)


def _examine_start(examination: Examination, driver: KernelDriver, store: PersistedStore, disk: SmallDisk) -> None:
    examination.expect(*SETTLED, "starts-when-mended", *service_checks(driver), "nothing-left")
    outcome = driver.start(store.home, timeout=driver.start_timeout)
    if check_settled(examination, driver, store.home, outcome, disk.home, WHY):
        demand("stop", driver.stop(store.home, timeout=ANSWER_SECONDS))
    disk.free()
    check_starts_again(examination, driver, store)


def _examine_launch(examination: Examination, driver: KernelDriver, store: PersistedStore, disk: SmallDisk) -> None:
    home, lists = store.home, has(driver, Capability.LIST)
    examination.expect(
        "told",
        "daemon-lives",
        "works-when-there-is-room",
        *(("acknowledged-is-kept", "rolled-back") if lists else ()),
        "nothing-left",
    )
    url = driver.make_bundle(bundles_of(home) / "new.bundle")
    start(driver, home)
    disk.fill()
    first = driver.launch(home, url, timeout=ANSWER_SECONDS)
    _check_refusal(examination, driver, home, first)
    disk.free()
    again = driver.launch(home, url, timeout=ANSWER_SECONDS)
    examination.outcome("works-when-there-is-room", again)
    _restart(driver, home)
    if lists:
        entries, answer = listed(driver, home)
        wanted = {sub.id for sub in store.subclusters} | {launch.value[0] for launch in (first, again) if launch.ok}
        told = f"acknowledged: {sorted(wanted)}\n{answer.describe()}"
        examination.check("acknowledged-is-kept", answer.ok and wanted <= set(entries), told)
        examination.check("rolled-back", answer.ok and set(entries) <= wanted, told)


def _examine_message(examination: Examination, driver: KernelDriver, store: PersistedStore, disk: SmallDisk) -> None:
    home, subcluster = store.home, store.subclusters[0]
    examination.expect(
        "told",
        "daemon-lives",
        *state_checks(driver, "acknowledged-is-kept"),
        "works-when-there-is-room",
        "nothing-left",
    )
    start(driver, home)
    disk.fill()
    outcomes = _until_refused(driver, home, subcluster)
    _check_refusal(examination, driver, home, outcomes[-1])
    driver.kill(home)  # before there is room: what was acknowledged cannot be made up for
    disk.free()
    start(driver, home)
    if has(driver, Capability.STATE):
        last = demand("probe", driver.probe(home, subcluster, timeout=ANSWER_SECONDS)).value
        kept = store.answers[subcluster.id] + sum(outcome.ok for outcome in outcomes)
        refused = sum(not outcome.ok for outcome in outcomes)  # what is not acknowledged may be kept or not
        examination.check(
            "acknowledged-is-kept",
            kept + 1 <= last <= kept + 1 + refused,
            f"{kept} messages were acknowledged, {refused} were not; the next answer was {last}",
        )
    disk.fill()
    _until_refused(driver, home, subcluster)
    disk.free()
    examination.outcome("works-when-there-is-room", driver.probe(home, subcluster, timeout=ANSWER_SECONDS))


def _until_refused(driver: KernelDriver, home: Path, subcluster: Subcluster) -> list[Outcome]:
    outcomes = [driver.probe(home, subcluster, timeout=ANSWER_SECONDS)]
    while outcomes[-1].ok and len(outcomes) < MESSAGES:
        outcomes.append(driver.probe(home, subcluster, timeout=ANSWER_SECONDS))
    return outcomes


def _check_refusal(examination: Examination, driver: KernelDriver, home: Path, outcome: Outcome) -> None:
    legible = not outcome.timed_out and masked(outcome.text) is None and WHY.search(outcome.text) is not None
    examination.check("told", outcome.ok or legible, outcome.describe())
    examination.outcome("daemon-lives", driver.ping(home, timeout=ANSWER_SECONDS))


def _restart(driver: KernelDriver, home: Path) -> None:
    """Kill the daemon, and start it again: what it had only in mind is lost."""
    driver.kill(home)
    start(driver, home)
