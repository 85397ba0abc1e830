"""Programs run under a means of recording, and what there is to say about them afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_ocap.sweeps.calls import Call, Kind, Recording
from pytest_ocap.sweeps.injection import Injection, Reached
from pytest_ocap.sweeps.means import Means
from pytest_ocap.sweeps.points import POINT_KINDS, all_kinds, points

PATIENCE = 30.0
PRELUDE = "import fcntl, mmap, os, signal, socket, sys, threading, time\n"


@dataclass(frozen=True)
class Recorded:
    """A run: how the program ended, what it said, what was recorded, which faults fired."""

    status: int
    output: str
    recording: Recording
    reached: Reached

    def of(self, *kinds: Kind) -> list[Call]:
        """Give the calls of some kinds."""
        return [call for call in self.recording.calls if call.kind in kinds]

    def points(self, kinds: Collection[Kind] = POINT_KINDS) -> list[str]:
        """Give the names of the points."""
        return [str(point) for point, _ in points(self.recording, "w", kinds)]


def python(program: str) -> list[str]:
    """Make the command line of a small program, started as fast as Python can."""
    return [sys.executable, "-I", "-S", "-c", PRELUDE + textwrap.dedent(program)]


def record(means: Means, home: Path, command: Sequence[str] | str, *injections: str) -> Recorded:
    """Run a command, or a small program of Python, in a home; record it, with faults."""
    words = python(command) if isinstance(command, str) else list(command)
    with means.record(home, "w", [Injection.parse(text) for text in injections]) as session:
        done = subprocess.run(
            [*session.prefix, *words],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert session.wait(PATIENCE), "something of the tree still runs"
        return Recorded(done.returncode, done.stdout, session.recording(), session.reached())


def alone(home: Path, command: Sequence[str] | str) -> tuple[int, str]:
    """Run the same without being recorded."""
    words = python(command) if isinstance(command, str) else list(command)
    done = subprocess.run(
        words,
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def comparable(recording: Recording) -> list[tuple[object, ...]]:
    """Give what two means must agree on, whatever differs between two runs: points, processes, contents, words."""
    return [
        (
            str(point),
            call.name,
            call.process,
            call.target,
            call.data,
            None if call.name == "fallocate" else call.size,  # strace does not show how large the file was before
            call.operation,
            call.text,
            call.append,
        )
        for point, call in points(recording, "w", all_kinds())
    ]


def home_in(folder: Path, name: str = "home") -> Path:
    """Make an empty home."""
    home = folder / name
    os.mkdir(home)
    return home
