"""The benchmarks run, and their reports have the form that is promised; how long anything takes is not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.all import BENCHMARKS

ROOT = Path(__file__).parents[2]

QUICK = ("start", "death", "messages", "vats", "imports")


def run(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", module, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is read from /proc")
def test_each_row_has_a_subject_and_a_floor_and_the_report_is_the_table(tmp_path: Path) -> None:
    file = tmp_path / "report.json"

    done = run("benchmarks", *QUICK, "--rounds", "1", "--json", str(file))

    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    rows: list[dict[str, Any]] = report["rows"]
    chosen = [benchmark for benchmark in BENCHMARKS if benchmark.name in QUICK]
    assert [row["what"] for row in rows] == [row.what for benchmark in chosen for row in benchmark.rows]
    for row in rows:
        assert 0 < row["subject"]["least"] <= row["subject"]["median"] <= row["subject"]["most"]
        assert row["floor"]["median"] > 0
        assert row["ratio"] == pytest.approx(row["subject"]["median"] / row["floor"]["median"])
        assert (row["met"] is None) == (row["atMost"] is None and row["secondsAtMost"] is None)
    heads, line, *lines = done.stdout.splitlines()
    assert len({len(text) for text in (heads, line, *lines)}) == 1
    assert len(lines) == len(rows)

    compared = run("benchmarks.compare", str(file), str(file))

    assert compared.returncode == 0, compared.stderr
    assert [text.split(" | ")[4].strip() for text in compared.stdout.splitlines()[2:]] == ["1.00"] * len(rows)


def test_a_benchmark_that_there_is_not_is_named() -> None:
    done = run("benchmarks", "strat")

    assert done.returncode == 2
    assert "there is no benchmark 'strat'" in done.stderr


def test_no_two_benchmarks_and_no_two_rows_have_one_name() -> None:
    names = [benchmark.name for benchmark in BENCHMARKS]
    rows = [(row.number, row.what) for benchmark in BENCHMARKS for row in benchmark.rows]

    assert len(set(names)) == len(names)
    assert len(set(rows)) == len(rows)


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is read from /proc")
def test_homes_of_each_size_are_measured_beside_an_empty_one(short_tmp: Path) -> None:
    program = """
import sys
from pathlib import Path
from benchmarks.measuring import adopt_orphans
from benchmarks.sizes import measure_sizes
adopt_orphans()
for name, sample in sorted(measure_sizes(Path(sys.argv[1]), (1, 3), 1).items()):
    print(name, sample.amount > 0, sample.cpu)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(short_tmp)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = [line.split() for line in done.stdout.splitlines()]
    assert [(kind, int(size), positive) for kind, size, positive, _cpu in found] == [
        (kind, size, "True") for kind in ("memory", "start") for size in (0, 1, 3)
    ]
    assert all((cpu == "None") == (kind == "memory") for kind, _size, _positive, cpu in found)
