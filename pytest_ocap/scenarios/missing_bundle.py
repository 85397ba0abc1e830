"""A persisted store some of whose bundles cannot be read any more: the start goes on without them, and says so.

The report from which this project began: one subcluster whose bundle was gone made the whole kernel unbootable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import PLAIN, QUARANTINED, Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.bundles import BUNDLE_FAULTS
from pytest_ocap.logs import LogMark
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, demand
from pytest_ocap.scenarios.contracts import (
    UNTYPED,
    check_answers,
    listed,
    masked,
    names_path,
    names_subcluster,
    state_checks,
    store_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver, Setting, Subcluster
    from pytest_ocap.examination import Examination
    from pytest_ocap.faults.bundles import BundleFault
    from pytest_ocap.logs import Line


def choose(store: PersistedStore, missing: int) -> tuple[tuple[Subcluster, ...], tuple[Subcluster, ...]]:
    """Split a store's subclusters into healthy ones and ``missing`` bad ones, the first being healthy if possible."""
    count = len(store.subclusters)
    bad = {(1 + step) % count for step in range(missing)}
    healthy = tuple(sub for index, sub in enumerate(store.subclusters) if index not in bad)
    return healthy, tuple(sub for index, sub in enumerate(store.subclusters) if index in bad)


def break_bundles(subclusters: Sequence[Subcluster], how: str) -> tuple[tuple[BundleFault, ...], Setting]:
    """Make the fault ``how`` for each subcluster's bundle, and the setting in which the daemon has to be started."""
    faults = tuple(BUNDLE_FAULTS[how](subcluster.bundle) for subcluster in subclusters)
    setting = PLAIN
    for fault in faults[:1]:
        setting = fault.setting
    return faults, setting


class MissingBundle(Arrangement):
    """The bundles that are broken, whose subclusters they are, and how to mend them.

    Attributes:
        healthy: The subclusters whose bundles are as they were.
        missing: Those whose bundles are broken.
        faults: What was done to them, in the same order.
    """

    marker = "missing_bundle"

    def in_the_home(self) -> None:
        """Break the bundles."""
        self.healthy, self.missing = choose(self.situation.store, self.values["missing"])
        self.faults, setting = break_bundles(self.missing, self.values["how"])
        self.situation.run_under(setting)
        self.situation.missing = self.missing
        for fault in self.faults:
            self.situation.arm(fault)

    def restore(self) -> None:
        """Put every bundle back; may be called again."""
        for fault in self.faults:
            fault.undo()


@scenario(
    Capability.LAUNCH,
    Capability.PROBE,
    edition="2026.1",
    checks={
        "boots": "the start is ready, within its budget",
        "ping": "a ping is answered",
        "healthy-answer": "every subcluster whose bundle is there answers",
        "state-kept": "every subcluster whose bundle is there goes on where it was",
        "reported-quarantined": "every subcluster whose bundle is not there is listed as quarantined",
        "cause-legible": "the listing names the bundle that is not there, with a code of its own",
        "record-kept": "every subcluster is still listed",
        "warned-once": "the log has exactly one warning for each bundle that is not there",
        "warning-names-subcluster-and-bundle": "that warning names both the subcluster and its bundle",
        "repaired-on-return": "once its bundle is back, a subcluster answers after the next start",
        "repaired-state-kept": "it goes on where it was",
    },
)
def missing_bundle(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    subclusters: int = 3,
    missing: int = 1,
    how: str = "delete",
) -> None:
    """Start on a store with ``missing`` of ``subclusters`` bundles broken; then put them back, and start again."""
    lists, logs = has(driver, Capability.LIST), has(driver, Capability.LOG)
    quarantines = lists and has(driver, Capability.QUARANTINE)
    examination.expect(
        "boots",
        "ping",
        "healthy-answer",
        *state_checks(driver, "state-kept"),
        *(("reported-quarantined", "cause-legible") if quarantines else ()),
        *(("record-kept",) if lists else ()),
        *(("warned-once", "warning-names-subcluster-and-bundle") if logs else ()),
        "repaired-on-return",
        *state_checks(driver, "repaired-state-kept"),
    )
    store = store_of(driver, home, store, subclusters)
    healthy, bad = choose(store, missing)
    faults, setting = break_bundles(bad, how)
    with examination.armed(*faults):
        mark = LogMark(driver.log(home) if logs else None)
        start = driver.start(home, timeout=driver.start_timeout, setting=setting)
        if not examination.outcome("boots", start, within=driver.start_timeout):
            return
        if not examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS)):
            return
        check_answers(examination, driver, store, healthy)
        if lists:
            _check_listing(examination, driver, home, bad, quarantines=quarantines)
        if logs:
            _check_warnings(examination, mark, bad, home)
        demand("stop", driver.stop(home, timeout=ANSWER_SECONDS))
    again = driver.start(home, timeout=driver.start_timeout)
    if not again.ok:
        examination.outcome("repaired-on-return", again)
        return
    check_answers(examination, driver, store, bad, answer="repaired-on-return", state="repaired-state-kept")


def _check_listing(
    examination: Examination, driver: KernelDriver, home: Path, bad: Sequence[Subcluster], *, quarantines: bool
) -> None:
    entries, outcome = listed(driver, home)
    answer = outcome.describe()
    if quarantines:
        unreported = [sub.id for sub in bad if sub.id not in entries or entries[sub.id].state != QUARANTINED]
        examination.check(
            "reported-quarantined",
            not unreported,
            f"not listed as quarantined: {unreported}\n{answer}" if unreported else answer,
        )
        coded = has(driver, Capability.ERROR_CODES)
        illegible = [
            f"{sub.id}: {entries[sub.id].code}: {entries[sub.id].text}"
            if sub.id in entries
            else f"{sub.id}: not listed"
            for sub in bad
            if sub.id not in entries
            or masked(entries[sub.id].text)
            or not names_path(entries[sub.id].text, sub.bundle)
            or (coded and (entries[sub.id].code or "") in UNTYPED)
        ]
        examination.check(
            "cause-legible", not illegible, "\n".join(illegible) or "the listing names each missing bundle"
        )
    lost = [sub.id for sub in bad if sub.id not in entries]
    examination.check(
        "record-kept", not lost, f"no longer listed: {lost}\n{answer}" if lost else "each is still listed"
    )


def _check_warnings(examination: Examination, mark: LogMark, bad: Sequence[Subcluster], home: Path) -> None:
    warnings = mark.lines("warning")

    def about(subcluster: Subcluster) -> list[Line]:
        return [
            line
            for line in warnings
            if names_subcluster(line.text, subcluster.id, home) or names_path(line.text, subcluster.bundle)
        ]

    counts = {sub.id: len(about(sub)) for sub in bad}
    examination.check(
        "warned-once",
        all(count == 1 for count in counts.values()),
        f"warnings for each subcluster: {counts}\n{mark.tail()}",
    )
    silent = [
        sub.id
        for sub in bad
        if not any(
            names_subcluster(line.text, sub.id, home) and names_path(line.text, sub.bundle) for line in about(sub)
        )
    ]
    examination.check(
        "warning-names-subcluster-and-bundle",
        not silent,
        f"no warning names the subcluster and its bundle: {silent}\n{mark.tail()}"
        if silent
        else "each warning names both",
    )
