"""How soon the caller of a start knows that the daemon has died."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from benchmarks.measuring import FailedError, begin, finish, ocap_command
from benchmarks.table import Benchmark, Row, Sample

if TYPE_CHECKING:
    from pathlib import Path

DEATHS = 10
"""How many daemons are killed in each round, so that ten rounds have a hundred."""

_PATIENCE = 30.0
_DIED = 4  # the exit status of `ocap daemon start`


def measure(place: Path) -> dict[str, list[Sample]]:
    """Kill daemons, and children without any meaning."""
    return measure_deaths(place, DEATHS)


def measure_deaths(place: Path, deaths: int) -> dict[str, list[Sample]]:
    """Kill so many of each."""
    places = [place / str(number) for number in range(deaths)]
    for each in places:
        each.mkdir()
    return {"death": [_death(each) for each in places], "waitpid": [_waitpid() for _ in places]}


def _death(place: Path) -> Sample:
    """Kill a daemon in the middle of its start; wait for the end of the command that started it."""
    note = place / "note"
    env = {"OCAP_FAILPOINT": "store=hang", "OCAP_FAILPOINT_NOTE": os.fspath(note)}
    client = begin(*ocap_command(place / "h", "daemon", "start"), env=env)
    daemon = _pid_in(note)
    began = _kill(daemon)
    status = finish(client)
    told = time.perf_counter() - began
    if status != _DIED:
        raise FailedError(f"a start whose daemon was killed ended with status {status}")
    return Sample(told)


def _waitpid() -> Sample:
    child = begin("sleep", str(_PATIENCE))
    began = _kill(child)
    finish(child)
    return Sample(time.perf_counter() - began)


def _pid_in(note: Path) -> int:
    """Wait until the daemon is about to stop itself, and has noted who it is."""
    deadline = time.monotonic() + _PATIENCE
    while not (note.exists() and note.read_text().endswith("\n")):
        if time.monotonic() > deadline:
            raise FailedError("the daemon did not reach its failpoint")
        time.sleep(0.0005)
    return int(note.read_text())


def _kill(pid: int) -> float:
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    return began


BENCHMARK = Benchmark(
    "death",
    (
        Row(
            3,
            "death of a starting daemon, to the end of `ocap daemon start` with the error",
            "death",
            "waitpid",
            "`waitpid` for a killed child",
            p99_at_most=0.05,
        ),
    ),
    measure,
)
