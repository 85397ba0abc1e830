"""Run a daemon's client to its end, as a person in a shell would.

Invariant: the output goes to files, not to pipes, so that a daemon that inherits its client's output can neither
block it nor be waited for; the time-out works on the kernel's own timer, so that a frozen clock cannot disable it.
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_ocap.clock import Clock
from pytest_ocap.driver import PLAIN, Outcome, Setting
from pytest_ocap.processes import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


RUNNING: set[int] = set()
"""The pids of clients that run, and are no children of this process: whatever they inherit, they are no daemons."""

LAUNCHERS: dict[int, Launcher] = {}
"""The launchers that run, by their pids: whom such a process has as a child is a client."""


class Forked(NamedTuple):
    """What no process table has of a client that is a fork and was not started as a program of its own."""

    home: Path
    command: str


FORKED: dict[int, Forked] = {}
"""The forked clients that run, by their pids."""

BYSTANDERS: set[int] = set()
"""The pids of processes that the harness runs beside a daemon, as somebody else's."""

ADOPTERS: dict[int, str] = {}
"""The processes that adopt what clients leave behind, each with its home: what descends from one is of that home."""

UNTOLD: set[int] = set()
"""The adopters that have not told yet who their client is: whom they have is that, and no daemon."""

KILLED: dict[str, set[int]] = {}
"""For each home the orphans that an adopter saw die of SIGKILL, however shortly they lived."""


class ForkedClient(Protocol):
    """A client that is a fork, and waits until it is known as one."""

    @property
    def pid(self) -> int:
        """Its pid."""
        ...

    @property
    def returncode(self) -> int | None:
        """Its exit status, the negative signal number when it was killed; None before the end was seen."""
        ...

    def begin(self) -> None:
        """Have it begin."""
        ...

    def await_end(self, seconds: float) -> bool:
        """Wait at most so long; say whether it has ended."""
        ...

    def wait(self) -> int:
        """Wait for the end; give its exit status."""
        ...

    def kill(self) -> None:
        """Send SIGKILL."""
        ...


class Launcher(Protocol):
    """Forks clients that need not be started as programs of their own."""

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], cwd: Path | None, out: int, err: int
    ) -> ForkedClient | None:
        """Fork one with such a command line, environment, folder and output; None when it has to be started anew."""
        ...

    def close(self) -> None:
        """End, and wait for the end."""
        ...


def is_client(pid: int, parent: int) -> bool:
    """Say whether a process is a client: what this process, or one that runs clients for it, has as a child."""
    return parent == os.getpid() or parent in LAUNCHERS or pid in RUNNING


def close_launchers() -> None:
    """End the processes that clients are forked from; the next client starts one again."""
    for launcher in list(LAUNCHERS.values()):
        launcher.close()


def run_client(
    command: Sequence[str],
    home: Path,
    *,
    timeout: float,
    env: Mapping[str, str | None] | None = None,
    setting: Setting = PLAIN,
    cwd: Path | None = None,
    launcher: Launcher | None = None,
) -> Outcome:
    """Run a command for a home and wait at most ``timeout`` seconds for it.

    Args:
        command: The words of the command line.
        home: The home, by which its descendants are recognised later.
        timeout: Seconds after which the client is ended; what it started is not.
        env: Additions to the environment; ``None`` removes a variable.
        setting: The circumstances that faults ask for.
        cwd: Where it runs; here when left out.
        launcher: What may start it for less than a new program costs.

    Returns:
        ``ok`` for exit status 0; ``text`` is standard output followed by standard error; ``value`` is standard output
        alone.
    """
    clock = Clock()
    began = clock.now()
    words = [*setting.prefix, *command]
    wanted = {**os.environ, **(env or {}), **setting.env, TOKEN: os.fspath(home)}
    environment = {name: value for name, value in wanted.items() if value is not None}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = _start(words, environment, cwd, out.fileno(), err.fileno(), launcher)
        except OSError as error:
            return Outcome(False, f"cannot run {words[0]!r}: {error}", clock.now() - began)
        with _known(process, home, words):
            timed_out = not _await_end(process, timeout, clock)
            if timed_out:
                process.kill()
                process.wait()
        out.seek(0)
        err.seek(0)
        stdout = out.read().decode(errors="replace")
        stderr = err.read().decode(errors="replace")
    status = process.returncode
    return Outcome(
        ok=status == 0 and not timed_out,
        text=stdout + stderr,
        seconds=clock.now() - began,
        value=stdout,
        status=None if timed_out else status,
        timed_out=timed_out,
    )


def _start(
    words: Sequence[str],
    environment: Mapping[str, str],
    cwd: Path | None,
    out: int,
    err: int,
    launcher: Launcher | None,
) -> subprocess.Popen[bytes] | ForkedClient:
    forked = None if launcher is None else launcher.start(words, environment, cwd, out, err)
    return forked or subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd=cwd)


@contextmanager
def _known(process: subprocess.Popen[bytes] | ForkedClient, home: Path, words: Sequence[str]) -> Iterator[None]:
    """Have everybody know a forked client as one from its beginning to its end."""
    if isinstance(process, subprocess.Popen):
        yield
        return
    FORKED[process.pid] = Forked(home, " ".join(words))
    RUNNING.add(process.pid)
    try:
        process.begin()
        yield
    finally:
        RUNNING.discard(process.pid)
        del FORKED[process.pid]


def _await_end(process: subprocess.Popen[bytes] | ForkedClient, seconds: float, clock: Clock) -> bool:
    """Wait for a client; say whether it ended within so many seconds."""
    return wait(process, seconds, clock) if isinstance(process, subprocess.Popen) else process.await_end(seconds)


def wait(process: subprocess.Popen[bytes], seconds: float, clock: Clock) -> bool:
    """Wait for a child; say whether it ended within so many seconds."""
    deadline = clock.now() + seconds
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old one
        return clock.wait_until(lambda: process.poll() is not None, seconds)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)
    finally:
        os.close(descriptor)
    # A traced process has ended for its parent only once its tracer has heard of it.
    return clock.wait_until(lambda: process.poll() is not None, max(0.0, deadline - clock.now()))
