"""Starts the template process and sees it end.

The template gets a clean environment, descriptors 0 to 3 and nothing else, and this process's own search path for
modules, so that it runs the same code from wherever it is started.

Invariant: every descriptor that is handed over lies above those that it is handed over as, so a process that was itself
started without standard descriptors starts the template all the same.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import threading
import time

from kernel.sockets import socketpair

_LOWEST_FD = 10
STOP_SECONDS = 5.0
_STDERR_BYTES = 8192

# Garbage is not looked for: what a template makes is here to stay, and a worker turns the search on for itself.
_BOOT = (
    "import gc; gc.disable(); import sys; root, parent, bound, *rest = sys.argv[1:]; sys.path.insert(0, root); "
    "sys.path += [entry for entry in rest if entry not in sys.path]; "
    "from kernel.workers.template import main; main(int(parent), bound == 'bound')"
)

_ENVIRONMENT = ("PYTHONHASHSEED", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What Python itself may need to run as this process does."""


class TemplateProcess:
    """The running template: its process, its socket, what it last said on its standard error."""

    def __init__(self) -> None:
        """Start it; it is ready when it says so over the socket.

        Raises:
            OSError: It could not be started.
        """
        ours, theirs = socketpair()
        reader, writer = os.pipe()
        try:
            self.pid = _spawn(theirs.fileno(), writer)
        except BaseException:
            ours.close()
            os.close(reader)
            raise
        finally:
            theirs.close()
            os.close(writer)
        os.set_blocking(reader, False)
        self.socket = ours
        self._stderr: int | None = reader

    def end(self) -> str:
        """Wait until the process is gone, and say how it ended; it is killed after ``STOP_SECONDS``.

        Close the socket first: that is what ends it.
        """
        words = self._read_stderr(time.monotonic() + STOP_SECONDS)
        how = self._reap(time.monotonic() + 0.1)
        last = words.decode(errors="replace").strip().rpartition("\n")[2]
        return f"{how}: {last}" if last else how

    def _read_stderr(self, deadline: float) -> bytes:
        """Read until the process, which alone holds the other end, is gone."""
        words = b""
        if self._stderr is None:
            return words
        poll = select.poll()
        poll.register(self._stderr, select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            try:
                piece = os.read(self._stderr, _STDERR_BYTES)
            except BlockingIOError:
                continue
            if not piece:
                break
            words = (words + piece)[-_STDERR_BYTES:]
        os.close(self._stderr)
        self._stderr = None
        return words

    def _reap(self, deadline: float) -> str:
        killed = False
        while True:
            try:
                ended, status = os.waitpid(self.pid, 0 if killed else os.WNOHANG)
            except ChildProcessError:
                return "it ended, and nobody saw how"  # the host program reaps children of its own accord
            if ended:
                return describe_wait_status(status)
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                killed = True
            else:
                time.sleep(0.001)


def describe_wait_status(status: int) -> str:
    """Say how a process ended, by its wait status."""
    code = os.waitstatus_to_exitcode(status)
    return f"it was killed by {signal_name(-code)}" if code < 0 else f"it ended with exit status {code}"


def signal_name(number: int) -> str:
    """Give a signal's name, ``SIGKILL``; a real-time signal has only a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _spawn(control: int, stderr: int) -> int:
    if not sys.executable:
        raise OSError("the path of the Python interpreter is not known (sys.executable is empty)")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    bound = threading.current_thread() is threading.main_thread()
    search = [entry for entry in sys.path if os.path.isabs(entry)]
    # Without `site`: what other packages have a starting interpreter do is not for the process that workers come from.
    flags = ["-s", "-P", "-X", "utf8"] if _measured() else ["-S", "-s", "-P", "-X", "utf8"]
    command = [sys.executable, *flags, "-c", _BOOT, root, str(os.getpid())]
    command += ["bound" if bound else "loose", *search]
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FD) for fd in (control, stderr)]
    try:
        return os.posix_spawn(
            sys.executable,
            command,
            _environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, high[1], 2),
                (os.POSIX_SPAWN_DUP2, high[0], 3),
            ],
            setpgroup=0,  # a terminal's Ctrl-C is for the daemon, not for its workers
            setsigmask=(),
            setsigdef=(signal.SIGCHLD, signal.SIGTERM, signal.SIGINT),
        )
    finally:
        for fd in high:
            os.close(fd)


def _environment() -> dict[str, str]:
    names = [name for name in os.environ if name in _ENVIRONMENT]
    if _measured():
        names += [name for name in os.environ if name.startswith("COVERAGE_")]
    return {name: os.environ[name] for name in names}


def _measured() -> bool:
    """Say whether coverage is to be measured in processes that are started, which begins in `site`."""
    return "COVERAGE_PROCESS_CONFIG" in os.environ or "COVERAGE_PROCESS_START" in os.environ
