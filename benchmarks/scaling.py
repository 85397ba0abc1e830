"""How what the table measures grows with what a home holds: subclusters, objects, bytes.

    python -m benchmarks.scaling [--full] [--page]

Homes of each size are made (:mod:`benchmarks.homes`), and on each the same is measured: a start to an answered ping,
the daemon's memory, a durable message in sequence, a message from vat to vat, and the points of a sweep in a second.

The growth of each is given as an exponent b, fitted to the sizes n and the measured y as y = a * n**b by the least
squares of the logarithms::

    b = sum((x - mean(x)) * (ln(y) - mean(ln(y)))) / sum((x - mean(x))**2)    where x = ln(n)

So 0 is what does not grow, and 1 what grows in proportion.  A part that does not depend on the size bends the curve:
the exponent of small homes is less than that of large ones, which is why the last column has that of the two largest
alone.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import homes, messages
from benchmarks.measuring import adopt_orphans, await_gone, ocap
from benchmarks.page import put
from benchmarks.sizes import started
from benchmarks.sweeping import pace
from benchmarks.table import quantity, render
from kernel.daemon.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NAME = "scaling"

AMONG = 100
"""How many subclusters a home has in which the objects or the bytes grow."""

REPETITIONS = 5
"""How often a home is started."""

MESSAGES = 200
ROUND_TRIPS = 100

POINTS = 8
"""How many points are swept in each home, spread over all that there are."""


class Axis(NamedTuple):
    """What grows: its name, its sizes by default and with ``--full``, and what a home of a size has."""

    name: str
    sizes: tuple[int, ...]
    full: tuple[int, ...]
    unit: str
    home: Callable[[int], homes.Size]


AXES = (
    Axis("subclusters", (10, 100, 1_000), (10, 100, 1_000, 10_000), "", homes.Size),
    Axis(
        "objects",
        (1_000, 10_000, 100_000),
        (1_000, 10_000, 100_000, 1_000_000),
        "",
        lambda size: homes.Size(AMONG, objects=size // AMONG),
    ),
    Axis(
        "store",
        (2**20, 2**23, 2**26),
        (2**20, 2**24, 2**27, 2**30),
        "B",
        lambda size: homes.Size(AMONG, text_bytes=size // AMONG),
    ),
)


@dataclass(frozen=True)
class Found:
    """What was measured in one home: seconds, and of memory bytes."""

    start: float
    memory: float
    message: float
    vat_to_vat: float
    point: float


COLUMNS = (
    ("start to ping", "start", "s"),
    ("memory of the daemon", "memory", "B"),
    ("message in sequence, durable", "message", "s"),
    ("message from vat to vat and its answer", "vat_to_vat", "s"),
    ("points swept with `kill` in a second", "point", "/s"),
)


def exponent(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """Fit how amounts grow with sizes, as the head of this module says."""
    return statistics.linear_regression([math.log(n) for n in sizes], [math.log(y) for y in amounts]).slope


def measure(place: Path, size: homes.Size, *, points: int = POINTS, repetitions: int = REPETITIONS) -> Found:
    """Make a home of a size in an empty directory, and measure everything in it."""
    home = place / "h"
    homes.make(home, place / "b", size)
    starts = [started(home) for _ in range(repetitions)]
    point = pace(home, points)
    with _running(home) as client:
        message, vat_to_vat = messages.in_sequence(client, place, MESSAGES, ROUND_TRIPS)
    start = statistics.median(sample.amount for sample, _ in starts)
    return Found(start, statistics.median(memory for _, memory in starts), message, vat_to_vat, point)


@contextmanager
def _running(home: Path) -> Iterator[Client]:
    ocap(home, "daemon", "start")
    pid = int((home / "daemon.pid").read_text())
    try:
        with Client(home / "daemon.sock", timeout=60.0) as client:
            yield client
    finally:
        ocap(home, "daemon", "stop")
        await_gone(pid)


HEADS = ("what grows", "what is measured", "at", "", "", "", "exponent", "of the last two")


def rows_of(axis: Axis, found: dict[int, Found]) -> list[tuple[str, ...]]:
    """Give the rows of one axis: sizes first, then what was measured at each."""
    width = len(HEADS) - 4
    sizes = [quantity(size, "B") if axis.unit == "B" else f"{size:,}" for size in found]
    rows = [(axis.name, "", *_padded(sizes, width), "", "")]
    for what, name, unit in COLUMNS:
        amounts = [getattr(each, name) for each in found.values()]
        shown = [quantity(amount, unit) for amount in amounts]
        if unit == "/s":
            amounts = [1 / amount for amount in amounts]
        fits = [f"{exponent(list(found)[part], amounts[part]):.2f}" for part in (slice(None), slice(-2, None))]
        rows.append(("", what, *_padded(shown, width), *fits))
    return rows


def _padded(cells: list[str], width: int) -> list[str]:
    return [*cells, *[""] * (width - len(cells))]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    names = [axis.name for axis in AXES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.partition(": ")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"only these: {', '.join(names)}")
    parser.add_argument("--full", action="store_true", help="up to 10,000 subclusters, a million objects, 1 GiB")
    parser.add_argument("--page", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(names))
    if unknown or (options.page and options.names):
        parser.error(f"there is no {unknown[0]!r} that grows" if unknown else "the page has the whole table")
    adopt_orphans()
    load = os.getloadavg()[0]
    rows: list[tuple[str, ...]] = []
    for axis in AXES:
        if not options.names or axis.name in options.names:
            found: dict[int, Found] = {}
            for size in axis.full if options.full else axis.sizes:
                print(f"{axis.name}: {size:,}", file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory(prefix="ocb-", dir="/tmp") as place:
                    _check_room(Path(place), axis, size)
                    found[size] = measure(Path(place), axis.home(size))
            rows += rows_of(axis, found)
    command = "python -m benchmarks.scaling" + " --full" * options.full
    conditions = (
        f"Measured with `{command}`, the load of the machine {load:.1f} before and {os.getloadavg()[0]:.1f} after."
    )
    text = f"{fill(conditions, 120)}\n\n{render(rows, HEADS)}"
    if options.page:
        put(NAME, text)
    print(text)


def _check_room(place: Path, axis: Axis, size: int) -> None:
    """Stop before the disk is full: a home has its store, a write-ahead log, and while it is swept a copy."""
    needed = 3 * size if axis.unit == "B" else 2000 * size
    free = shutil.disk_usage(place).free
    if free < needed:
        sys.exit(f"{axis.name}: {size} needs {needed} bytes of disk, with its copies, and {free} are free")


if __name__ == "__main__":
    main()
