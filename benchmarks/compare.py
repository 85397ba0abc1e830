"""``python -m benchmarks.compare BEFORE AFTER``: the ratios of what two runs of the benchmarks found.

Each is a file that ``python -m benchmarks --json`` has written, or a revision of git, whose packages are then measured
by the benchmarks of this tree; the two take turns, so that what disturbs the machine disturbs both alike.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.table import quantity, render, times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent

HEADS = ("row", "what", "before", "after", "after/before", "CPU before", "CPU after", "after/before")


def ratios(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Give the cells of the rows that both have, by the medians of several reports each."""
    cells: list[tuple[str, ...]] = []
    for row in after[0]["rows"]:
        key = (row["number"], row["what"])
        pairs = [(_median(before, key, value), _median(after, key, value)) for value in ("median", "cpu")]
        if pairs[0][0] is None:
            continue
        units = (row["unit"], "s")
        shown = [
            (quantity(old, unit), quantity(new, unit), times(new / old if old and new else None))
            for (old, new), unit in zip(pairs, units, strict=True)
        ]
        cells.append((str(row["number"]), row["what"], *shown[0], *shown[1]))
    return cells


def _median(reports: Sequence[dict[str, Any]], key: tuple[int, str], value: str) -> float | None:
    rows = [row for report in reports for row in report["rows"] if (row["number"], row["what"]) == key]
    found = [row["subject"][value] for row in rows if row["subject"][value] is not None]
    return statistics.median(found) if found else None


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Give a folder to import from: the packages of a revision, and the benchmarks of this tree."""
    with tempfile.TemporaryDirectory(prefix="ocb-") as folder:
        tree, path = Path(folder, "tree"), Path(folder, "path")
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, revision], cwd=ROOT, check=True)
        try:
            path.mkdir()
            (path / "benchmarks").symlink_to(ROOT / "benchmarks")
            for package in ("kernel", "pytest_ocap"):
                (path / package).symlink_to(tree / package)
                compileall.compile_dir(tree / package, quiet=2)  # or the first round would measure the compiler
            yield path
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def measured(path: Path, names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Measure what can be imported from a folder, in a process of its own."""
    file = path.parent / "report.json"
    words = ("-P", "-m", "benchmarks", *names, "--rounds", str(rounds), "--json", os.fspath(file))
    env = {**os.environ, "PYTHONPATH": os.fspath(path)}
    subprocess.run([sys.executable, *words], env=env, cwd=path, check=True, stdout=subprocess.DEVNULL)
    report: dict[str, Any] = json.loads(file.read_text())
    return report


def compared(before: str, after: str, names: Sequence[str], rounds: int) -> list[tuple[str, ...]]:
    """Give the cells of the table of two files or two revisions."""
    if Path(before).is_file() and Path(after).is_file():
        return ratios([json.loads(Path(before).read_text())], [json.loads(Path(after).read_text())])
    with ExitStack() as stack:
        paths = [stack.enter_context(checked_out(revision)) for revision in (before, after)]
        reports: list[list[dict[str, Any]]] = [[], []]
        for _ in range(rounds):
            for path, found in zip(paths, reports, strict=True):
                found.append(measured(path, names, 1))
    return ratios(*reports)


def main(argv: Sequence[str] | None = None) -> None:
    """Compare what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__.partition(": ")[2])
    parser.add_argument("before", metavar="BEFORE", help="a file of JSON, or a revision")
    parser.add_argument("after", metavar="AFTER", help="the other one")
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these benchmarks")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="how often revisions are measured")
    options = parser.parse_args(argv)
    print(render(compared(options.before, options.after, options.names, options.rounds), HEADS))


if __name__ == "__main__":
    main()
