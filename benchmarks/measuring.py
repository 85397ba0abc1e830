"""Measures time, and the processor time of everything that was started meanwhile, daemons and their workers included.

Invariant: this process adopts whatever its children leave behind, so that nothing of what they started is missing from
the account; and it waits for children by their pid or when they have ended, so no one else may wait for them (no
``subprocess``).  Linux only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Self

from benchmarks.table import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class FailedError(Exception):
    """Something that is to be measured did not do what it should."""


def adopt_orphans() -> None:
    """Become the parent of what children leave behind."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


class Meter:
    """A context; afterwards ``sample`` has how long it took, and the processor time of all descendants."""

    sample: Sample

    def __enter__(self) -> Self:
        self._cpu = _spent()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._began
        self.sample = Sample(seconds, _spent() - self._cpu)


def _spent() -> float:
    """Give the processor time that all descendants have used, in seconds.

    Of a process that lives, what its own ended children used is not counted until it ends too.
    """
    collect()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(_used(pid) for pid in descendants(os.getpid()))


def _used(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[0]) / 1e9
    except OSError:
        return 0.0  # it has ended


def descendants(pid: int) -> Iterator[int]:
    """Give the pids of everything that a process has started and that lives."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            continue
        for child in children:
            yield child
            yield from descendants(child)


def collect() -> None:
    """Take leave of the children that have ended."""
    while True:
        try:
            pid, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def begin(*words: str, output: Path | None = None, env: Mapping[str, str] | None = None) -> int:
    """Start a command and give its pid; what it says goes to a file, or nowhere."""
    target = os.fspath(output) if output is not None else os.devnull
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawnp(words[0], words, {**_environment(), **(env or {})}, file_actions=actions)


def finish(pid: int) -> int:
    """Wait for a command and give its exit status."""
    _pid, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def run(*words: str, output: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end.

    Raises:
        FailedError: Its exit status is not 0.
    """
    status = finish(begin(*words, output=output, env=env))
    if status != 0:
        said = output.read_text(errors="replace")[-2000:] if output is not None else ""
        raise FailedError(f"exit status {status}: {' '.join(words)}\n{said}")


def _environment() -> dict[str, str]:
    """Give our environment without what would change how processes start, or which tests are run."""
    others = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTEST_ADDOPTS", "PYTEST_PLUGINS")
    return {name: text for name, text in os.environ.items() if name not in others and not name.startswith("OCAP_")}


def ocap(home: Path, *words: str, env: Mapping[str, str] | None = None) -> None:
    """Run an ``ocap`` command."""
    run(*ocap_command(home, *words), env=env)


def ocap_command(home: Path, *words: str) -> tuple[str, ...]:
    """Give the command line of an ``ocap`` command."""
    return (sys.executable, "-P", "-m", "kernel.cli", "--home", os.fspath(home), *words)


def bare_python() -> Sample:
    """Measure what every command costs that is written in Python: ``python -c pass``."""
    with Meter() as meter:
        run(sys.executable, "-c", "pass")
    return meter.sample


def await_gone(pid: int) -> None:
    """Wait until an adopted process has ended."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return  # it was collected already
