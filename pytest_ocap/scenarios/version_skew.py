"""A store of another version: a newer one is refused and left alone, an older one is migrated whole, or refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability
from pytest_ocap.examination import scenario
from pytest_ocap.faults.versions import VersionSkew
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    SETTLED,
    check_ends,
    check_settled,
    check_starts_again,
    content,
    service_checks,
    settled_store,
    store_path,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination
    from pytest_ocap.persisted import PersistedStore

WHY = re.compile(r"version|newer|older|upgrade|migrat|schema", re.IGNORECASE)


class SkewedVersion(Arrangement):
    """A store of another version; what is handed out is the fault."""

    marker = "version_skew"

    @property
    def given(self) -> VersionSkew:
        """The fault."""
        return self.fault

    def in_the_home(self) -> None:
        """Change the version."""
        situation = self.situation
        path = store_path(situation.driver, situation.store.home)
        self.fault = situation.arm(VersionSkew(path, self.values["which"]))


@scenario(
    Capability.SQLITE_STORE,
    Capability.STORE,
    edition="2026.2",
    checks={
        **SETTLED,
        "settles": "the start is ready, and a ping and a message are answered, or it fails by itself within 5 s",
        "newer-refused": "a store of a newer version is refused",
        "names-both-versions": "the start's client is told the store's version and the daemon's",
        "left-alone": "a store of a newer version is, byte for byte, what it was",
        "migrated-whole": "an older store has the daemon's version if the start is ready, else no byte has changed",
        "nothing-left": NOTHING_LEFT,
        "starts-when-mended": "with its own store the next start is ready",
        "healthy-answer": "every subcluster answers then",
        "state-kept": "every subcluster goes on where it was",
    },
)
def version_skew(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    which: str = "newer",
) -> None:
    """Start on a store whose ``user_version`` is one more, or one less, than what the daemon has written itself."""
    newer = which == "newer"
    examination.expect(
        *SETTLED,
        *(("newer-refused", "names-both-versions", "left-alone") if newer else ("migrated-whole",)),
        "nothing-left",
        "starts-when-mended",
        *service_checks(driver),
    )
    store = settled_store(driver, home, store)
    fault = VersionSkew(store_path(driver, home), which)
    with examination.armed(fault):
        before = content(fault.path)
        outcome = driver.start(home, timeout=driver.start_timeout)
        skewed = replace(store, answers=dict(store.answers))  # what it answers goes with it, when the store is put back
        ready = check_settled(examination, driver, home, outcome, fault.path, WHY, works=skewed)
        told = outcome.describe()
        after = content(fault.path)
        was = f"{fault.path} was {before}, is {after}"
        if newer:
            named = all(re.search(rf"\b{version}\b", outcome.text) for version in (fault.own, fault.other))
            examination.check("newer-refused", not ready, told)
            examination.check("names-both-versions", named, f"wanted: {fault.own} and {fault.other}\n{told}")
            examination.check("left-alone", after == before, was)
        else:
            version = fault.version()
            whole = version == fault.own if ready else after == before
            examination.check("migrated-whole", whole, f"its version is {version}; {was}")
        check_ends(examination, driver, home, running=ready)
    check_starts_again(examination, driver, store)
