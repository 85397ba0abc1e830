"""How a start grows with what the home holds: subclusters of one vat each, none of which anybody talks to."""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING

from benchmarks import homes
from benchmarks.measuring import Meter, await_gone, ocap
from benchmarks.table import Benchmark, Row, Sample
from kernel.daemon.client import Client

if TYPE_CHECKING:
    from pathlib import Path

SIZES = (1, 10, 100, 1_000, 10_000)

REPETITIONS = 7
"""How often each home is started, all of them in turn."""


def measure(place: Path) -> dict[str, Sample]:
    """Start daemons on homes of every size."""
    return measure_sizes(place, SIZES)


def measure_sizes(place: Path, sizes: tuple[int, ...], repetitions: int = REPETITIONS) -> dict[str, Sample]:
    """Start daemons on homes of these sizes and on an empty one."""
    found_in = {size: place / f"h{size}" for size in (0, *sizes)}
    for size, home in found_in.items():
        homes.make(home, place / f"b{size}", homes.Size(size))
    found: dict[int, list[tuple[Sample, int]]] = {size: [] for size in found_in}
    for _ in range(repetitions):
        for size, home in found_in.items():
            found[size].append(started(home))
    samples: dict[str, Sample] = {}
    for size, each in found.items():
        samples[f"start {size}"] = Sample(
            statistics.median(sample.amount for sample, _ in each),
            statistics.median(sample.cpu or 0.0 for sample, _ in each),
        )
        samples[f"memory {size}"] = Sample(statistics.median(memory for _, memory in each))
    return samples


def started(home: Path) -> tuple[Sample, int]:
    """Start a daemon and ask it for a sign of life; give what that took, and how many bytes of memory it uses."""
    with Meter() as start:
        ocap(home, "daemon", "start")
        with Client(home / "daemon.sock") as client:
            client.call("ping")
    pid = int((home / "daemon.pid").read_text())
    with open(f"/proc/{pid}/statm", "rb") as file:
        memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    ocap(home, "daemon", "stop")
    await_gone(pid)
    return start.sample, memory


def _rows(sizes: tuple[int, ...], start_at_most: dict[int, float], memory_at_most: dict[int, float]) -> tuple[Row, ...]:
    starts = [
        Row(
            2,
            f"start to ping, {_of(size)} persisted",
            f"start {size}",
            "start 0",
            "the same on an empty home",
            at_most=start_at_most.get(size),
        )
        for size in sizes
    ]
    memories = [
        Row(
            2,
            f"memory of the daemon, {_of(size)} persisted",
            f"memory {size}",
            "memory 0",
            "the same on an empty home",
            at_most=memory_at_most.get(size),
            unit="B",
        )
        for size in sizes
    ]
    return (*starts, *memories)


def _of(size: int) -> str:
    return f"{size:,} subcluster{'s' if size > 1 else ''}"


BENCHMARK = Benchmark("sizes", _rows(SIZES, {1_000: 1.5, 10_000: 4.0}, {1_000: 1.5, 10_000: 3.0}), measure, rounds=1)
