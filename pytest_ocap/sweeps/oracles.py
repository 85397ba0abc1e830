"""The oracles: what has to hold after a fault, whatever daemon it is and wherever the fault struck.

Invariant: an oracle asks by the driver protocol and looks at files and processes of the home; it knows nothing of the
daemon.  A check may be failed only by what a daemon of whatever make could have avoided: what a client was never told
may have happened or not, and a start may be refused only while a fault lasts, never after it.  The store's own check
of its integrity comes in addition to these, never instead.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pytest_ocap import processes
from pytest_ocap.clients import ADOPTERS
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Capability, has
from pytest_ocap.persisted import ANSWER_SECONDS, bundles_of
from pytest_ocap.scenarios.contracts import (
    DATABASE_LOCKED,
    NOTHING_LEFT,
    SETTLE_SECONDS,
    check_nothing_left,
    masked,
)
from pytest_ocap.scenarios.crashed_init import ADVICE, PATIENCE_SECONDS
from pytest_ocap.sweeps.copies import copy_home, names_in
from pytest_ocap.sweeps.keeping import KEEPING, judge_keeping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import psutil

    from pytest_ocap.driver import Audit, AuditDriver, KernelDriver
    from pytest_ocap.examination import Examination
    from pytest_ocap.sweeps.ledger import Expectation, Ledger

BARE_ERRNO = re.compile(r"(?:(?i:error|fatal)\s*:\s*)?(?:\[Errno \d+\][^:]*|(?i:errno|code)?\s*-?\d+|E[A-Z]{2,}\d?)")
"""A message that is an errno, with its text at most: not what failed, nor where."""

GRACE_SECONDS = 6.0
"""How much longer than its own time-out a client may take to be back."""

ORACLES: Mapping[str, str] = {
    "client-ends": "every client that the fault met came back by itself, within 6 s after its own time-out",
    "failure-legible": "a client that failed says why: its error is not lost, and is more than an errno",
    "hang-told": "a daemon that stands still is told as such by the next start: which pid, and what to do",
    "forced-stop-clears": "a forced stop ends a daemon that stands still",
    "nothing-wedged": "what the fault left of the daemon either serves and can be stopped, or is gone by itself",
    "recovers": "when the fault is over, the next start is ready within its budget",
    "not-database-is-locked": "nobody is told that a database is locked",
    "ping": "a ping is answered",
    **KEEPING,
    "accepts-work": "a new subcluster can be launched, and answers",
    "stops": "the daemon can be stopped",
    "nothing-left": NOTHING_LEFT,
    "no-file-left": "no file lies in the home that an unharmed run would not leave there",
    "store-intact": "the store passes its own checks of integrity and of foreign keys",
    "audited": "the daemon's own check of its home finds nothing wrong but what is rightly set aside",
}
"""Every oracle, with what it requires, in words."""


@dataclass(frozen=True)
class Strike:
    """How a fault met a run of a workload.

    Attributes:
        hang: Whether it stopped processes, rather than killed them or let calls fail.
        client: Whether it struck the client of the start, which then cannot say anything.
        lasting: Whether it goes on until the daemon has ended.
        deaf: Whether the daemon cannot take connections meanwhile.
        stopped: The pids that it stopped.
        patience: How many seconds the client of the start was told to wait.
    """

    hang: bool = False
    client: bool = False
    lasting: bool = False
    deaf: bool = False
    stopped: tuple[int, ...] = ()
    patience: float = 0.0


@dataclass(frozen=True)
class Normal:
    """What an unharmed run is like: the names that it leaves in the home (numbers in them count as one)."""

    files: frozenset[str] = frozenset()

    def strangers(self, home: Path) -> list[str]:
        """Give what lies in a home beyond that."""
        return [name for name in names_in(home) if _plain(name) not in self.files]

    def lacking(self, home: Path) -> list[str]:
        """Give what a home lacks of that."""
        return sorted(self.files - {_plain(name) for name in names_in(home)})


def normal_of(home: Path) -> Normal:
    """Say what is normal from what an unharmed run has left in its home."""
    return Normal(frozenset(_plain(name) for name in names_in(home)))


def _plain(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def promised(driver: KernelDriver, strike: Strike | None) -> tuple[str, ...]:
    """Give the oracles that can be asked of this daemon after such a strike; None: no run was struck, only a home."""
    launches = has(driver, Capability.LAUNCH)
    probes = launches and has(driver, Capability.PROBE)
    lists = launches and has(driver, Capability.LIST)
    struck: dict[str, bool] = {}
    if strike is not None:
        struck = {
            "client-ends": True,
            "failure-legible": True,
            "hang-told": strike.hang,
            "forced-stop-clears": strike.hang and has(driver, Capability.FORCE_STOP),
            "nothing-wedged": not strike.hang,
        }
    made = {
        **struck,
        "recovers": True,
        "not-database-is-locked": True,
        "ping": True,
        "kept": lists,
        "stays-removed": lists and any(has(driver, removal) for removal in (Capability.PRUNE, Capability.TERMINATE)),
        "nothing-half-there": lists,
        "set-aside": lists and has(driver, Capability.QUARANTINE),
        "mended": lists and has(driver, Capability.QUARANTINE) and has(driver, Capability.REPAIR),
        "healthy-answer": probes,
        "state-kept": probes and has(driver, Capability.STATE),
        "accepts-work": launches,
        "stops": True,
        "nothing-left": True,
        "no-file-left": True,
        "store-intact": has(driver, Capability.SQLITE_STORE),
        "audited": has(driver, Capability.AUDIT),
    }
    return tuple(name for name, can in made.items() if can)


def judge_struck_run(examination: Examination, driver: KernelDriver, ledger: Ledger, strike: Strike) -> list[str]:
    """Judge the run that the fault met, and bring it to its end; gives all that clients were told.

    When this is back, no process of the run is left, and the fault is over.
    """
    home = ledger.store.home
    told = [operation.outcome.text for operation in ledger.operations if operation.outcome is not None]
    _judge_clients(examination, driver, ledger, strike)
    if strike.hang:
        told.append(_judge_hang(examination, driver, home, strike))
    else:
        told.append(_judge_remains(examination, driver, home, strike))
    processes.end(home)
    return told


def judge_recovery(
    examination: Examination, driver: KernelDriver, ledger: Ledger, normal: Normal | None, told: Sequence[str] = ()
) -> str:
    """Start on what a fault has left, and judge what has become of what was there.

    Args:
        examination: Records the checks.
        driver: The daemon.
        ledger: What clients know.
        normal: What an unharmed run leaves; None: this is one.
        told: What clients were told so far.

    Returns:
        What the daemon's own check of its home came to: ``sound``, ``unsound``, ``not-made``; nothing when it was not
        asked.
    """
    home, expectation = ledger.store.home, ledger.expectation()
    again = driver.start(home, timeout=driver.start_timeout)
    locked = [text for text in (*told, again.text) if DATABASE_LOCKED.search(text)]
    examination.check("not-database-is-locked", not locked, "\n".join(locked) or "nobody was told so")
    if not examination.outcome("recovers", again, within=driver.start_timeout):
        return ""
    if not examination.outcome("ping", driver.ping(home, timeout=ANSWER_SECONDS)):
        return ""
    expected = examination.expected
    judge_keeping(examination, driver, home, expectation)
    if "accepts-work" in expected:
        _judge_work(examination, driver, home)
    crew = processes.using(home)
    if not examination.outcome("stops", driver.stop(home, timeout=ANSWER_SECONDS)):
        return ""
    check_nothing_left(examination, driver, home, crew)
    strangers = [] if normal is None else [name for name in normal.strangers(home) if not _is_log(driver, home, name)]
    examination.check("no-file-left", not strangers, "\n".join(strangers) or "nothing but what always lies there")
    if "store-intact" in expected:
        problems = store_problems(driver, home)
        examination.check("store-intact", not problems, "\n".join(problems) or "the store says that it is intact")
    return _judge_audit(examination, driver, home, expectation) if "audited" in expected else ""


def _judge_audit(examination: Examination, driver: KernelDriver, home: Path, expectation: Expectation) -> str:
    """Have the daemon's own means look at the home that it has left; gives what came of it."""
    outcome = cast("AuditDriver", driver).audit(home, timeout=ANSWER_SECONDS)
    if not outcome.ok:
        examination.waive("audited", outcome.describe())
        return "not-made"
    audit: Audit = outcome.value
    bad = {one.id for one in expectation.subclusters if one.id in expectation.bad and not one.bundle.exists()}
    right = audit.aside is None or bad - expectation.doubtful <= audit.aside <= bad
    detail = f"without bundle: {bad or 'none'}\n{outcome.describe()}"
    return "sound" if examination.check("audited", audit.sound and right, detail) else "unsound"


