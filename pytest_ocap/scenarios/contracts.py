"""Checks that several scenarios make: healthy subclusters go on, causes are legible, nothing is left.

Invariant: each function looks and records, and changes nothing but what a client's question changes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import stat
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Capability, has
from pytest_ocap.locks import is_locked
from pytest_ocap.persisted import ANSWER_SECONDS, PersistedStore, demand, persist

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import psutil

    from pytest_ocap.driver import KernelDriver, Listed, Outcome, Subcluster
    from pytest_ocap.examination import Examination
    from pytest_ocap.logs import Line

FATAL_SECONDS = 5.0
"""Within which a start that must fail has to have said why: far above what it takes, far below any time-out."""

SETTLE_SECONDS = 5.0
"""How long a daemon that said goodbye may take to be gone."""

MASKED = re.compile(
    r"\[object \w+\]"
    r"|<[\w.]+ (?:object|instance) at 0x[0-9a-fA-F]+>"
    r"|^\s*(?:[\w.]*(?:error|exception)|fatal|cause|reason)\s*:"
    r"\s*(?:undefined|null|none|\{\})?\s*(?:\(code [\w-]*\))?\s*$",
    re.IGNORECASE | re.MULTILINE,
)
"""An error whose text was lost on the way: an object's name, or nothing, where the message belongs."""

_ERRNO_TEXTS = "|".join(sorted({re.escape(os.strerror(number)) for number in errno.errorcode}))
BARE_ERRNO = re.compile(
    r"(?:[\w.]*(?:error|exception|fatal)\s*:\s*)?"
    r"(?:\[Errno -?\d+\][^:]*"
    r"|\(?(?:errno|code)?\s*[:=]?\s*-?\d+\)?"
    rf"|(?:{'|'.join(errno.errorcode.values())}|(?-i:E[A-Z0-9]{{2,}}))(?:\s*:\s*(?:{_ERRNO_TEXTS}))?)",
    re.IGNORECASE,
)
"""A message that is an errno, as number or name, with its text at most: not what failed, nor where."""

SPEAKING_FIELDS = ("message", "msg", "error", "cause", "reason")
"""The fields of a log record that are there to say something."""

UNTYPED = frozenset({"", "internal-error", "error", "unknown"})
"""Codes that tell nothing."""

NOTHING_LEFT = "no process is left, no file of the home is locked, nobody listens on the socket, no pid file lies there"
"""What the check ``nothing-left`` requires (:func:`check_nothing_left`)."""

SETTLED = {
    "settles": "the start is ready and a ping is answered, or it fails by itself within 5 s",
    "names-path": "a start that fails names the path concerned to its client",
    "says-why": "a start that fails says to its client in words what is wrong there",
    "no-masked-text": "no message is lost behind an object's name",
}
"""What the checks require that :func:`check_settled` makes."""

DATABASE_LOCKED = re.compile(r"database (?:table )?is locked|SQLITE_BUSY", re.IGNORECASE)


def fatal_seconds(driver: KernelDriver) -> float:
    """Give the seconds within which a start of this daemon that must fail has to have said why."""
    return min(FATAL_SECONDS, driver.start_timeout / 2)


def store_of(driver: KernelDriver, home: Path, store: PersistedStore | None, count: int) -> PersistedStore:
    """Give the store that the scenario works on: the caller's, else a new one in the home."""
    return persist(driver, home, count) if store is None else store


def settled_store(driver: KernelDriver, home: Path, store: PersistedStore | None, count: int = 1) -> PersistedStore:
    """Give a store with content when the driver can launch, else one that was merely started and stopped."""
    return store_of(driver, home, store, count if has(driver, Capability.LAUNCH) else 0)


def check_answers(
    examination: Examination,
    driver: KernelDriver,
    store: PersistedStore,
    subclusters: Sequence[Subcluster],
    *,
    answer: str = "healthy-answer",
    state: str = "state-kept",
) -> None:
    """Probe each subcluster, and check that it answers, and where the driver can tell, that it goes on where it was."""
    failures, losses = [], []
    for subcluster in subclusters:
        outcome = driver.probe(store.home, subcluster, timeout=ANSWER_SECONDS)
        if not outcome.ok:
            failures.append(f"{subcluster.id}: {outcome.describe()}")
            continue
        expected = store.answers.get(subcluster.id, 0) + 1
        store.answers[subcluster.id] = expected
        if outcome.value != expected:
            losses.append(f"{subcluster.id} answered {outcome.value!r}, and should have answered {expected}")
    names = ", ".join(subcluster.id for subcluster in subclusters)
    examination.check(answer, not failures, "\n".join(failures) or f"{names} answered")
    if has(driver, Capability.STATE):
        lost = failures + losses
        examination.check(state, not lost, "\n".join(lost) or f"{names} went on where they were")


