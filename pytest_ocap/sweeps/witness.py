"""Recording and injecting by strace: the witness against which the supervisor is checked.

Invariant: it shares nothing with the supervisor but the table of calls and the form of a recording.  strace cannot be
told of a point by name, only of "this thread's n-th call of that name"; so the witness injects where an earlier run of
the same workload, without faults, has told it which that is, and looks afterwards whether the fault struck the point
that was meant.
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
from pytest_ocap.sweeps import abi, strace_lines
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
        folder = tempfile.mkdtemp(prefix="ocap-strace-")
        session = WitnessedSession(folder, os.path.realpath(home), workload)
        for injection in injections:
            session.arm(injection, self._expressions(injection))
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

    def _expressions(self, injection: Injection) -> list[str] | str:
        """Give what strace must be told, or the reason why it cannot be."""
        fault, point = injection.fault, injection.point
        found = self._learned.get(point)
        if found is None:
            return _UNKNOWN
        if not fault.can_strike(point.kind):
            return f"{fault} cannot strike a call of the kind {point.kind}"
        if fault.persistent:
            return "strace cannot keep a lasting error to the calls in the home"
        if fault.how in _CANNOT:
            return _CANNOT[fault.how]
        name, count = found
        return [f"inject={name}:{_words(fault)}:when={count}"]


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
        self._expressions: list[str] = []
        self._armed: list[Injection] = []
        self._missed: dict[Injection, str] = {}
        self._written: dict[Path, int] = {}
        self._read: tuple[Recording, list[Line], list[Line]] | None = None

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command line: strace, detached, with an output file for each client."""
        trace = ",".join(f"?{name}" for name in (*abi.CALLS, *_FURTHER))
        injections = [word for expression in self._expressions for word in ("-e", expression)]
        words = ["strace", *_OPTIONS, "-e", f"trace={trace}", *injections]
        return ("/bin/sh", "-c", f'exec {" ".join(words)} -o "$0/$$" -- "$@"', self._folder)

    def arm(self, injection: Injection, expressions: list[str] | str) -> None:
        """Have an injection made, or say why it cannot be."""
        if isinstance(expressions, str):
            self._missed[injection] = expressions
        else:
            self._armed.append(injection)
            self._expressions += expressions

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
        """Nothing is known of processes before the run has ended."""
        return []

    def reached(self) -> Reached:
        """Say which faults have fired, by what strace says it did."""
        recording, kept, _ = self.read()
        fired: dict[Injection, Firing] = {}
        for point, call in points(recording, self.workload, all_kinds()):
            line = kept[call.number]
            for injection in self._armed:
                if injection.point == point and _struck(injection.fault, line):
                    fired[injection] = Firing(injection, call.number, call.name, call.process)
        missed = {injection: "its point was not reached" for injection in self._armed if injection not in fired}
        return Reached(tuple(fired.values()), tuple((missed | self._missed).items()))

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
            return line.injected or line.result is not None
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
