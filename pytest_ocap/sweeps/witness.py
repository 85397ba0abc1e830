"""Recording and injecting by strace: the witness against which the supervisor is checked.

Invariant: it shares nothing with the supervisor but the table of calls and the form of a recording.  strace cannot be
told of a point by name, only of "each thread's n-th call of that name"; so the witness injects where an earlier run of
the same workload, without faults, has told it which that is, and looks afterwards whether the fault struck the point
that was meant, and no other call.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ocap.clock import Clock
from pytest_ocap.processes import TRACER
from pytest_ocap.sweeps import abi, strace_lines
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.injection import Fault, Firing, How, Injection, Reached
from pytest_ocap.sweeps.points import all_kinds, points
from pytest_ocap.sweeps.strace_reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_ocap.sweeps.calls import Recording
    from pytest_ocap.sweeps.points import Point
    from pytest_ocap.sweeps.strace_lines import Line

LONGEST = 1 << 25
"""Strings longer than this are cut, in bytes."""

_FURTHER = ("chdir", "fchdir", "dup", "dup2", "dup3")
_OPTIONS = ("-DDD", "-f", "-q", "-X", "raw", "-xx", "-yy", "-s", str(LONGEST), "-ttt", "-T")
_SETTLE_SECONDS = 0.2
_CANNOT = {
    How.KILL_AFTER: "strace kills before a call, not after it",
    How.SHORT: "strace cannot cut a write short",
}
_PASSED_BY = "its point was not reached"
_ELSEWHERE = "strace, which counts each thread's calls by their names, struck another call, or others besides"
_UNKNOWN = "strace must have recorded the workload without faults before: it counts a thread's calls by their names"


class Witness:
    """Records and injects by strace."""

    name = "strace"

    def __init__(self) -> None:
        self._learned: dict[Point, tuple[str, int]] = {}

    def missing(self) -> str | None:
        """Say what this machine lacks; None when nothing."""
        from pytest_ocap.sweeps.probing import strace_lacks

        return strace_lacks()

    @contextmanager
    def record(self, home: Path, workload: str, injections: Sequence[Injection] = ()) -> Iterator[WitnessedSession]:
        """Record a run; see :class:`pytest_ocap.sweeps.means.Means`.  A run without faults is learned from."""
        folder = tempfile.mkdtemp(prefix=TRACER)
        session = WitnessedSession(folder, os.path.realpath(home), workload)
        for injection in injections:
            session.arm(injection, self.cannot(injection), self._learned.get(injection.point))
        try:
            yield session
            if not injections and session.wait(_SETTLE_SECONDS):
                self._learn(session)
        finally:
            session.end()
            shutil.rmtree(folder)

    def _learn(self, session: WitnessedSession) -> None:
        """Remember, for each point, which call of which name it was in its thread."""
        recording, kept, lines = session.read()
        located = {call.number: point for point, call in points(recording, session.workload, all_kinds())}
        numbers = {id(line): number for number, line in enumerate(kept)}
        counts: dict[int, Counter[str]] = {}
        for line in lines:
            mine = counts.setdefault(line.thread, Counter())
            mine[line.name] += 1
            number = numbers.get(id(line))
            if number in located:
                self._learned[located[number]] = (line.name, mine[line.name])

    def cannot(self, injection: Injection) -> str | None:
        """Say why strace cannot be told of a fault; see :class:`pytest_ocap.sweeps.means.Means`."""
        if injection.fault.persistent:
            return "strace cannot keep a lasting error to the calls in the home"
        if injection.fault.how is How.ERRNO and injection.point.kind is Kind.CLOSE:
            return "strace does not have a call made that it has fail, and Linux closes a descriptor all the same"
        reason = _CANNOT.get(injection.fault.how) or injection.reason_against()
        return reason or (None if injection.point in self._learned else _UNKNOWN)

    def close(self) -> None:
        """There is nothing to end: each run's strace ends with it."""


def _words(fault: Fault) -> str:
    match fault.how:
        case How.KILL:
            return "signal=KILL"
        case How.HANG:
            return "signal=STOP"
        case How.SLOW:
            return f"delay_enter={int(fault.seconds * 1_000_000)}"
        case _:
            assert fault.error is not None
            return f"error={errno.errorcode[fault.error]}"