def check_settled(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    outcome: Outcome,
    path: Path,
    why: re.Pattern[str],
    *,
    told_anyway: bool = False,
    works: PersistedStore | None = None,
) -> bool:
    """Check that a start against an obstacle is ready or says why not; give whether it is ready.

    Args:
        examination: Records the checks.
        driver: The daemon.
        home: Its home.
        outcome: How its start ended.
        path: What has to be named.
        why: What one of has to be said.
        told_anyway: Whether both have to be said by a start that is ready, too.
        works: A store whose first subcluster has to answer a message when the start is ready.
    """
    told = outcome.describe()
    if outcome.ok:
        ping = driver.ping(home, timeout=ANSWER_SECONDS)
        message = _message(driver, works)
        said = f"\nmessage: {message.describe()}" if message else ""
        examination.check(
            "settles", ping.ok and (message is None or message.ok), f"{told}\nping: {ping.describe()}{said}"
        )
    else:
        quick = not outcome.timed_out and outcome.seconds <= fatal_seconds(driver)
        examination.check("settles", quick, told)
    excused = outcome.ok and not told_anyway
    examination.check("names-path", excused or names_path(outcome.text, path), f"wanted: {path}\n{told}")
    examination.check("says-why", excused or why.search(outcome.text) is not None, told)
    examination.check("no-masked-text", outcome.ok or masked(outcome.text) is None, told)
    return outcome.ok


def _message(driver: KernelDriver, store: PersistedStore | None) -> Outcome | None:
    """Send a message to a store's first subcluster, where that can be done."""
    if store is None or not service_checks(driver):
        return None
    subcluster = store.subclusters[0]
    outcome = driver.probe(store.home, subcluster, timeout=ANSWER_SECONDS)
    if outcome.ok:
        store.answers[subcluster.id] = store.answers.get(subcluster.id, 0) + 1
    return outcome


def check_starts_again(
    examination: Examination, driver: KernelDriver, store: PersistedStore, name: str = "starts-when-mended"
) -> None:
    """Check that a start without the obstacle is ready, and that every subcluster goes on where it was."""
    if examination.outcome(name, driver.start(store.home, timeout=driver.start_timeout), within=driver.start_timeout):
        check_service(examination, driver, store)


def service_checks(driver: KernelDriver) -> tuple[str, ...]:
    """Give the names of the checks that :func:`check_service` makes with this driver."""
    probes = has(driver, Capability.PROBE) and has(driver, Capability.LAUNCH)
    return ("healthy-answer", *state_checks(driver, "state-kept")) if probes else ()


def check_service(examination: Examination, driver: KernelDriver, store: PersistedStore) -> None:
    """Check that every subcluster of the store answers and goes on where it was, where the driver can ask."""
    if service_checks(driver):
        check_answers(examination, driver, store, store.subclusters)


def work(driver: KernelDriver, store: PersistedStore, subclusters: Sequence[Subcluster]) -> None:
    """Have subclusters of a running daemon answer once more: what is acknowledged from now on must not be lost.

    Raises:
        HarnessBrokenError: One does not, although nothing is wrong with it.
    """
    for subcluster in subclusters:
        demand("probe", driver.probe(store.home, subcluster, timeout=ANSWER_SECONDS))
        store.answers[subcluster.id] = store.answers.get(subcluster.id, 0) + 1


def state_checks(driver: KernelDriver, *names: str) -> tuple[str, ...]:
    """Give the names of checks on state that can be made with this driver."""
    return names if has(driver, Capability.STATE) else ()


def listed(driver: KernelDriver, home: Path) -> tuple[dict[str, Listed], Outcome]:
    """List the subclusters by id; where the outcome is not ``ok``, that nothing is listed says nothing."""
    outcome = driver.list(home, timeout=ANSWER_SECONDS)
    return ({entry.id: entry for entry in outcome.value} if outcome.ok else {}), outcome


def names_path(text: str, path: Path) -> bool:
    """Say whether a text names a path: itself, with its links resolved, or as a URL's part."""
    candidates = {os.fspath(path), os.path.realpath(path.parent) + os.sep + path.name, path.absolute().as_uri()}
    return any(candidate in text for candidate in candidates)


