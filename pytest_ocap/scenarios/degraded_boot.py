"""A daemon booted on a store with exactly one missing bundle: everything else can be used as always."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, Subcluster, has
from pytest_ocap.examination import scenario
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, bundles_of
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_answers,
    check_nothing_left,
    names_subcluster,
    state_checks,
    store_of,
)
from pytest_ocap.scenarios.missing_bundle import MissingBundle, break_bundles, choose

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination


class DegradedBoot(Arrangement):
    """What ``missing_bundle`` arranges, with one bundle missing unless that marker says otherwise."""

    marker = "degraded_boot"

    @property
    def given(self) -> MissingBundle:
        """The missing bundle."""
        found: MissingBundle = self.situation.arranged(MissingBundle.marker)
        return found

    def in_the_home(self) -> None:
        """Have it arranged."""
        _ = self.given


@scenario(
    Capability.LAUNCH,
    Capability.PROBE,
    edition="2026.1",
    checks={
        "boots": "the start is ready, within its budget",
        "says-degraded": "the start's client names the subcluster that was set aside",
        "ping": "a ping is answered",
        "old-vats-answer": "every healthy subcluster answers",
        "state-kept": "every healthy subcluster goes on where it was",
        "new-launches": "a new subcluster can be launched",
        "new-answers": "the new subcluster answers",
        "stop-is-clean": "the stop's client says that it succeeded, within 10 s",
        "nothing-left": NOTHING_LEFT,
    },
)
def degraded_boot(
    examination: Examination, driver: KernelDriver, home: Path, *, store: PersistedStore | None = None
) -> None:
    """Start with one of three bundles missing, and use the daemon."""
    says = has(driver, Capability.QUARANTINE)
    examination.expect(
        "boots",
        *(("says-degraded",) if says else ()),
        "ping",
        "old-vats-answer",
        *state_checks(driver, "state-kept"),
        "new-launches",
        "new-answers",
        "stop-is-clean",
        "nothing-left",
    )
    store = store_of(driver, home, store, 3)
    healthy, bad = choose(store, 1)
    faults, setting = break_bundles(bad, "delete")
    with examination.armed(*faults):
        start = driver.start(home, timeout=driver.start_timeout, setting=setting)
        if not examination.outcome("boots", start, within=driver.start_timeout):
            return
        if says:
            silent = [sub.id for sub in bad if not names_subcluster(start.text, sub.id, home)]
            examination.check("says-degraded", not silent, f"wanted: {[sub.id for sub in bad]}\n{start.describe()}")
        examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS))
        check_answers(examination, driver, store, healthy, answer="old-vats-answer")
        bundle = bundles_of(home) / "new.bundle"
        url = driver.make_bundle(bundle)
        launched = driver.launch(home, url, timeout=ANSWER_SECONDS)
        if examination.outcome("new-launches", launched):
            identity, root = launched.value
            new = Subcluster(identity, root, bundle, url)
            examination.outcome("new-answers", driver.probe(home, new, timeout=ANSWER_SECONDS))
        crew = processes.using(home)
        examination.outcome("stop-is-clean", driver.stop(home, timeout=ANSWER_SECONDS), within=ANSWER_SECONDS)
        check_nothing_left(examination, driver, home, crew)
