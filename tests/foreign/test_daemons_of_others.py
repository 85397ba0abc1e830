"""Real daemons of other people's, each with its description and its declared expectations, judged by the whole suite.

A run in the example's folder is green: what does not pass is declared there, with its reason.  Those that are not
installed are skipped by name.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pytest_ocap.drivers.command import CommandDriver, driver_from
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.verdict import Finding

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "daemons"

NEEDS = {"redis": ("redis-server", "redis-cli"), "dmypy": ("dmypy",), "lifecycle": ("cc",), "node": ("node", "sqlite3")}
"""The daemons, by their folders, and the programs that each needs."""

WITHOUT_ANYTHING_DECLARED = ("lifecycle", "node")

pytestmark = pytest.mark.foreign


@pytest.fixture(params=NEEDS)
def folder(request: pytest.FixtureRequest, short_tmp: Path) -> Path:
    """Give a daemon's folder, as somebody has it who has copied it."""
    return copied(request.param, short_tmp)


def copied(name: str, short_tmp: Path) -> Path:
    for program in NEEDS[name]:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = short_tmp / name
    shutil.copytree(EXAMPLES / name, folder)
    if name == "lifecycle":
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-o", "beacon", "beacon.c"], cwd=folder, check=True)
    return folder


def judged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, dict[str, Any]]:
    """Run the suite in a daemon's folder; gives the exit status, what was printed, and the report."""
    homes = folder.parent / "tmp"
    homes.mkdir()
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(homes))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = ("-p", "pytest_ocap", "-p", "no:cacheprovider", "--pyargs", "pytest_ocap.suite", "--ocap-report", "r.json")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=folder, capture_output=True, text=True, timeout=270, check=False
    )
    assert not list(homes.glob("ocap*")), "what the harness made is gone; dmypy leaves folders of its own"
    return run.returncode, run.stdout, json.loads((folder / "r.json").read_text())


def test_a_daemon_is_as_its_folder_declares(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, printed, report = judged(folder, monkeypatch)
    assert status == 0, printed
    red = {entry["id"]: entry["verdict"] for entry in report["scenarios"] if entry["verdict"] == "harness-broken"}
    assert red == {}
    broken = {entry["id"] for entry in report["scenarios"] if entry["verdict"] in ("failed", "not-measured")}
    declared = {entry["id"] for entry in report["scenarios"] if entry["declared"]}
    assert broken <= declared
    assert bool(declared) == (folder.name not in WITHOUT_ANYTHING_DECLARED)
    assert report["summary"]["passed"] >= 3


def driver_in(folder: Path) -> CommandDriver:
    source = folder / "pyproject.toml"
    return driver_from(tomllib.loads(source.read_text())["tool"]["pytest_ocap"]["command"], source)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["redis", "dmypy"])
def test_many_starts_at_once_are_one_too_many_for_a_daemon_without_a_lock(name: str, short_tmp: Path) -> None:
    folder = copied(name, short_tmp)
    (short_tmp / "root").mkdir()
    verdict = SCENARIOS["concurrent_start"](driver_in(folder), short_tmp / "root" / "h")
    failed = {check.id for check in verdict.checks if check.verdict is Finding.FAILED}
    assert "one-daemon" in failed, verdict.explain()


STRUCK: list[tuple[str, str, str, set[str]]] = [
    ("redis", "hang", "socket", {"pid-file-early", "names-pid", "says-what-to-do", "nothing-left"}),
    ("dmypy", "hang", "log", {"names-pid", "says-what-to-do", "forced-stop-clears"}),
    ("dmypy", "kill", "log", set()),
]
"""What is found where a start is struck in time; where the harness has to wait its turn, that differs."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how", "phase", "found"), STRUCK)
def test_a_start_that_is_struck_in_time_says_the_same_in_every_run(
    name: str, how: str, phase: str, found: set[str], short_tmp: Path
) -> None:
    leave = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    if subprocess.run((sys.executable, "-c", leave), capture_output=True, timeout=60, check=False).returncode != 0:
        pytest.skip("no leave to schedule in real time")
    driver = driver_in(copied(name, short_tmp))
    (short_tmp / "root").mkdir()
    verdict = SCENARIOS["crashed_init"](driver, short_tmp / "root" / "h", how=how, phase=phase)
    assert {check.id for check in verdict.checks if check.verdict is Finding.FAILED} == found, verdict.explain()
    assert verdict.verdict is (Finding.FAILED if found else Finding.PASSED), verdict.explain()
