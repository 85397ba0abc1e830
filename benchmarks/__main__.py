"""``python -m benchmarks``: measures, prints the table, writes it as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.all import BENCHMARKS
from benchmarks.measuring import adopt_orphans
from benchmarks.table import Measured, cells, render, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.table import Benchmark


def measure(benchmarks: Sequence[Benchmark], rounds: int) -> dict[str, Any]:
    """Measure, each benchmark once in a round; give the report."""
    adopt_orphans()
    measured = Measured()
    for done in range(rounds):
        for benchmark in benchmarks:
            if done < benchmark.rounds:
                _show(f"round {done + 1} of {rounds}: {benchmark.name}")
                with tempfile.TemporaryDirectory(prefix="ocb-", dir="/tmp") as place:  # short enough for a socket
                    measured.add(benchmark.measure(Path(place)))
    _show("")
    return report((row for benchmark in benchmarks for row in benchmark.rows), measured)


def _show(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress:40}\r{progress}", end="", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(": ")[2])
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"only these: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="how often each is measured (default: 11)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what was measured to FILE")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(names))
    if unknown or options.rounds < 1:
        parser.error(f"there is no benchmark {unknown[0]!r}" if unknown else "measure at least once")
    chosen = [benchmark for benchmark in BENCHMARKS if not options.names or benchmark.name in options.names]
    found = measure(chosen, options.rounds)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    print(render(cells(row) for row in found["rows"]))


if __name__ == "__main__":
    main()