def names_subcluster(text: str, identity: str, home: Path) -> bool:
    """Say whether a text names a subcluster: its id as a word of its own, outside of the home's path.

    The name of a temporary directory, or another number, may have any id in it.
    """
    return re.search(rf"(?<!\w){re.escape(identity)}(?!\w)", text.replace(os.fspath(home), "")) is not None


def content(path: Path) -> str:
    """Say what stands at a path: its kind, and for a file its digest."""
    if path.is_dir():
        return f"a directory of {sorted(entry.name for entry in path.iterdir())}"
    return f"a file, {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else "nothing"


def store_path(driver: KernelDriver, home: Path) -> Path:
    """Give where the store lies, of a driver that says that it has one."""
    path = driver.store(home)
    assert path is not None, "the driver claims a store, and does not say where it lies"
    return path


def masked(text: str) -> str | None:
    """Give what is left where an error's text was lost, or ``None``; no text at all is lost text."""
    if not text.strip():
        return "(no text at all)"
    match = MASKED.search(text)
    return match.group().strip() if match else None


def bare_errno(text: str) -> bool:
    """Say whether an error's text is an errno, and nothing besides."""
    return BARE_ERRNO.fullmatch(text.strip()) is not None


def masked_record(line: Line) -> str | None:
    """Give what is left where a log line's text was lost, or ``None``."""
    silent = [key for key in SPEAKING_FIELDS if key in line.record and line.record[key] in ("", None, {}, [])]
    return f"an empty field {silent[0]!r}" if silent else masked(line.text)


def check_nothing_left(
    examination: Examination, driver: KernelDriver, home: Path, crew: Sequence[psutil.Process] = ()
) -> bool:
    """Check that no process is left, no file of the home is locked, nobody listens on the socket, and no pid file lies.

    Args:
        examination: Records the check.
        driver: The daemon.
        home: Its home, which it has left.
        crew: What :func:`processes.using` found before that: a worker that outlives its daemon need not have anything
            by which it could be recognised when its parent has gone.
    """
    living: list[psutil.Process] = []

    def none_remains() -> bool:
        living[:] = remaining(home, crew)
        return not living

    Clock().wait_until(none_remains, SETTLE_SECONDS, every=0.02)
    left = [f"process: {processes.describe(process)}" for process in living]
    left += [f"lock: {path}" for path in locked_files(home)]
    path = driver.socket(home)
    if path is not None and listens(path):
        left.append(f"listener: {path}")
    pid_file = driver.pid(home) if has(driver, Capability.PIDFILE) else None
    if pid_file is not None and pid_file.is_file():
        left.append(f"pid file: {pid_file}")
    held = examination.check("nothing-left", not left, "\n".join(left) or "no process, no lock, no listener")
    processes.kill(living)
    return held


def check_ends(
    examination: Examination,
    driver: KernelDriver,
    home: Path,
    crew: Sequence[psutil.Process] = (),
    *,
    running: bool = True,
) -> None:
    """Stop the daemon, unless it is not ``running``, and check that nothing is left of it.

    Args:
        examination: Records the check.
        driver: The daemon.
        home: Its home.
        crew: Processes that have to be gone too, beside those that use the home now.
        running: Whether there is a daemon to stop.

    Raises:
        HarnessBrokenError: It cannot be stopped, although nothing is wrong with it.
    """
    crew = [*crew, *processes.using(home)]
    if running:
        demand("stop", driver.stop(home, timeout=ANSWER_SECONDS))
    check_nothing_left(examination, driver, home, crew)


def check_serves_and_ends(
    examination: Examination, driver: KernelDriver, store: PersistedStore, crew: Sequence[psutil.Process] = ()
) -> None:
    """Check that the daemon answers a ping, that its subclusters go on where they were, and that it ends whole."""
    examination.outcome("ping", driver.ping(store.home, timeout=ANSWER_SECONDS))
    check_service(examination, driver, store)
    check_ends(examination, driver, store.home, crew)


def remaining(home: Path, crew: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Give the processes that use a home, and those of a crew, that are alive."""
    found = {process.pid: process for process in (*crew, *processes.using(home)) if processes.alive(process)}
    return list(found.values())


def locked_files(home: Path) -> list[Path]:
    """Find the files directly in a home on which another process holds a ``flock``."""
    if not home.is_dir():
        return []
    return [path for path in sorted(home.iterdir()) if path.is_file() and not path.is_symlink() and is_locked(path)]


def listens(path: Path) -> bool:
    """Say whether a connection to the socket is accepted."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            client.connect(os.fspath(path))
    except OSError:
        return False
    return True
