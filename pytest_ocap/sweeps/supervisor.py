"""Recording and injecting by a supervisor of system calls (seccomp user notifications): the main means.

Invariant: no process that was started under a supervisor outlives it.  The supervisor is a process of its own: should
this process die, it kills the tree; should it die, a thread here does.  One supervisor serves many runs, one after the
other, since starting it costs more than a run of a small workload.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ocap import processes
from pytest_ocap.processes import OURS
from pytest_ocap.sweeps.means import MeansError
from pytest_ocap.sweeps.supervision import kill_all, receive, send

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from pytest_ocap.sweeps.calls import Recording
    from pytest_ocap.sweeps.injection import Injection, Reached

# Started without site or user configuration, by a program text that needs nothing but what its argument says.
_PROGRAM = (
    "import json, sys; settings = json.loads(sys.argv[1]); sys.path[:] = settings['path']; "
    "from pytest_ocap.sweeps.supervision import main; main(settings['control'], settings['guard'])"
)
_LAUNCHER = Path(__file__).with_name("launcher.py")
_SPEAKS_BADLY = "the supervisor of system calls has died"


class SupervisorLostError(MeansError):
    """The supervisor's process has died; the processes that it supervised were killed."""


class Supervisor:
    """The supervisor's process, and the way to it."""

    name = "seccomp"

    def __init__(self, *, reads: bool = True) -> None:
        """Start nothing yet.

        Args:
            reads: Whether ``read`` and ``readv`` are looked at, by which some programs take what comes over a
                connection; a program that reads many files then runs a little slower.
        """
        self._reads = reads
        self._process: subprocess.Popen[bytes] | None = None

    def missing(self) -> str | None:
        """Say what this machine lacks; None when nothing."""
        from pytest_ocap.sweeps.probing import supervisor_lacks

        return supervisor_lacks()

    def cannot(self, injection: Injection) -> str | None:
        """Say why it cannot inject a fault; see :class:`pytest_ocap.sweeps.means.Means`."""
        return injection.reason_against()

    @contextmanager
    def record(self, home: Path, workload: str, injections: Sequence[Injection] = ()) -> Iterator[SupervisedSession]:
        """Record a run; see :class:`pytest_ocap.sweeps.means.Means`.

        Raises:
            SupervisorLostError: The supervisor died meanwhile.  The next run gets a new one.
        """
        if self._process is not None and self.pid is None:
            self.close()
        settings = {"workload": workload, "injections": tuple(injections), "reads": self._reads}
        door, began = self.ask("begin", os.path.realpath(home), settings)
        try:
            yield SupervisedSession(self, door, began)
        except BaseException:
            with suppress(SupervisorLostError):
                self.ask("end")
            raise
        self.ask("end")

    @property
    def pid(self) -> int | None:
        """The pid of the supervisor's process; None when there is none (any more)."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def ask(self, *words: Any) -> Any:
        """Ask the supervisor's process; it is started for the first question."""
        if self._process is None:
            self._start()
        try:
            send(self._control, words)
            return receive(self._control)
        except (EOFError, OSError) as error:
            raise SupervisorLostError(self._last_words()) from error

    def close(self) -> None:
        """End the supervisor and whatever still runs under it."""
        if self._process is None:
            return
        self._control.close()
        self._process.wait()
        OURS.discard(self._process.pid)
        self._thread.join()
        self._stderr.close()
        self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        named, guard = os.pipe()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process; close() closes it
        package = str(Path(__file__).resolve().parent.parent.parent)
        settings = {
            "path": [package, *(entry for entry in sys.path if os.path.isabs(entry))],
            "control": theirs.fileno(),
            "guard": guard,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            pass_fds=(theirs.fileno(), guard),
            start_new_session=True,  # what is sent to this process's group is not for the supervisor
            cwd="/",
        )
        OURS.add(self._process.pid)
        theirs.close()
        os.close(guard)
        self._thread = threading.Thread(target=_guard, args=(named,), name="supervisor's guard", daemon=True)
        self._thread.start()

    def _last_words(self) -> str:
        assert self._process is not None
        status = self._process.wait()
        self._thread.join()
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace").strip()
        end = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"{_SPEAKS_BADLY} ({end}); what it supervised was killed.\n{words}".strip()


class SupervisedSession:
    """A run that a supervisor follows.

    Attributes:
        prefix: See :class:`pytest_ocap.sweeps.means.Session`.
        began: When its recording began, in seconds of ``CLOCK_MONOTONIC``.
    """

    def __init__(self, supervisor: Supervisor, door: str, began: float) -> None:
        self._supervisor = supervisor
        self.began = began
        self.prefix = (sys.executable, "-I", "-S", str(_LAUNCHER), door)

    def wait(self, seconds: float) -> bool:
        """Wait until every process of the run has ended."""
        return bool(self._supervisor.ask("wait", seconds))

    def recording(self) -> Recording:
        """Give what has been recorded so far."""
        recording: Recording = self._supervisor.ask("ask", "recording")
        return recording

    def reached(self) -> Reached:
        """Say which faults have fired so far."""
        reached: Reached = self._supervisor.ask("ask", "reached")
        return reached

    def running(self) -> list[int]:
        """Give the pids of the processes that still live."""
        return list(self._supervisor.ask("ask", "running"))

    def stopped(self) -> list[int]:
        """Give the pids of the processes that stand still."""
        return [process.pid for process in processes.named(self.running()) if processes.stopped(process)]

    def heard(self) -> int:
        """Say how many calls have been looked at so far, those that did not touch the home included."""
        return int(self._supervisor.ask("ask", "heard"))


def _guard(named: int) -> None:
    """Hear which processes there are; when the supervisor is gone, however it went, kill those that are still there."""
    processes: list[tuple[int, int]] = []
    with open(named, encoding="ascii") as lines:
        for line in lines:
            pid, started = line.split()
            processes.append((int(pid), int(started)))
    kill_all(processes)
