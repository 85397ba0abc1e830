"""``python -m benchmarks``: measures, prints the table, writes it as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from benchmarks.all import BENCHMARKS
from benchmarks.measuring import adopt_orphans
from benchmarks.page import put
from benchmarks.table import Measured, cells, render, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.table import Benchmark

NAME = "table"


def measure(benchmarks: Sequence[Benchmark], rounds: int) -> dict[str, Any]:
    """Measure, each benchmark once in a round; give the report."""
    adopt_orphans()
    measured = Measured()
    conditions = {"processors": len(os.sched_getaffinity(0)), "loadBefore": os.getloadavg()[0]}
    for done in range(rounds):
        for benchmark in benchmarks:
            if done < benchmark.rounds:
                _show(f"round {done + 1} of {rounds}: {benchmark.name}")
                with tempfile.TemporaryDirectory(prefix="ocb-", dir="/tmp") as place:  # short enough for a socket
                    measured.add(benchmark.measure(Path(place)))
    _show("")
    found = report((row for benchmark in benchmarks for row in benchmark.rows), measured)
    return {**found, "rounds": rounds, "conditions": conditions}


def _show(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress:40}\r{progress}", end="", file=sys.stderr, flush=True)


def markdown(found: dict[str, Any]) -> str:
    """Give a report as it stands in the documentation: in which circumstances it was measured, and the table."""
    conditions = found["conditions"]
    lacking = "".join(f" Not measured: {what}." for what in found["notMeasured"])
    text = (
        f"Measured {found['measured'][:10]} with `python -m benchmarks`, {found['rounds']} rounds: Python "
        f"{found['python']}, {found['platform']}, {conditions['processors']} processors, load "
        f"{conditions['loadBefore']:.1f} before.{lacking}"
    )
    return f"{fill(text, 120)}\n\n{render(cells(row) for row in found['rows'])}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(": ")[2])
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"only these: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="how often each is measured (default: 11)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what was measured to FILE")
    parser.add_argument("--markdown", action="store_true", help="print what stands in docs/performance.md")
    parser.add_argument("--page", action="store_true", help="write that into docs/performance.md")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(names))
    if unknown or options.rounds < 1:
        parser.error(f"there is no benchmark {unknown[0]!r}" if unknown else "measure at least once")
    if options.page and options.names:
        parser.error("the page has the whole table")
    chosen = [benchmark for benchmark in BENCHMARKS if not options.names or benchmark.name in options.names]
    found = measure(chosen, options.rounds)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.page:
        put(NAME, markdown(found))
    print(markdown(found) if options.markdown else render(cells(row) for row in found["rows"]))
    for what in () if options.markdown else found["notMeasured"]:
        print(f"not measured here: {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
