"""Other people's processes: they run beside the daemon, and have nothing to do with it.

Invariant: a companion lives until it is ended, or until this process is gone (its standard input ends then), carries
nothing by which the harness knows a daemon's processes, and remembers every signal that it can be sent; of those that
it cannot take, its end or its standing still tells.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from pytest_ocap import processes
from pytest_ocap.clients import BYSTANDERS
from pytest_ocap.verdict import HarnessBrokenError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIVING = """
import os, signal, sys

def note(number, frame):
    os.write(1, f"{signal.Signals(number).name}\\n".encode())

for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, note)
"""

_WAITING = """
os.write(1, b"ready\\n")
while os.read(0, 1):
    pass
os._exit(0)
"""


class Companion:
    """A process of the same user.

    Args:
        program: Python that is run before it says that it is ready; ``sys.argv[1:]`` are the words.
        words: Further words of its command line.
    """

    def __init__(self, program: str = "", words: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LIVING + program + _WAITING, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,
        )
        BYSTANDERS.add(self._process.pid)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if said != b"ready\n":
            BYSTANDERS.discard(self._process.pid)
            self._process.kill()
            _, why = self._process.communicate()
            raise HarnessBrokenError(f"a process beside the daemon did not begin: {said!r} {why.decode()}")
        os.set_blocking(self._process.stdout.fileno(), False)
        self._signals: list[str] = []

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    def harm(self) -> str | None:
        """Say what was done to it: ended, stopped, or sent a signal; ``None`` when nothing was."""
        import psutil

        assert self._process.stdout is not None
        self._signals += (self._process.stdout.read() or b"").decode().split()
        if self._process.poll() is not None:
            return f"pid {self.pid} was ended (status {self._process.returncode})"
        if processes.stopped(psutil.Process(self.pid)):
            return f"pid {self.pid} was stopped"
        return f"pid {self.pid} was sent {', '.join(self._signals)}" if self._signals else None

    def end(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()
        BYSTANDERS.discard(self.pid)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
