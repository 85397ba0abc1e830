"""What a daemon writes for others to read: its pid file and its log, and what has become of them.

Invariant: looks only.  A pid file may hold whatever its daemon likes, as long as the first number in it is the pid; of
a log it is known only whether it has lines, and where each is a JSON object, how one begins.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from pytest_ocap import processes
from pytest_ocap.driver import Capability, has
from pytest_ocap.persisted import ANSWER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver

LINES = 1000
"""Of how many of a log's last lines it is looked what becomes of them."""

_NUMBER = re.compile(rb"\d+")
_BEGINNING = re.compile(rb'\{\s*"[^"\\]+"\s*:')


def pid_file_problem(driver: KernelDriver, home: Path, *, serves: bool) -> str | None:
    """Say what is wrong with the pid file; None when nothing is, or there is none.

    Args:
        driver: The daemon, which has one.
        home: Its home.
        serves: Whether it runs and answers, so that the file has to name it.
    """
    path = driver.pid(home)
    try:
        content = b"" if path is None else path.read_bytes()
    except OSError:
        return None
    if path is None:
        return None
    number = _NUMBER.search(content)
    if number is None:
        return f"{path} holds {content[:80]!r}, which is no pid"
    if serves and int(number[0]) not in (pids := [process.pid for process in processes.using(home)]):
        return f"{path} holds {content[:80]!r}, and the processes of the home are {pids}"
    return None


def lasting_pid_file_problem(driver: KernelDriver, home: Path) -> str | None:
    """Say what is wrong with the pid file of a daemon that has just become ready, if it still is.

    One that has been struck meanwhile, and is gone, is named by no file.
    """
    problem = pid_file_problem(driver, home, serves=True)
    if problem is None or not driver.ping(home, timeout=ANSWER_SECONDS).ok:
        return None
    return pid_file_problem(driver, home, serves=True)


class LogState(NamedTuple):
    """What a log holds: the last of its whole lines."""

    lines: tuple[bytes, ...]

    def lost(self, driver: KernelDriver, home: Path) -> list[str]:
        """Give the lines that are neither in a home's log now, nor in a file that it was rotated to."""
        now = set(_lines(driver, home))
        return [line[:200].decode("utf-8", "replace") for line in self.lines if line not in now]


def log_state(driver: KernelDriver, home: Path, copy: Path | None = None) -> LogState:
    """Read a home's log, or that of a copy of the home."""
    path = log_path(driver, home)
    if path is None:
        return LogState(())
    try:
        content = (path if copy is None else copy / path.relative_to(home)).read_bytes()
    except OSError:
        return LogState(())
    return LogState(tuple(line for line in content.split(b"\n")[:-1] if line)[-LINES:])


def log_path(driver: KernelDriver, home: Path) -> Path | None:
    """Give where the log lies, when it lies in the home."""
    path = driver.log(home) if has(driver, Capability.LOG) else None
    return path if path is not None and path.is_relative_to(home) else None


def is_log(driver: KernelDriver, home: Path, name: str) -> bool:
    """Say whether a file is the log, or one that it was rotated to: trouble may be told where peace said nothing."""
    log = driver.log(home) if has(driver, Capability.LOG) else None
    return log is not None and (home / name).parent == log.parent and (home / name).name.startswith(log.name)


def glued_lines(driver: KernelDriver, home: Path) -> list[str]:
    """Give the lines of a log of JSON objects in which a whole object stands behind a part of another."""
    return [line[:400].decode("utf-8", "replace") for line in _lines(driver, home) if _is_glued(line)]


def _is_glued(line: bytes) -> bool:
    beginning = _BEGINNING.match(line)
    if beginning is None or _is_object(line):
        return False
    places = (match.start() for match in re.finditer(re.escape(beginning[0]), line))
    return any(_is_object(line[place:]) for place in places if place)


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _lines(driver: KernelDriver, home: Path) -> Iterator[bytes]:
    path = log_path(driver, home)
    if path is None or not path.parent.is_dir():
        return
    for file in sorted(path.parent.iterdir()):
        if file.name.startswith(path.name) and file.is_file():
            yield from file.read_bytes().split(b"\n")