def _is_log(driver: KernelDriver, home: Path, name: str) -> bool:
    """Say whether a file is the log, or one that it was rotated to: trouble may be told where peace said nothing."""
    log = driver.log(home) if has(driver, Capability.LOG) else None
    return log is not None and (home / name).parent == log.parent and (home / name).name.startswith(log.name)


def _judge_clients(examination: Examination, driver: KernelDriver, ledger: Ledger, strike: Strike) -> None:
    endless, illegible = [], []
    # Of a daemon in the foreground, the start is the daemon itself: no client is there that could give up.
    unattended = strike.client or (strike.hang and getattr(driver, "foreground", False))
    for operation in ledger.failures:
        outcome, command = operation.outcome, operation.verb in ("start", "stop")
        if outcome is None or (unattended and operation.verb == "start"):
            continue  # it was killed or stopped itself
        late = operation.verb == "start" and outcome.seconds > strike.patience + GRACE_SECONDS
        excused = not command and (strike.hang or strike.deaf)  # then its own time-out is all that a client has
        if (outcome.timed_out and not excused) or late:
            endless.append(operation.describe())
        elif not outcome.timed_out and _illegible(outcome.text):  # one that was ended could say nothing
            illegible.append(operation.describe())
    examination.check("client-ends", not endless, "\n".join(endless) or "every client came back")
    examination.check("failure-legible", not illegible, "\n".join(illegible) or "whoever failed said why")


