"""Looks at a run the moment something does not hold: what clients said, the log, processes, files, locks.

Invariant: it only looks.  Everything has a bound, and what is left out is said.  It costs tens of milliseconds, and
only a check that did not pass pays for it.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_ocap import processes
from pytest_ocap.driver import Capability, has
from pytest_ocap.evidence import ClientCall, Evidence, FileSeen, ProcessSeen
from pytest_ocap.journal import Journal, bouts
from pytest_ocap.locks import holders
from pytest_ocap.observer import role_of
from pytest_ocap.recording import recorded
from pytest_ocap.verdict import WORKS_UNHARMED, HarnessBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psutil

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.journal import Call
    from pytest_ocap.logs import Line

MOST_CALLS = 40
MOST_LINES = 200
MOST_PROCESSES = 60
MOST_FILES = 200
MOST_CHARACTERS = 16_000
"""How much of one client's output is kept."""

LINE_CHARACTERS = 2_000

SERIOUS = frozenset({"warning", "error", "fatal"})
"""The levels of log lines that are kept before all others."""

_T = TypeVar("_T")

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFSOCK: "socket",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def gather(journal: Journal, expected: str) -> Evidence:
    """Gather what is to be seen now, as evidence of a check that requires what ``expected`` says."""
    at = journal.now()
    cut: list[str] = []
    calls = bouts(list(journal.calls))
    locked = holders()
    files = list(_files(journal.home, locked))
    pids = {pid for file in files for pid in file.locked_by} | _named(journal)
    found = list(_processes(journal.home.parent, pids))
    return Evidence(
        expected,
        at=round(at, 4),
        client=tuple(_call(bout, at) for bout in _last(calls, MOST_CALLS, "verbs", cut)),
        log=tuple(_log(journal, cut)),
        processes=tuple(_last(found, MOST_PROCESSES, "processes", cut)),
        files=tuple(_last(files, MOST_FILES, "files", cut)),
        cut=tuple(cut),
    )


@contextmanager
def witnessed(driver: KernelDriver, home: Path) -> Iterator[KernelDriver]:
    """Give a driver for something that has to work; when it does not, the error carries what was to be seen then."""
    journal = Journal(driver, home)
    try:
        yield recorded(driver, journal)
    except HarnessBrokenError as error:
        error.evidence = gather(journal, WORKS_UNHARMED)
        raise


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Give a text, with its middle left out when it is longer than so many characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… ({len(text) - 2 * half} characters left out) …\n{text[-half:]}"


def _last(entries: Sequence[_T], most: int, what: str, cut: list[str]) -> Sequence[_T]:
    if len(entries) > most:
        cut.append(f"{len(entries) - most} of {len(entries)} {what} are not shown")
    return entries[-most:]


def _call(bout: Sequence[Call], now: float) -> ClientCall:
    first, last = bout[0], bout[-1]
    result = last.result
    return ClientCall(
        last.verb,
        shortened(last.asked, LINE_CHARACTERS),
        at=round(first.began, 4),
        seconds=round((now if last.ended is None else last.ended) - last.began, 4),
        ok=last.ok,
        status=getattr(result, "status", None),
        code=getattr(result, "code", None),
        timed_out=bool(getattr(result, "timed_out", False)),
        text=shortened(last.text),
        times=len(bout),
    )


def _log(journal: Journal, cut: list[str]) -> Iterator[str]:
    """Give the lines of this run; of too many, the serious ones and the last of the others, in their order."""
    lines: list[Line] = [line for log in journal.logs.values() for line in log.mark.lines()]
    if len(lines) > MOST_LINES:
        serious = [index for index, line in enumerate(lines) if line.level in SERIOUS][-MOST_LINES // 2 :]
        rest = [index for index in range(len(lines)) if index not in set(serious)]
        kept = sorted((*serious, *rest[len(serious) - MOST_LINES :]))
        cut.append(f"{len(lines) - len(kept)} of {len(lines)} lines of the log are not shown")
        lines = [lines[index] for index in kept]
    return (shortened(line.raw, LINE_CHARACTERS) for line in lines)


def _named(journal: Journal) -> set[int]:
    """Give the pid that the pid file names."""
    path = journal.driver.pid(journal.home) if has(journal.driver, Capability.PIDFILE) else None
    try:
        text = "" if path is None else path.read_text(errors="replace").strip()
    except OSError:
        return set()
    return {int(text)} if text.isdecimal() and len(text) < 10 else set()


def _processes(root: Path, others: set[int]) -> Iterator[ProcessSeen]:
    """Look at the processes of a run, and at others that have to do with its files."""
    import psutil

    known: dict[int, str] = {}
    users = {process.pid: process for process in processes.using(root)}
    for pid in sorted({*users, *others}):
        with suppress(psutil.Error):  # it has ended meanwhile
            process = users.get(pid) or psutil.Process(pid)
            known[pid] = role_of(pid, process.ppid(), known) if pid in users else "bystander"
            yield _seen(process, known[pid])


def _seen(process: psutil.Process, role: str) -> ProcessSeen:
    with process.oneshot():
        return ProcessSeen(
            process.pid,
            process.ppid(),
            process.name(),
            shortened(" ".join(process.cmdline()), LINE_CHARACTERS),
            str(process.status()),
            round(max(0.0, time.clock_gettime(time.CLOCK_REALTIME) - process.create_time()), 3),
            role,
        )


def _files(home: Path, locked: dict[tuple[int, int], frozenset[int]]) -> Iterator[FileSeen]:
    """Look at what lies in a home, and at the bundles beside it."""
    roots = [home, home.parent / "bundles"]
    for root in roots:
        if os.path.lexists(root) and (root == home or root.is_dir()):
            yield _file(root, home, locked)
        for directory, folders, names in os.walk(root):
            folders.sort()
            for name in sorted((*folders, *names)):
                with suppress(FileNotFoundError):  # it has gone meanwhile
                    yield _file(Path(directory, name), home, locked)


def _file(path: Path, home: Path, locked: dict[tuple[int, int], frozenset[int]]) -> FileSeen:
    found = os.lstat(path)
    kind = KINDS.get(stat.S_IFMT(found.st_mode), "other")
    return FileSeen(
        os.path.relpath(path, home),
        kind,
        found.st_size,
        f"{stat.S_IMODE(found.st_mode):04o}",
        tuple(sorted(locked.get((found.st_dev, found.st_ino), ()))),
        os.readlink(path) if kind == "link" else None,
    )
