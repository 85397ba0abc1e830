"""Find and end the processes that use a home.

Invariant: a process is named by pid and creation time, never by pid alone; one that is older than this harness, that
is this harness or one of its ancestors, is never touched.  Zombies count as dead when their last thread has ended.
Uses psutil, which is imported on first use.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pytest_ocap import users
from pytest_ocap.clock import Clock
from pytest_ocap.users import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import psutil

__all__ = ["OURS", "TOKEN", "ProcessId", "alive", "describe", "end", "kill", "own_birth", "stopped", "using"]

OURS: set[int] = set()
"""Processes of the harness's own that have a file of a home open for a moment now and then, and are no users of it."""

REAPER = "from pytest_ocap.reaper import main"
"""What stands in the command line of a process that cleans up after a test process."""

TRACER = "ocap-strace-"
"""What stands in the command line of a process that traces a daemon for the harness, and ends with it."""

SETTLE_SECONDS = 5.0
"""How long killed processes may take to vanish."""


class ProcessId(NamedTuple):
    """What names a process: its pid and when it was created (seconds since the epoch, as psutil gives it)."""

    pid: int
    created: float


def own_birth() -> float:
    """Say when this process was created: what is older cannot have been started by it."""
    import psutil

    return psutil.Process().create_time()


def using(home: Path, *, since: float | None = None) -> list[psutil.Process]:
    """Find the living processes that use a home, created no earlier than ``since`` (else this process's birth).

    A process uses a home when it inherited the harness's token, when its command line or working directory names the
    home, or when it has a file of it open; descendants of such a process count too.  One that cleans up after a test
    process does not: it ends by itself, after it has ended what nobody else would.  Nor does one that merely traces.
    """
    import psutil

    table = {process.pid: process for process in users.listed()}
    since = table[os.getpid()].created if since is None else since
    excluded = {*OURS, *_line_of(os.getpid(), table)}
    young = [entry for entry in table.values() if entry.lives and entry.created >= since and entry.pid not in excluded]
    found = {entry.pid for entry in young if users.uses(entry, os.fspath(home))}
    growing = True
    while growing:
        born = {entry.pid for entry in young if entry.parent in found} - found
        found |= born
        growing = bool(born)
    processes = []
    for pid in sorted(found):
        with suppress(psutil.Error):  # it has ended meanwhile
            process = psutil.Process(pid)
            if any(REAPER in word or TRACER in word for word in process.cmdline()):
                continue
            now = users.look(pid)  # what has that pid now is what had it before, and so is what was made in between
            if now is not None and now.lives and now.created == table[pid].created:
                processes.append(process)
    return processes


def _line_of(pid: int, table: Mapping[int, users.Process]) -> Iterator[int]:
    """Give a process and its ancestors."""
    while pid in table:
        yield pid
        pid = table[pid].parent


def named(pids: Iterable[int]) -> list[psutil.Process]:
    """Give the processes that have these pids now, without those that have gone."""
    import psutil

    found = []
    for pid in pids:
        try:
            found.append(psutil.Process(pid))
        except psutil.Error:
            continue
    return found


def alive(process: psutil.Process) -> bool:
    """Say whether a process still exists as itself: a zombie does as long as one of its threads lives."""
    import psutil

    try:
        # Until the last thread has ended, all that the process had open is open: its socket answers, its lock is held.
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.Error:
        return False


def stopped(process: psutil.Process) -> bool:
    """Say whether a process has been stopped by a signal."""
    import psutil

    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def describe(process: psutil.Process) -> str:
    """Name a process for a reader: pid, state and command line."""
    import psutil

    try:
        command = " ".join(process.cmdline()) or process.name()
        return f"pid {process.pid} ({process.status()}): {command[:200]}"
    except psutil.Error:
        return f"pid {process.pid} (gone)"


def end(home: Path, *, since: float | None = None, clock: Clock | None = None) -> list[str]:
    """Kill every process that uses a home and wait until none is left; give their descriptions.

    Raises:
        RuntimeError: One of them would not die.
    """
    clock = clock or Clock()
    deadline = clock.now() + SETTLE_SECONDS
    ended: dict[int, str] = {}
    while users := using(home, since=since):
        for process in users:
            ended.setdefault(process.pid, describe(process))
        kill(users)
        clock.wait_until(lambda: not any(alive(process) for process in users), deadline - clock.now())
        if clock.now() >= deadline:
            raise RuntimeError(f"processes that use {home} would not die: {[describe(user) for user in users]}")
    return list(ended.values())


def kill(processes: Iterable[psutil.Process]) -> None:
    """Send SIGKILL to each process that still is itself."""
    import psutil

    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue
