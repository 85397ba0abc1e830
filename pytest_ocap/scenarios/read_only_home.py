"""A home that cannot be written: the start says so, with the path, and leaves nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, lacks
from pytest_ocap.examination import scenario
from pytest_ocap.faults.permissions import ReadOnly
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

WHY = re.compile(r"permission|read-?only|denied|not writ|cannot be writ|access|EACCES|EROFS|EPERM", re.IGNORECASE)


def fault_of(driver: KernelDriver, home: Path, what: str) -> ReadOnly:
    """Make the fault that is called ``what`` here."""
    return ReadOnly(store_path(driver, home) if what == "store" else home, mount=what == "file-system")


class ReadOnlyHome(Arrangement):
    """A home that cannot be written; what is handed out is the fault."""

    marker = "read_only_home"

    @property
    def given(self) -> ReadOnly:
        """The fault."""
        return self.fault

    def in_the_home(self) -> None:
        """Take away the permission."""
        situation = self.situation
        fault = fault_of(situation.driver, situation.store.home, self.values["what"])
        situation.run_under(fault.setting)
        self.fault = situation.arm(fault)


def _supported(driver: KernelDriver, *, what: str = "home", **_: Any) -> str | None:
    return lacks(driver, {Capability.STORE}) if what == "store" else None


@scenario(
    edition="2026.2",
    checks={
        **SETTLED,
        "settles": "the start is ready, and a ping and a message are answered, or it fails by itself within 5 s",
        "left-alone": "a start that fails changes nothing in what it could not write",
        "nothing-left": NOTHING_LEFT,
        "starts-when-mended": "once it can be written, the next start is ready",
        "healthy-answer": "every subcluster answers then",
        "state-kept": "every subcluster goes on where it was",
    },
    supported=_supported,
)
def read_only_home(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    what: str = "home",
) -> None:
    """Start where the home, its store, or the file system that it is on cannot be written."""
    examination.expect(*SETTLED, "left-alone", "nothing-left", "starts-when-mended", *service_checks(driver))
    store = settled_store(driver, home, store)
    fault = fault_of(driver, home, what)
    with examination.armed(fault):
        before = content(fault.path)
        outcome = driver.start(home, timeout=driver.start_timeout, setting=fault.setting)
        ready = check_settled(examination, driver, home, outcome, fault.path, WHY, works=store)
        after = content(fault.path)
        examination.check("left-alone", ready or after == before, f"{fault.path} was {before}, is {after}")
        check_ends(examination, driver, home, running=ready)
    check_starts_again(examination, driver, store)