class WitnessedSession:
    """A run that strace follows."""

    def __init__(self, folder: str, home: str, workload: str) -> None:
        self.workload = workload
        self._folder = folder
        self._home = home
        self._armed: dict[Injection, tuple[str, int]] = {}
        self._missed: dict[Injection, str] = {}
        self._written: dict[Path, int] = {}
        self._read: tuple[Recording, list[Line], list[Line]] | None = None

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command line: strace, detached, with an output file for each client."""
        trace = ",".join(f"?{name}" for name in (*abi.CALLS, *_FURTHER))
        words = ["strace", *_OPTIONS, "-e", f"trace={trace}"]
        for injection, (name, count) in self._armed.items():
            words += ["-e", f"inject={name}:{_words(injection.fault)}:when={count}"]
        return ("/bin/sh", "-c", f'exec {" ".join(words)} -o "$0/$$" -- "$@"', self._folder)

    def arm(self, injection: Injection, reason: str | None, call: tuple[str, int] | None) -> None:
        """Have an injection made at each thread's so-manieth call of a name, or say why it cannot be."""
        if reason is not None or call is None:
            self._missed[injection] = reason or _UNKNOWN
        else:
            self._armed[injection] = call

    def wait(self, seconds: float) -> bool:
        """Wait until strace, which ends with the last process that it follows, has ended."""
        return Clock().wait_until(lambda: not self._tracers(), seconds)

    def recording(self) -> Recording:
        """Give what has been recorded so far."""
        return self.read()[0]

    def read(self) -> tuple[Recording, list[Line], list[Line]]:
        """Read what strace wrote: the recording, the lines of its calls, all lines."""
        written = {path: path.stat().st_size for path in sorted(Path(self._folder).iterdir())}
        if self._read is None or self._written != written:
            lines: list[Line] = []
            for path in written:
                with path.open(encoding="ascii") as file:
                    lines += strace_lines.read(line for line in file if line.endswith("\n"))
            lines.sort(key=lambda line: line.began)
            self._written, self._read = written, (*Reading(self._home).recording(lines), lines)
        return self._read

    def running(self) -> list[int]:
        """Give the pids of the processes that strace still follows."""
        return [traced for tracer in self._tracers() for traced in _traced_by(tracer)]

    def stopped(self) -> list[int]:
        """Give the pids of the processes that stand still: strace has said so, and still follows them."""
        threads = {line.thread for line in self.read()[2] if line.stopped}
        return [pid for pid in self.running() if threads & {int(name) for name in os.listdir(f"/proc/{pid}/task")}]

    def reached(self) -> Reached:
        """Say which faults have fired, by what strace says it did; one that struck other calls too is none."""
        recording, kept, lines = self.read()
        struck = {injection: self._struck(injection, lines) for injection in self._armed}
        missed = {injection: _ELSEWHERE if lines else _PASSED_BY for injection, lines in struck.items()}
        fired: dict[Injection, Firing] = {}
        for point, call in points(recording, self.workload, all_kinds()):
            for injection in [injection for injection in missed if injection.point == point]:
                if struck[injection] and all(line is kept[call.number] for line in struck[injection]):
                    fired[injection] = Firing(injection, call.number, call.name, call.process)
                    del missed[injection]
        return Reached(tuple(fired.values()), tuple((missed | self._missed).items()))

    def _struck(self, injection: Injection, lines: Sequence[Line]) -> list[Line]:
        """Give the calls, of whatever thread, that an injection has struck."""
        name, count = self._armed[injection]
        calls: Counter[int] = Counter()
        found = []
        for line in lines:
            if line.name == name:
                calls[line.thread] += 1
                if calls[line.thread] == count and _struck(injection.fault, line):
                    found.append(line)
        return found

    def end(self) -> None:
        """Kill what still runs: tracers let go of what they follow when they are killed, so that goes first."""
        while tracers := self._tracers():
            for tracer in tracers:
                for traced in _traced_by(tracer):
                    _kill(traced)
            Clock().wait_until(lambda: not self._tracers(), 0.2)

    def _tracers(self) -> list[int]:
        """Find the processes of strace that write into this run's folder."""
        found = []
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(OSError):
                    words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
                    output = os.fsencode(self._folder) + b"/"
                    if words[0] == b"strace" and any(word.startswith(output) for word in words):
                        found.append(int(entry.name))
        return found


def _struck(fault: Fault, line: Line) -> bool:
    match fault.how:
        case How.KILL:
            return line.killed and line.result is None
        case How.HANG:
            return line.stopped
        case _:
            return line.injected


def _traced_by(tracer: int) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, KeyError):
                status = Path(entry.path, "status").read_text(encoding="utf-8", errors="replace")
                if f"\nTracerPid:\t{tracer}\n" in status:
                    found.append(int(entry.name))
    return found


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
