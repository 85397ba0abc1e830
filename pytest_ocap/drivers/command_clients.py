"""Clients whose descendants are never lost: each runs below a runner that adopts what it leaves behind.

Invariant: a client's pid is known to :data:`pytest_ocap.clients.RUNNING` before its program begins and until it has
ended, so that a client is never taken for a daemon.  Waiting is the kernel's ``poll``, so a frozen clock cannot
disable a time-out.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pytest_ocap.clients import ADOPTERS, KILLED, RUNNING, UNTOLD
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Outcome
from pytest_ocap.processes import TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from pytest_ocap.drivers.command_watch import Order

RUNNER = Path(__file__).with_name("command_runner.py")

_BEGINNING = threading.Lock()
"""Held while a runner is begun or reaped: what one is to inherit, another thread's must not."""


class AdoptedClient:
    """A client that was begun; a context manager, at whose end nobody listens to it any more.

    Args:
        words: The command line.
        home: The home, by which its descendants are recognised.
        env: Its whole environment.
        cwd: Where it runs.
        daemon: It is no client, but the daemon itself.
        order: How it is to be interrupted.
    """

    def __init__(
        self,
        words: Sequence[str],
        home: Path,
        *,
        env: Mapping[str, str],
        cwd: Path,
        daemon: bool = False,
        order: Order | None = None,
    ) -> None:
        _reap()
        self.clock = Clock()
        self.began = self.clock.now()
        self.pid = 0
        self.status: int | None = None
        self.error: str | None = None
        self._is_client = not daemon
        self._home = os.fspath(home)
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._err = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._control, theirs = socket.socketpair()
        self._pending = b""
        environment = {name: value for name, value in env.items() if name != TOKEN}
        with _BEGINNING, theirs, open(os.devnull, "rb") as nothing:
            os.set_inheritable(theirs.fileno(), True)
            wish = json.dumps(order._asdict()) if order else ""
            arguments = (str(RUNNER), self._home, str(theirs.fileno()), os.fspath(cwd), wish, *words)
            actions = [
                (os.POSIX_SPAWN_DUP2, nothing.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, self._out.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, self._err.fileno(), 2),
            ]
            command = (sys.executable, "-I", "-S", *arguments)
            self._runner = os.posix_spawn(sys.executable, command, environment, file_actions=actions)
            if self._is_client:
                UNTOLD.add(self._runner)
            ADOPTERS[self._runner] = self._home
        while not self.pid and self._listen(None):
            pass
        if self._is_client:
            RUNNING.add(self.pid)
            UNTOLD.discard(self._runner)
        self._control.sendall(b"!")

    @property
    def ended(self) -> bool:
        """Whether it has ended, as far as was heard."""
        return self.status is not None or self.error is not None

    def fileno(self) -> int:
        """Give the descriptor that can be read when there is news of it."""
        return self._control.fileno()

    def brought(self, pid: int) -> bool:
        """Say whether a process is this one, or was brought into being by it; one that has gone may have been."""
        import psutil

        try:
            return pid == self.pid or any(parent.pid == self._runner for parent in psutil.Process(pid).parents())
        except psutil.Error:
            return True

    def wait(self, seconds: float) -> bool:
        """Wait for its end; say whether it came within so many seconds."""
        deadline = self.clock.now() + seconds
        while not self.ended:
            left = deadline - self.clock.now()
            if left <= 0 or not self._listen(left):
                break
        return self.ended

    def kill(self) -> None:
        """End it, without what it started."""
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)  # not reaped before its runner told us, so the pid is still its own
            self.wait(5.0)

    def outcome(self, *, ok: bool | None = None, timed_out: bool = False) -> Outcome:
        """Say how it ended, or how it stands; ``ok`` decides where the exit status does not."""
        seconds = self.clock.now() - self.began
        if self.error is not None:
            return Outcome(False, self.error, seconds)
        stdout, stderr = (_content(file.fileno()) for file in (self._out, self._err))
        fine = self.status == 0 and not timed_out if ok is None else ok
        status = None if timed_out else self.status
        return Outcome(fine, stdout + stderr, seconds, value=stdout, status=status, timed_out=timed_out)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        RUNNING.discard(self.pid)
        self._control.close()
        self._out.close()
        self._err.close()
        _reap()

    def _listen(self, seconds: float | None) -> bool:
        """Hear what the runner says, waiting so long; say whether there may be more."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if not poll.poll(None if seconds is None else seconds * 1000):
            return False
        heard = self._control.recv(4096)
        if not heard:
            self.error = self.error or "the runner of the command was ended from outside"
            return False
        *lines, self._pending = (self._pending + heard).split(b"\n")
        for line in lines:
            word, _, rest = line.decode().partition(" ")
            if word == "pid":
                self.pid = int(rest)
            elif word == "status":
                RUNNING.discard(self.pid)
                self.status = int(rest)
            elif word == "killed":
                KILLED.setdefault(self._home, set()).add(int(rest))
            else:
                self.error = rest
        return True


def _content(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace")


def _reap() -> None:
    """Wait for the runners that have ended, each a zombie once its last descendant has, so that no zombie is left."""
    with _BEGINNING:
        for pid in list(ADOPTERS):
            try:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del ADOPTERS[pid]
            except ChildProcessError:  # somebody waits for all children of this process
                del ADOPTERS[pid]
