"""How a start grows with what the home holds: subclusters of one vat each, none of which anybody talks to."""

from __future__ import annotations

import os
import shutil
import statistics
from typing import TYPE_CHECKING

from benchmarks.measuring import Meter, await_gone, ocap
from benchmarks.table import Benchmark, Row, Sample
from benchmarks.vats import SOURCE
from kernel.bundle import build_bundle
from kernel.daemon.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZES = (1, 10, 100, 1_000)
LARGE = 10_000

REPETITIONS = 7
"""How often each home is started, all of them in turn."""

LAUNCHES = 100
"""How many subclusters are launched before the daemon, and with it every worker, is ended."""


def measure(place: Path) -> dict[str, Sample]:
    """Start daemons on homes of every size but the largest."""
    return measure_sizes(place, SIZES)


def measure_large(place: Path) -> dict[str, Sample]:
    """Start daemons on a home of the largest size, which takes some minutes to make."""
    return measure_sizes(place, (LARGE,))


def measure_sizes(place: Path, sizes: tuple[int, ...], repetitions: int = REPETITIONS) -> dict[str, Sample]:
    """Start daemons on homes of these sizes and on an empty one."""
    source, bundle = place / "main.py", place / "main.bundle"
    source.write_text(SOURCE)
    bundle.write_bytes(build_bundle(os.fspath(source)))
    homes = {0: place / "h0"}
    largest = place / "h"
    for size in _grown(largest, place, bundle, sizes):
        homes[size] = place / f"h{size}"
        shutil.copytree(largest, homes[size])
    found: dict[int, list[tuple[Sample, int]]] = {size: [] for size in homes}
    for _ in range(repetitions):
        for size, home in homes.items():
            found[size].append(_started(home))
    samples: dict[str, Sample] = {}
    for size, each in found.items():
        samples[f"start {size}"] = Sample(
            statistics.median(sample.amount for sample, _ in each),
            statistics.median(sample.cpu or 0.0 for sample, _ in each),
        )
        samples[f"memory {size}"] = Sample(statistics.median(memory for _, memory in each))
    return samples


def _grown(home: Path, place: Path, bundle: Path, sizes: tuple[int, ...]) -> Iterator[int]:
    """Launch subclusters in a home, each of its own bundle; give each size once it is reached and the daemon ended."""
    bundles = place / "bundles"
    bundles.mkdir()
    launched = 0
    for size in sizes:
        while launched < size:
            ocap(home, "daemon", "start")
            pid = int((home / "daemon.pid").read_text())
            with Client(home / "daemon.sock", timeout=60.0) as client:
                for _ in range(min(LAUNCHES, size - launched)):
                    own = bundles / f"{launched}.bundle"
                    shutil.copyfile(bundle, own)
                    vats = {"vat": {"bundleSpec": own.as_uri(), "parameters": {"number": launched}}}
                    client.call("launchSubcluster", {"config": {"bootstrap": "vat", "vats": vats}})
                    launched += 1
            ocap(home, "daemon", "stop")
            await_gone(pid)
        yield size


def _started(home: Path) -> tuple[Sample, int]:
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


BENCHMARK = Benchmark("sizes", _rows(SIZES, {1_000: 1.5}, {1_000: 1.5}), measure, rounds=1)

LARGEST = Benchmark("largest", _rows((LARGE,), {LARGE: 4.0}, {LARGE: 3.0}), measure_large, rounds=1)
