"""Runs one Python command often without starting Python anew: a process that has imported it forks itself each time.

Most of what a short command costs is the interpreter's start and its imports, and a run of the suite makes some two
hundred of them.  The means is that of fuzzers (M. Zalewski, "Fuzzing random programs without execve()", 2014) and of
``multiprocessing``; the latter's own serves one program's functions, with that program's module imported in each, and
is one for the whole process, which is the user's.

Invariants: a run is a process of its own, with the environment, folder and output that were asked for; what the
interpreter, the loader or the system take in when a program starts (:func:`circumstances`) is what it would be anew, or
there is no run, and the command is to be started anew; nor is there one when the server cannot be started, so that what
is wrong with the command is seen where it always is.  The server ends with the process that started it, however that
came about.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ocap.clients import LAUNCHERS, wait
from pytest_ocap.clock import Clock
from pytest_ocap.drivers.fork_server_main import REQUEST_BYTES
from pytest_ocap.processes import TOKEN
from pytest_ocap.verdict import HarnessBrokenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

END_SECONDS = 2.0
"""How long the server may take to end."""

_MAIN = Path(__file__).with_name("fork_server_main.py")

_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "GLIBC_", "COVERAGE_")
_HANDED_ON = ("Umask", "Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Cpus_allowed:", "SigBlk", "SigIgn")
_LIMITS = sorted(value for name, value in vars(resource).items() if name.startswith("RLIMIT_"))


def circumstances(environment: Mapping[str, str]) -> tuple[object, ...]:
    """Give what a program takes in when it starts, and a fork of a running one would not.

    That is the part of the environment that the interpreter and the loader read, whom it runs as, its limits, its
    mounts, and what else the system hands on from parent to child.
    """
    limits = []
    for limit in _LIMITS:
        with contextlib.suppress(ValueError, OSError):  # this system has no such limit
            limits.append((limit, resource.getrlimit(limit)))
    with open("/proc/self/status", encoding="utf-8") as status:
        handed_on = [line for line in status if line.startswith(_HANDED_ON)]
    mounts = os.readlink("/proc/self/ns/mnt")
    at_start = sorted(item for item in environment.items() if item[0].startswith(_AT_START))
    return (*at_start, *limits, *handed_on, mounts, os.getsid(0), os.getpgid(0), os.nice(0))


class ForkedProcess:
    """A run: what of ``subprocess.Popen`` is used of one."""

    def __init__(self, pid: int, told: socket.socket, go: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._told = told
        self._go = go

    def begin(self) -> None:
        """Have it begin: it waits until its pid is known to whoever must know."""
        try:
            with contextlib.suppress(BrokenPipeError):  # it has been killed
                os.write(self._go, b"!")
        finally:
            os.close(self._go)

    def wait(self) -> int:
        """Wait for the end; give the exit status."""
        self.await_end(None)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        """Send SIGKILL."""
        with contextlib.suppress(ConnectionError):  # it has ended
            self._told.send(b"kill")

    def await_end(self, seconds: float | None) -> bool:
        """Wait at most so long; say whether it has ended.

        Raises:
            HarnessBrokenError: The server was ended, and nobody can tell how the run does.
        """
        if self.returncode is not None:
            return True
        poll = select.poll()
        poll.register(self._told, select.POLLIN)
        if not poll.poll(None if seconds is None else seconds * 1000):
            return False
        message = _hear(self._told)
        self._told.close()
        if message is None:
            raise HarnessBrokenError("the process that commands are forked from has been ended from outside")
        self.returncode = os.waitstatus_to_exitcode(message["status"])
        return True


class ForkServer:
    """A program of Python's that has been imported.  Started with its first run; several may be under way at once.

    Args:
        program: The module that ``python -P -m`` would run.
        function: What in it is the whole command.
        imports: The modules to import beforehand.
    """

    def __init__(self, program: str, function: str, imports: Sequence[str]) -> None:
        self.command = (sys.executable, "-P", "-m", program)
        self._settings = {"program": program, "function": function, "imports": [program, *imports]}
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._circumstances: tuple[object, ...] = ()
        self._unusable = False
        self._launching = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The server's pid, None when it does not run."""
        return None if self._process is None else self._process.pid

    def start(
        self, words: Sequence[str], environment: Mapping[str, str], cwd: Path | None, out: int, err: int
    ) -> ForkedProcess | None:
        """Start a run.

        Args:
            words: The command line, :attr:`command` first.
            environment: The whole environment.
            cwd: The folder that it runs in; the present one when None.
            out: The descriptor that is its standard output.
            err: The descriptor that is its standard error.

        Returns:
            The run; None when the command has to be started anew.
        """
        begins = len(self.command)
        if sys.platform != "linux" or self._unusable or tuple(words[:begins]) != self.command:
            return None
        if any(name.startswith("COVERAGE_") for name in environment):
            return None  # measuring begins with the interpreter
        now = circumstances(environment)
        with self._launching:
            if self._process is None or self._owner != os.getpid():
                self._launch(environment, now)
        if now != self._circumstances:
            return None
        try:
            folder = os.fspath(cwd or os.getcwd())
        except OSError:  # it has been removed
            return None
        request = {"words": list(words[begins:]), "environment": dict(environment), "cwd": folder}
        data = json.dumps(request).encode()
        if len(data) > REQUEST_BYTES:
            return None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        awaited, go = os.pipe()
        try:
            with theirs, contextlib.suppress(ConnectionError):
                socket.send_fds(self._control, [data], [theirs.fileno(), awaited, out, err])
        finally:
            os.close(awaited)
        message = _hear(ours)
        if message is None or "pid" not in message:
            ours.close()
            os.close(go)
            if message is None:  # it cannot import the program, or somebody has ended it
                self._unusable = True
                self.close()
            return None
        return ForkedProcess(message["pid"], ours, go)

    def close(self) -> None:
        """End the server and wait until it is gone; the next run starts one."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        atexit.unregister(self.close)
        self._control.close()
        LAUNCHERS.pop(process.pid, None)
        if not wait(process, END_SECONDS, Clock()):
            process.kill()  # somebody whom this process forked holds the socket, too
        process.wait()

    def _launch(self, environment: Mapping[str, str], now: tuple[object, ...]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_MAIN), str(theirs.fileno()), json.dumps(self._settings)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: value for name, value in environment.items() if name != TOKEN},  # it is of no home
                pass_fds=[theirs.fileno()],
                cwd="/",
            )
        self._owner, self._circumstances = os.getpid(), now
        LAUNCHERS[self._process.pid] = self
        atexit.register(self.close)


def _hear(told: socket.socket) -> dict[str, Any] | None:
    try:
        data = told.recv(4096)
    except ConnectionError:
        return None
    return json.loads(data) if data else None