def _illegible(text: str) -> bool:
    return masked(text) is not None or BARE_ERRNO.fullmatch(text.strip()) is not None


def _judge_hang(examination: Examination, driver: KernelDriver, home: Path, strike: Strike) -> str:
    """Start a second time beside what stands still, then stop it by force; gives what the second start said."""
    # What adopts the orphans of a start is the harness's own, and waits for what stands still.
    crew = {*strike.stopped, *(process.pid for process in processes.using(home))} - ADOPTERS.keys()
    second = driver.start(home, timeout=PATIENCE_SECONDS)
    serves = second.ok and driver.ping(home, timeout=PATIENCE_SECONDS).ok
    named = any(re.search(rf"\b{pid}\b", second.text) for pid in crew)
    explained = not second.ok and named and ADVICE.search(second.text) is not None
    back = not second.timed_out and second.seconds <= PATIENCE_SECONDS + GRACE_SECONDS
    detail = f"stopped: {', '.join(map(str, strike.stopped))}; of the home: {sorted(crew)}\n{second.describe()}"
    examination.check("hang-told", back and (serves or explained), detail)
    if has(driver, Capability.FORCE_STOP):
        stop = driver.stop(home, timeout=ANSWER_SECONDS, force=True)
        # One that stands before it has taken its lock is in nobody's way, and known to nobody; and so is a client.
        unknown = strike.stopped if serves or strike.client else ()
        left = [process for process in _wait_for_the_end(home, unknown) if process.pid in crew]
        found = "\n".join(map(processes.describe, left))
        examination.check("forced-stop-clears", not left, f"{stop.describe()}\nleft: {found or 'nothing'}")
    return second.text


def _judge_remains(examination: Examination, driver: KernelDriver, home: Path, strike: Strike) -> str:
    """See to it that what is left serves and can be stopped, or goes by itself; gives what the stop said."""
    seconds = driver.start_timeout if strike.client else SETTLE_SECONDS
    clock = Clock()
    deadline = clock.now() + seconds
    while True:
        serves = driver.ping(home, timeout=ANSWER_SECONDS).ok
        left = [] if serves else processes.using(home)
        if serves or not left or clock.now() >= deadline:
            break
        clock.sleep(0.02)
    if not serves:
        found = "\n".join(map(processes.describe, left))
        examination.check("nothing-wedged", not left, found or "nothing of it is left")
        return ""
    stop = driver.stop(home, timeout=ANSWER_SECONDS)
    if not stop.ok and strike.lasting and has(driver, Capability.FORCE_STOP):
        stop = driver.stop(home, timeout=ANSWER_SECONDS, force=True)
    left = _wait_for_the_end(home)
    found = "\n".join(map(processes.describe, left))
    examination.check("nothing-wedged", stop.ok and not left, f"{stop.describe()}\nleft: {found or 'nothing'}")
    return stop.text


def _wait_for_the_end(home: Path, excused: Sequence[int] = ()) -> list[psutil.Process]:
    left = [process for process in processes.using(home) if process.pid not in excused]
    Clock().wait_until(lambda: not any(map(processes.alive, left)), SETTLE_SECONDS, every=0.01)
    return [process for process in left if processes.alive(process)]


def _judge_work(examination: Examination, driver: KernelDriver, home: Path) -> None:
    from pytest_ocap.driver import Subcluster

    bundle = bundles_of(home) / "afterwards.bundle"
    url = driver.make_bundle(bundle)
    outcome = driver.launch(home, url, timeout=ANSWER_SECONDS)
    if outcome.ok and has(driver, Capability.PROBE):
        identity, root = outcome.value
        outcome = driver.probe(home, Subcluster(identity, root, bundle, url), timeout=ANSWER_SECONDS)
    examination.outcome("accepts-work", outcome)


def store_problems(driver: KernelDriver, home: Path) -> list[str]:
    """Have SQLite check a copy of the store, with what lies beside it; gives what it finds."""
    store = driver.store(home)
    if store is None or not store.is_file():
        return [f"there is no store at {store}"]
    with copy_home(home) as copy:
        # The copy may be written to: a journal beside it is played back, as a start would.
        connection = sqlite3.connect(copy / store.relative_to(home))
        try:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            found += [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
        except sqlite3.DatabaseError as error:
            found = [f"{store}: {error}"]
        finally:
            connection.close()
    return found
