"""The benchmarks run, and their reports have the form that is promised; how long anything takes is not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import markers, page, recording, scaling
from benchmarks.all import BENCHMARKS
from benchmarks.scaling import Found
from kernel.daemon.client import Client
from kernel.daemon.ensure import ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.engine.doctor import examine
from pytest_ocap.marker_table import MARKERS

ROOT = Path(__file__).parents[2]

QUICK = ("start", "messages", "vats", "imports")


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
        assert (row["met"] is None) == (row["atMost"] is row["secondsAtMost"] is row["p99AtMost"] is None)
    assert report["notMeasured"] == []
    heads, line, *lines = done.stdout.splitlines()
    assert len({len(text) for text in (heads, line, *lines)}) == 1
    assert len(lines) == len(rows)

    compared = run("benchmarks.compare", str(file), str(file))

    assert compared.returncode == 0, compared.stderr
    assert [text.split(" | ")[4].strip() for text in compared.stdout.splitlines()[2:]] == ["1.00"] * len(rows)


def test_a_table_takes_the_place_of_the_old_one_on_its_page_and_touches_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("# Title\n\n<!-- table: begin -->\nold\n<!-- table: end -->\n\nafter\n")

    page.put("table", "| new |\n", file)

    assert page.text_of("table", file) == "| new |"
    assert file.read_text() == "# Title\n\n<!-- table: begin -->\n\n| new |\n\n<!-- table: end -->\n\nafter\n"
    with pytest.raises(ValueError, match="scaling: begin"):
        page.put("scaling", "| new |", file)


def test_the_table_on_the_page_has_the_rows_of_the_program() -> None:
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.text_of("table").splitlines()[3:]]
    shown = [(row[1], row[4]) for row in cells if row and row[0].isdecimal()]
    assert shown == [(row.what, row.floor_is) for benchmark in BENCHMARKS for row in benchmark.rows]


def test_a_benchmark_that_there_is_not_is_named() -> None:
    done = run("benchmarks", "strat")

    assert done.returncode == 2
    assert "there is no benchmark 'strat'" in done.stderr


def test_no_two_benchmarks_and_no_two_rows_have_one_name() -> None:
    names = [benchmark.name for benchmark in BENCHMARKS]
    rows = [(row.number, row.what) for benchmark in BENCHMARKS for row in benchmark.rows]

    assert len(set(names)) == len(names)
    assert len(set(rows)) == len(rows)


def measured(short_tmp: Path, call: str) -> list[list[str]]:
    """Measure something in a process of its own, and give for each name what was found, as texts."""
    program = f"""
import sys
from pathlib import Path
from benchmarks import death, homes, markers, recording, scaling, sizes
from benchmarks.measuring import adopt_orphans
adopt_orphans()
place = Path(sys.argv[1])
for name, found in sorted(({call}).items()):
    print(name, *vars(found).values() if hasattr(found, "__dict__") else found, sep="|")
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
    return [line.split("|") for line in done.stdout.splitlines()]


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is read from /proc")
def test_what_takes_longer_is_measured_in_a_small_form(short_tmp: Path) -> None:
    calls = ('markers.measure_markers(place, ["stale_socket"])', "recording.measure(place)")
    found = measured(short_tmp, f"{{**{', **'.join(calls)}, 'death': death.measure_deaths(place, 1)['death'][0]}}")
    amounts = {name: float(amount) for name, amount, _cpu in found}

    marked = [row for row in markers.BENCHMARK.rows if "first" in row.what or "`stale_socket`" in row.what]
    assert len(markers.BENCHMARK.rows) == 1 + len(MARKERS)
    assert all(0 < amounts[row.floor] <= amounts[row.subject] for row in marked)
    rows = (*marked, *recording.BENCHMARK.rows)
    assert amounts.keys() == {"death", *(name for row in rows for name in (row.subject, row.floor))}
    assert all(amount > 0 for amount in amounts.values())


def test_growth_is_the_exponent_of_the_power_law_that_fits_best() -> None:
    sizes = [10, 100, 1_000, 10_000]

    assert scaling.exponent(sizes, [3 * size**0.7 for size in sizes]) == pytest.approx(0.7)
    assert scaling.exponent(sizes, [5.0] * 4) == pytest.approx(0)
    assert scaling.exponent([10, 100, 1_000], [10, 1_000, 1_000]) == pytest.approx(1)  # as 1, 3, 3 over 1, 2, 3


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is read from /proc")
def test_whatever_may_grow_is_measured_in_a_home_that_the_kernel_could_have_made(short_tmp: Path) -> None:
    subclusters, objects, axis = 3, 5, scaling.AXES[0]
    size = f"homes.Size({subclusters}, {objects}, 100_000)"
    found = measured(short_tmp, f'{{"found": scaling.measure(place, {size}, points=1, repetitions=1)}}')
    everything = Found(*map(float, found[0][1:]))
    home = Home(str(short_tmp / "h"))

    heads, *rows = scaling.rows_of(axis, {10: everything, 100: everything})
    assert heads[:4] == ("subclusters", "", "10", "100")
    assert [row[1] for row in rows] == [what for what, _name, _unit in scaling.COLUMNS]
    assert all(row[2] == row[3] and row[6:] == ("0.00", "0.00") for row in rows)
    assert {len(row) for row in (heads, *rows)} == {len(scaling.HEADS)}
    launched = 2  # by what measures messages
    assert examine(home.store, home.bundles) == {
        "state": "healthy",
        "subclusters": {"total": subclusters + launched, "restored": subclusters + launched},
        "findings": [],
        "notices": [],
    }
    ensure_daemon(home)
    try:
        with Client(home.socket) as client:
            roots = [entry["rootKref"] for entry in client.call("getStatus")["subclusters"][:subclusters]]
            answers = [client.call("queueMessage", [root, "count_objects", []])["body"] for root in roots]
            (kept,) = client.call("executeDBQuery", ["SELECT sum(length(body)) AS bytes FROM baggage"])
    finally:
        stop_daemon(home)
    assert answers == [f"#{objects}"] * subclusters
    assert kept["bytes"] > subclusters * 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is read from /proc")
def test_homes_of_each_size_are_measured_beside_an_empty_one(short_tmp: Path) -> None:
    found = [
        (*name.split(), float(amount) > 0, cpu == "None")
        for name, amount, cpu in measured(short_tmp, "sizes.measure_sizes(place, (3,), 1)")
    ]

    assert found == [(kind, str(size), True, kind == "memory") for kind in ("memory", "start") for size in (0, 3)]
