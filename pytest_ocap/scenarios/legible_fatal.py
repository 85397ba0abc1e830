"""A start that must fail: it fails at once, both the client and the log say why, and nothing is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, has, lacks
from pytest_ocap.examination import scenario
from pytest_ocap.faults.startup import START_FAULTS
from pytest_ocap.logs import LogMark
from pytest_ocap.scenarios.contracts import (
    NOTHING_LEFT,
    check_nothing_left,
    content,
    fatal_seconds,
    masked,
    masked_record,
    names_path,
    settled_store,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination
    from pytest_ocap.faults.startup import StartFault
    from pytest_ocap.logs import Line
    from pytest_ocap.persisted import PersistedStore


def _supported(driver: KernelDriver, *, cause: str = "store-corrupt", **_: Any) -> str | None:
    return lacks(driver, START_FAULTS[cause].needs)


class FatalStart(Arrangement):
    """A fault that no start gets over; what is handed out is the fault."""

    marker = "legible_fatal"

    @property
    def given(self) -> StartFault:
        """The fault."""
        return self.fault

    def in_the_home(self) -> None:
        """Arrange the fault; the home to start may be another because of it."""
        kind = START_FAULTS[self.values["cause"]]
        self.fault = self.situation.arm(kind(self.situation.driver, self.situation.store.home))
        self.situation.start_elsewhere(self.fault.home)


@scenario(
    edition="2026.1",
    checks={
        "fails-fast": "the start fails by itself, within 5 s",
        "client-names-cause": "the client says what is wrong",
        "client-names-path": "the client names the path with which something is wrong",
        "log-names-cause": "a fatal record of the log has both the cause and the path",
        "one-fatal-record": "the log has exactly one fatal record",
        "no-masked-text": "no message is lost behind an object's name",
        "left-alone": "what stands at that path is not touched",
        "nothing-left": NOTHING_LEFT,
        "starts-when-mended": "with the fault taken away, the next start is ready",
    },
    supported=_supported,
)
def legible_fatal(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    cause: str = "store-corrupt",
) -> None:
    """Start with the fault ``cause``; then take it away, and start again."""
    kind = START_FAULTS[cause]
    logged = kind.logged and has(driver, Capability.LOG)
    examination.expect(
        "fails-fast",
        "client-names-cause",
        "client-names-path",
        *(("log-names-cause", "one-fatal-record") if logged else ()),
        "no-masked-text",
        "left-alone",
        "nothing-left",
        "starts-when-mended",
    )
    settled_store(driver, home, store)
    fault = kind(driver, home)
    with examination.armed(fault):
        mark = LogMark(driver.log(fault.home) if logged else None)
        before = content(fault.path)
        outcome = driver.start(fault.home, timeout=driver.start_timeout)
        told = outcome.describe()
        fast = not outcome.ok and not outcome.timed_out and outcome.seconds <= fatal_seconds(driver)
        examination.check("fails-fast", fast, told)
        examination.check("client-names-cause", fault.words.search(outcome.text) is not None, told)
        examination.check("client-names-path", names_path(outcome.text, fault.path), f"wanted: {fault.path}\n{told}")
        fatal = mark.lines("fatal") if logged else []
        if logged:
            _check_log(examination, fault, fatal, mark)
        lost = [what for what in (masked(outcome.text), *map(masked_record, fatal)) if what]
        examination.check("no-masked-text", not lost, f"{lost[0]}\n{told}" if lost else "every message says something")
        examination.check("left-alone", content(fault.path) == before, f"{fault.path} is what it was: {before}")
        check_nothing_left(examination, driver, home)
    examination.outcome("starts-when-mended", driver.start(home, timeout=driver.start_timeout))


def _check_log(examination: Examination, fault: StartFault, fatal: list[Line], mark: LogMark) -> None:
    telling = [line for line in fatal if fault.words.search(line.text) and names_path(line.text, fault.path)]
    examination.check("log-names-cause", bool(telling), mark.tail())
    examination.check("one-fatal-record", len(fatal) == 1, f"{len(fatal)} fatal records\n{mark.tail()}")
