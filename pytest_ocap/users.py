"""Which processes use a directory: looked up in ``/proc`` where there is one, else asked of psutil.

A process uses a directory when it inherited a token that names it, when its command line or working directory names it,
or when it has a file of it open.  The harness looks at every process of the machine several times in each scenario; a
look of psutil's takes ten times as long, because it reads the same files again for every question.

Invariant: both ways say the same of a process that lives and may be looked at.  Nothing here signals anybody.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "PYTEST_OCAP_HOME"
"""The environment variable by which every descendant of a client that the harness runs can be recognised."""


class Process(NamedTuple):
    """A process, as far as it has to be known here."""

    pid: int
    parent: int
    created: float
    """Seconds since the epoch, as psutil gives them."""
    lives: bool
    """False of a zombie, unless one of its threads still lives."""
    has_terminal: bool


def listed() -> Iterator[Process]:
    """Give every process."""
    for pid in _pids():
        process = look(pid)
        if process is not None:
            yield process


def look(pid: int) -> Process | None:
    """Give a process, or ``None`` when there is none with that pid."""
    return _look_in_proc(pid) if has_proc() else _look_by_psutil(pid)


def _pids() -> list[int]:
    if has_proc():
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    import psutil

    return psutil.pids()


def uses(process: Process, home: str) -> bool:
    """Say whether a process uses a directory by itself; its children do too, which is not looked at here."""
    return _uses_by_proc(process, home) if has_proc() else _uses_by_psutil(process, home)


@cache
def has_proc() -> bool:
    """Say whether processes can be looked up in ``/proc``."""
    return os.path.exists("/proc/self/stat")


def _names(word: str, home: str) -> bool:
    return word == home or f"{home}/" in word or word.endswith(f"={home}")


# --- in /proc: proc(5) ---------------------------------------------------------------------------------------------


_TICKS = os.sysconf("SC_CLK_TCK")


def _look_in_proc(pid: int) -> Process | None:
    try:
        text = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    # The second field, the name, may hold blanks and parentheses: the last parenthesis ends it.
    fields = text.rpartition(b")")[2].split(None, 20)
    return Process(
        pid=pid,
        parent=int(fields[1]),
        created=int(fields[19]) / _TICKS + _boot_time(),
        lives=fields[0] not in (b"Z", b"X") or int(fields[17]) > 1,
        has_terminal=fields[4] != b"0",
    )


def _uses_by_proc(process: Process, home: str) -> bool:
    place = f"/proc/{process.pid}"
    token = f"{TOKEN}={home}".encode(errors="surrogateescape")
    try:
        words = _read(f"{place}/environ").split(b"\0")
        if any(word == token or word.startswith(token + b"/") for word in words):
            return True
    except OSError:
        pass  # somebody else's process, or one that has ended: its other marks decide
    if process.has_terminal and _terminal(process.pid) is not None:
        return False  # a person looking into the home from a terminal is not a daemon
    try:
        named = [os.fsdecode(word) for word in _read(f"{place}/cmdline").split(b"\0")]
        if any(_names(word, home) for word in (*named, _link(f"{place}/cwd"))):
            return True
        descriptors = os.listdir(f"{place}/fd")
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            path = os.readlink(f"{place}/fd/{descriptor}")
        except OSError:
            continue  # it has been closed
        if path.startswith("/") and _names(path, home) and os.path.isfile(path):
            return True
    return False


@cache
def _boot_time() -> float:
    """Give when this machine was started, in seconds since the epoch, as this process saw it first."""
    import psutil

    return psutil.boot_time()


def _read(path: str) -> bytes:
    """Read a file of ``/proc``, with as few system calls as it takes: there are thousands of them."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
            if len(part) < 4096:  # less than a page: that was all of it
                break
        return b"".join(parts)
    finally:
        os.close(descriptor)


def _link(path: str) -> str:
    return os.readlink(path).removesuffix(" (deleted)")


def _terminal(pid: int) -> str | None:
    import psutil

    try:
        return psutil.Process(pid).terminal()
    except psutil.Error:
        return None


# --- by psutil -----------------------------------------------------------------------------------------------------


def _look_by_psutil(pid: int) -> Process | None:
    import psutil

    try:
        process = psutil.Process(pid)
        lives = process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
        return Process(pid, process.ppid(), process.create_time(), lives, process.terminal() is not None)
    except psutil.Error:
        return None


def _uses_by_psutil(process: Process, home: str) -> bool:
    import psutil

    try:
        asked = psutil.Process(process.pid)
        if f"{asked.environ().get(TOKEN, '')}/".startswith(f"{home}/"):
            return True
    except (psutil.Error, OSError):
        pass  # somebody else's process, or one that has ended: its other marks decide
    if process.has_terminal:
        return False
    try:
        asked = psutil.Process(process.pid)
        words = [*asked.cmdline(), asked.cwd(), *(file.path for file in asked.open_files())]
    except (psutil.Error, OSError):
        return False
    return any(_names(word, home) for word in words)
