"""What the package costs those who import it, and a project that has the plugin installed and does not use it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from benchmarks.measuring import FailedError, Meter, bare_python, run
from benchmarks.table import Benchmark, Row, Sample

if TYPE_CHECKING:
    from pathlib import Path

TESTS = 1000
MODULES = ("pytest_ocap.plugin", "kernel", "kernel.cli.app")


def measure(place: Path) -> dict[str, Sample]:
    """Import each module in a process of its own."""
    samples = {"python": bare_python(), "pytest": _imported("pytest")}
    samples.update({module: _imported(module) for module in MODULES})
    # The plugin is imported by pytest, so what pytest has imported already is not the plugin's cost.
    samples["pytest_ocap.plugin"] = _imported("pytest, pytest_ocap.plugin")
    samples["the plugin alone"] = _within(place / "seconds")
    return samples


def _imported(modules: str) -> Sample:
    with Meter() as meter:
        run(sys.executable, "-c", f"import {modules}")
    return meter.sample


def _within(file: Path) -> Sample:
    """Measure the import of the plugin inside a process that has imported pytest."""
    program = "import pytest, sys, time; t = time.perf_counter(); import pytest_ocap.plugin; t -= time.perf_counter()"
    run(sys.executable, "-c", f"{program}; open(sys.argv[1], 'w').write(str(-t))", os.fspath(file))
    return Sample(float(file.read_text()))


def measure_project(place: Path) -> dict[str, Sample]:
    """Run a project of empty tests without the plugin and with it."""
    (place / "pytest.ini").write_text("[pytest]\n")
    tests = "\n".join(f"def test_{number}():\n    pass\n" for number in range(TESTS))
    (place / "test_project.py").write_text(tests)
    return {"without": _tests(place, "-p", "no:pytest_ocap"), "with": _tests(place)}


def _tests(place: Path, *options: str) -> Sample:
    said = place / "said.txt"
    words = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir", os.fspath(place), *options)
    with Meter() as meter:
        run(sys.executable, "-P", "-m", "pytest", *words, os.fspath(place / "test_project.py"), output=said)
    if f"{TESTS} passed" not in said.read_text():
        raise FailedError(said.read_text()[-2000:])
    return meter.sample


_BARE = "one `python -c pass`"

BENCHMARK = Benchmark(
    "imports",
    (
        Row(10, "`import pytest_ocap.plugin`, after pytest", "pytest_ocap.plugin", "pytest", "`import pytest`"),
        Row(
            10,
            "the import of `pytest_ocap.plugin` itself",
            "the plugin alone",
            "pytest",
            "`import pytest`",
            seconds_at_most=0.01,
        ),
        Row(10, "`import kernel`", "kernel", "python", _BARE),
        Row(10, "`import kernel.cli.app`", "kernel.cli.app", "python", _BARE),
    ),
    measure,
)

PROJECT = Benchmark(
    "project",
    (
        Row(
            10,
            f"a project of {TESTS:,} empty tests, the plugin installed",
            "with",
            "without",
            "without it",
            at_most=1.02,
        ),
    ),
    measure_project,
    rounds=5,
)
