"""The oracles: what has to hold after a fault, whatever daemon it is and wherever the fault struck.

Invariant: an oracle asks by the driver protocol and looks at files and processes of the home; it knows nothing of the
daemon.  A check may be failed only by what a daemon of whatever make could have avoided: what a client was never told
may have happened or not, and a start may be refused only while a fault lasts, never after it.  The store's own check
of its integrity comes in addition to these, never instead.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, cast

from pytest_ocap import processes
from pytest_ocap.clients import ADOPTERS
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Capability, has
from pytest_ocap.persisted import ANSWER_SECONDS, bundles_of
from pytest_ocap.scenarios.contracts import (
    DATABASE_LOCKED,
    SETTLE_SECONDS,
    bare_errno,
    check_nothing_left,
    masked,
    remaining,
)
from pytest_ocap.scenarios.crashed_init import ADVICE, PATIENCE_SECONDS
from pytest_ocap.sweeps.copies import FAULTED, copy_home
from pytest_ocap.sweeps.keeping import judge_keeping
from pytest_ocap.sweeps.latecomers import judge_continued
from pytest_ocap.sweeps.spinning import spinning
from pytest_ocap.sweeps.writings import glued_lines, is_log, log_state, pid_file_problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import psutil

    from pytest_ocap.driver import Audit, AuditDriver, KernelDriver
    from pytest_ocap.examination import Examination
    from pytest_ocap.sweeps.ledger import Expectation, Ledger
    from pytest_ocap.sweeps.promises import Normal, Strike

GRACE_SECONDS = 6.0
"""How much longer than its own time-out a client may take to be back."""


def judge_struck_run(examination: Examination, driver: KernelDriver, ledger: Ledger, strike: Strike) -> list[str]:
    """Judge the run that the fault met, and bring it to its end; gives all that clients were told.

    When this is back, no process of the run is left, and the fault is over.
    """
    home = ledger.store.home
    told = [operation.outcome.text for operation in ledger.operations if operation.outcome is not None]
    _judge_clients(examination, driver, ledger, strike)
    if strike.lasting:
        busy = "\n".join(map(processes.describe, spinning(home)))
        examination.check("rests", not busy, busy or "whatever runs waits")
    if strike.hang:
        _judge_pid_file(examination, driver, home, strike, serves=False)
        told.append(_judge_hang(examination, driver, ledger, strike))
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
    _judge_log(examination, driver, home)
    judge_keeping(examination, driver, home, expectation)
    if "accepts-work" in expected:
        _judge_work(examination, driver, home)
    crew = processes.using(home)
    if not examination.outcome("stops", driver.stop(home, timeout=ANSWER_SECONDS)):
        return ""
    check_nothing_left(examination, driver, home, crew)
    strangers = [] if normal is None else [name for name in normal.strangers(home) if not is_log(driver, home, name)]
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


def _judge_log(examination: Examination, driver: KernelDriver, home: Path) -> None:
    if "log-kept" in examination.expected:
        lost = log_state(driver, home, home.parent / FAULTED).lost(driver, home)
        examination.check("log-kept", not lost, "\n".join(lost) or "every line is still there")
    if "log-legible" in examination.expected:
        glued = glued_lines(driver, home)
        examination.check("log-legible", not glued, "\n".join(glued) or "every line begins anew")


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
        elif not outcome.timed_out and (
            masked(outcome.text) or bare_errno(outcome.text)
        ):  # one that was ended could say nothing
            illegible.append(operation.describe())
    examination.check("client-ends", not endless, "\n".join(endless) or "every client came back")
    examination.check("failure-legible", not illegible, "\n".join(illegible) or "whoever failed said why")
    if "carries-on" in examination.expected:
        failed = "\n".join(operation.describe() for operation in ledger.failures)
        examination.check("carries-on", not failed, failed or "nobody noticed")


def _judge_hang(examination: Examination, driver: KernelDriver, ledger: Ledger, strike: Strike) -> str:
    """Start a second time beside what stands still, then stop it by force; gives what the second start said.

    Where that start has succeeded, what stood still is continued in between.
    """
    home = ledger.store.home
    # What adopts the orphans of a start is the harness's own, and waits for what stands still.
    crew = {*strike.stopped, *(process.pid for process in processes.using(home))} - ADOPTERS.keys()
    second = driver.start(home, timeout=PATIENCE_SECONDS)
    serves = second.ok and driver.ping(home, timeout=PATIENCE_SECONDS).ok
    named = any(re.search(rf"\b{pid}\b", second.text) for pid in crew)
    explained = not second.ok and named and ADVICE.search(second.text) is not None
    back = not second.timed_out and second.seconds <= PATIENCE_SECONDS + GRACE_SECONDS
    detail = f"stopped: {', '.join(map(str, strike.stopped))}; of the home: {sorted(crew)}\n{second.describe()}"
    examination.check("hang-told", back and (serves or explained), detail)
    if serves:
        judge_continued(examination, driver, ledger, strike.stopped)
    else:
        examination.check("continued-harmless", True, "no newer daemon came up beside it")
    if has(driver, Capability.FORCE_STOP):
        stop = driver.stop(home, timeout=ANSWER_SECONDS, force=True)
        # One that stands before it has taken its lock is in nobody's way, and known to nobody; and so is a client.
        unknown = strike.stopped if serves or strike.client else ()
        left = [process for process in _wait_for_the_end(home, unknown) if process.pid in crew]
        found = "\n".join(map(processes.describe, left))
        examination.check("forced-stop-clears", not left, f"{stop.describe()}\nleft: {found or 'nothing'}")
    return second.text


def _judge_remains(examination: Examination, driver: KernelDriver, home: Path, strike: Strike) -> str:
    """See to it that what is left serves and can be stopped, or goes by itself; gives what the stop said.

    What cannot take connections while its fault lasts need not serve; it has to be stopped all the same, where its
    driver can do so without one.
    """
    seconds = driver.start_timeout if strike.client else SETTLE_SECONDS
    answer = PATIENCE_SECONDS if strike.deaf else ANSWER_SECONDS
    crew = processes.named(pid for pid in strike.running if pid not in ADOPTERS)
    clock = Clock()
    deadline = clock.now() + seconds
    while True:
        serves = driver.ping(home, timeout=answer).ok
        left = [] if serves else remaining(home, crew)
        if serves or strike.deaf or not left or clock.now() >= deadline:
            break
        clock.sleep(0.02)
    _judge_pid_file(examination, driver, home, strike, serves=serves)
    if not serves and not (strike.deaf and left):
        found = "\n".join(map(processes.describe, left))
        examination.check("nothing-wedged", not left, found or "nothing of it is left")
        return ""
    stop = driver.stop(home, timeout=answer)
    can_force = has(driver, Capability.FORCE_STOP)
    if not stop.ok and strike.lasting and can_force:
        stop = driver.stop(home, timeout=ANSWER_SECONDS, force=True)
    left = _wait_for_the_end(home, crew=crew)
    found = "\n".join(map(processes.describe, left))
    excused = strike.deaf and not serves and not can_force
    examination.check(
        "nothing-wedged", excused or (stop.ok and not left), f"{stop.describe()}\nleft: {found or 'nothing'}"
    )
    return stop.text


def _judge_pid_file(
    examination: Examination, driver: KernelDriver, home: Path, strike: Strike, *, serves: bool
) -> None:
    if "pid-file-whole" in examination.expected:
        problem = strike.pid_problem or pid_file_problem(driver, home, serves=serves)
        examination.check("pid-file-whole", problem is None, problem or "it is whole, or there is none")


def _wait_for_the_end(
    home: Path, excused: Sequence[int] = (), crew: Sequence[psutil.Process] = ()
) -> list[psutil.Process]:
    left = [process for process in remaining(home, crew) if process.pid not in excused]
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
