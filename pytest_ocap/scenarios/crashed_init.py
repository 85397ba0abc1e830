"""A daemon killed or stopped in the middle of its start: the next start recovers, or says what is in its way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_ocap import processes
from pytest_ocap.arranging import Arrangement
from pytest_ocap.driver import Capability, has
from pytest_ocap.examination import scenario
from pytest_ocap.faults.starts import InterruptedStart
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore
from pytest_ocap.scenarios.contracts import (
    DATABASE_LOCKED,
    NOTHING_LEFT,
    check_answers,
    check_ends,
    locked_files,
    settled_store,
    state_checks,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination


PATIENCE_SECONDS = 2.0
"""How long a client is told to wait for a daemon that hangs."""

BUDGET_SECONDS = PATIENCE_SECONDS + 6.0
"""Within which a client that was told to wait that long has to be back."""

ADVICE = re.compile(r"\b(?:stop|kill|restart|terminate|--force|SIGKILL|remedy|try)\b", re.IGNORECASE)

TAKING = ("home", "lock", "pidfile")
"""The phases in which a daemon, where it has them, is still taking its lock: from the next one on it must be held."""


def _supported(driver: KernelDriver, *, phase: str = "restore", **_: Any) -> str | None:
    if phase not in driver.phases:
        return f"driver {driver.name!r} has no phase {phase!r}; its phases are {', '.join(driver.phases)}"
    return None


class CrashedInit(Arrangement):
    """The start that was killed or stopped half way; what is handed out is that start."""

    marker = "crashed_init"

    @property
    def given(self) -> InterruptedStart:
        """The start."""
        return self.start

    def in_the_home(self) -> None:
        """Interrupt a start; clients are told to wait no longer for one that hangs."""
        situation, how = self.situation, self.values["how"]
        if how == "hang":
            situation.patience = PATIENCE_SECONDS
        self.start = situation.arm(
            InterruptedStart(
                situation.driver,
                situation.store.home,
                how=how,
                phase=self.values["phase"],
                patience=situation.patience,
                setting=situation.setting,
            )
        )


@scenario(
    Capability.PHASES,
    edition="2026.1",
    checks={
        "crash-reported": "the client of the killed start says that it failed, by itself",
        "names-pid": "the client of the next start names the pid of the daemon that hangs",
        "names-phase": "the client names the phase in which the start was interrupted",
        "says-what-to-do": "the client of the next start says what to do about the daemon that hangs",
        "within-budget": "the client of the next start is back within 6 s after its own time-out",
        "pid-file-early": "the pid file holds the daemon's pid as soon as the lock is taken",
        "lock-held-early": "a file of the home is locked from then on",
        "forced-stop-clears": "a forced stop ends the daemon that hangs",
        "not-database-is-locked": "nobody is told that a database is locked",
        "recovers": "the next start is ready, within its budget",
        "ping": "a ping is answered",
        "healthy-answer": "every subcluster answers",
        "state-kept": "every subcluster goes on where it was",
        "nothing-left": NOTHING_LEFT,
    },
    supported=_supported,
)
def crashed_init(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    *,
    store: PersistedStore | None = None,
    how: str = "kill",
    phase: str = "restore",
) -> None:
    """Interrupt a start in its phase ``phase``, then start again."""
    probes = has(driver, Capability.PROBE) and has(driver, Capability.LAUNCH)
    examination.expect(
        *(_kill_checks(driver) if how == "kill" else _hang_checks(driver, phase)),
        "not-database-is-locked",
        "recovers",
        "ping",
        *(("healthy-answer", *state_checks(driver, "state-kept")) if probes else ()),
        "nothing-left",
    )
    store = settled_store(driver, home, store)
    patience = driver.start_timeout if how == "kill" else PATIENCE_SECONDS
    fault = InterruptedStart(driver, home, how=how, phase=phase, patience=patience)
    answers = []
    with examination.armed(fault):
        if how == "kill":
            first = fault.client()
            answers.append(first.text)
            told = first.describe()
            examination.check("crash-reported", not first.ok and not first.timed_out, told)
            if "names-phase" in _kill_checks(driver):
                named = not first.ok and re.search(rf"\b{phase}\b", first.text) is not None
                examination.check("names-phase", named, f"wanted: {phase}\n{told}")
        else:
            answers.append(_examine_hang(examination, driver, home, fault, phase))
    again = driver.start(home, timeout=driver.start_timeout)
    answers.append(again.text)
    locked = [answer for answer in answers if DATABASE_LOCKED.search(answer)]
    examination.check(
        "not-database-is-locked", not locked, "\n".join(locked) or "nobody was told that the database is locked"
    )
    if not examination.outcome("recovers", again, within=driver.start_timeout):
        return
    examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS))
    if probes:
        check_answers(examination, driver, store, store.subclusters)
    check_ends(examination, driver, home)


def _kill_checks(driver: KernelDriver) -> tuple[str, ...]:
    return ("crash-reported", *(("names-phase",) if has(driver, Capability.PHASE_NAMES) else ()))


def _hang_checks(driver: KernelDriver, phase: str) -> tuple[str, ...]:
    after_lock = phase not in TAKING
    return (
        *(("pid-file-early",) if after_lock and has(driver, Capability.PIDFILE) else ()),
        *(("lock-held-early",) if after_lock and has(driver, Capability.LOCK) else ()),
        "names-pid",
        *(("names-phase",) if has(driver, Capability.PHASE_NAMES) else ()),
        "says-what-to-do",
        "within-budget",
        *(("forced-stop-clears",) if has(driver, Capability.FORCE_STOP) else ()),
    )


def _examine_hang(
    examination: Examination, driver: KernelDriver, home: Path, fault: InterruptedStart, phase: str
) -> str:
    """Look at a daemon that stands still, start another, stop the first by force; give what the second start said."""
    expected = _hang_checks(driver, phase)
    hung = fault.hung
    assert hung is not None, "the fault has fired"
    if "pid-file-early" in expected:
        path = driver.pid(home)
        assert path is not None, "the driver claims a pid file, and does not say where it lies"
        text = path.read_text().strip() if path.is_file() else "(no file)"
        examination.check(
            "pid-file-early", text == str(hung.pid), f"{path}: {text}; the daemon that hangs is {hung.pid}"
        )
    if "lock-held-early" in expected:
        held = locked_files(home)
        detail = f"locked while {processes.describe(hung)} hangs: {[path.name for path in held]}"
        examination.check("lock-held-early", bool(held), detail)
    second = driver.start(home, timeout=PATIENCE_SECONDS)
    told = second.describe()
    failed = not second.ok
    examination.check(
        "names-pid", failed and re.search(rf"\b{hung.pid}\b", second.text) is not None, f"wanted: {hung.pid}\n{told}"
    )
    if "names-phase" in expected:
        named = failed and re.search(rf"\b{phase}\b", second.text) is not None
        examination.check("names-phase", named, f"wanted: {phase}\n{told}")
    examination.check("says-what-to-do", failed and ADVICE.search(second.text) is not None, told)
    examination.check("within-budget", not second.timed_out and second.seconds <= BUDGET_SECONDS, told)
    if "forced-stop-clears" in expected:
        stop = driver.stop(home, timeout=ANSWER_SECONDS, force=True)
        alive = processes.alive(hung)
        examination.check("forced-stop-clears", stop.ok and not alive, f"still alive: {alive}\n{stop.describe()}")
    return second.text
