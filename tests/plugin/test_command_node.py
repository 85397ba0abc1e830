"""The daemon in Node, described in TOML alone: careful it is all green, and each of its defects is found by name."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pytest_ocap.driver import Subcluster, lacks
from pytest_ocap.drivers.command import CommandDriver, driver_from
from pytest_ocap.persisted import ANSWER_SECONDS
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.verdict import Finding

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "daemons" / "node"

LACKING = [program for program in ("node", "sqlite3") if shutil.which(program) is None]

pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}")

DEFECTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("aborts", "missing_bundle", {}, "boots"),
    ("deletes-record", "missing_bundle", {}, "record-kept"),
    ("loses-state", "missing_bundle", {}, "state-kept"),
    ("never-repairs", "missing_bundle", {}, "repaired-on-return"),
    ("silent", "missing_bundle", {}, "warned-once"),
    ("bare-errno", "bundle_fetch_error", {}, "not-bare-errno"),
    ("opens-anything", "bundle_fetch_error", {"how": "fifo"}, "quickly"),
    ("half-launched", "bundle_fetch_error", {}, "rolled-back"),
    ("object-object", "legible_fatal", {}, "no-masked-text"),
    ("fatal-unlogged", "legible_fatal", {}, "log-names-cause"),
    ("lingers", "legible_fatal", {}, "nothing-left"),
    ("ready-too-early", "crashed_init", {"phase": "store"}, "crash-reported"),
    ("pid-late", "crashed_init", {"how": "hang", "phase": "log"}, "pid-file-early"),
    ("silent-hang", "crashed_init", {"how": "hang", "phase": "listen"}, "names-pid"),
    ("stop-gives-up", "crashed_init", {"how": "hang", "phase": "listen"}, "forced-stop-clears"),
    ("refuses-when-degraded", "degraded_boot", {}, "new-launches"),
    ("unlinks-live", "stale_socket", {"kind": "live"}, "left-alone"),
    ("keeps-dead", "stale_socket", {"kind": "dead"}, "boots"),
    ("trusts-pid", "pid_reuse", {}, "boots"),
    ("no-lock", "concurrent_start", {}, "one-daemon"),
    ("loser-gives-up", "concurrent_start", {}, "all-served"),
    ("distrusts-clock", "clock_step", {}, "starts-in-the-past"),
    ("idle-by-clock", "clock_step", {"direction": "forward"}, "answers-at-once"),
    ("saves-late", "kill_at_stop", {"when": "closed"}, "state-kept"),
    ("limit-unnamed", "long_socket_path", {"length": "too-long"}, "names-limit"),
    ("cuts-path", "long_socket_path", {"length": "too-long"}, "not-cut-off"),
    ("trusts-pid-file", "ready_then_dies", {}, "restarts"),
    ("believes-pid-file", "ready_then_dies", {}, "status-not-fooled"),
    ("impatient", "slow_init", {}, "never-called-hung"),
    ("acknowledges-unsaved", "full_disk", {"when": "message"}, "acknowledged-is-kept"),
    ("nameless-write", "read_only_home", {}, "names-path"),
    ("mute-log", "log_unwritable", {}, "names-path"),
    ("held-nameless", "store_locked", {"how": "immediate"}, "names-holder"),
    ("ends-holder", "store_locked", {}, "holder-unharmed"),
    ("waits-for-readers", "store_locked", {"how": "shared"}, "reader-disturbs-nobody"),
    ("opens-newer", "version_skew", {}, "newer-refused"),
    ("stays-old", "version_skew", {"which": "older"}, "migrated-whole"),
    ("channel-aborts", "io_channel_conflict", {}, "boots"),
    ("takes-channel", "io_channel_conflict", {}, "left-alone"),
    ("forgets-channel", "io_channel_conflict", {"kind": "file"}, "channel-comes-back"),
    ("worker-outlives", "orphaned_worker", {}, "orphans-end"),
    ("worker-opens-store", "orphaned_worker", {"workers": "stopped"}, "workers-hold-nothing"),
]


@pytest.fixture(scope="module")
def driver() -> CommandDriver:
    source = EXAMPLE / "pyproject.toml"
    return driver_from(tomllib.loads(source.read_text())["tool"]["pytest_ocap"]["command"], source)


def test_every_defect_that_the_daemon_has_is_looked_for() -> None:
    listed = re.search(r"DEFECTS = \{(.*?)\n\};", (EXAMPLE / "careless.mjs").read_text(), re.DOTALL)
    assert listed is not None
    assert re.findall(r'^  "([a-z-]+)":', listed.group(1), re.MULTILINE) == [row[0] for row in DEFECTS]


def test_there_is_a_defect_for_every_scenario(driver: CommandDriver) -> None:
    assert {row[1] for row in DEFECTS} == set(SCENARIOS)
    assert [name for name, scenario in SCENARIOS.items() if lacks(driver, scenario.needs) is not None] == []


WAITING = {"no-lock", "ready-too-early", "trusts-pid", "worker-outlives", "impatient"}
"""Defects that show only when a time-out has passed: they are looked for with the slow tests."""


def marks(row: tuple[str, str, dict[str, Any], str]) -> list[pytest.MarkDecorator]:
    """Of each scenario one defect is looked for in every run, if it shows soon."""
    first = row is next(other for other in DEFECTS if other[1] == row[1])
    return [] if first and row[0] not in WAITING else [pytest.mark.slow]


@pytest.mark.parametrize(
    ("defect", "scenario", "parameters", "check"),
    [pytest.param(*row, marks=marks(row), id=f"{row[0]}-{row[3]}") for row in DEFECTS],
)
def test_a_defect_is_found_by_the_check_that_names_it(
    driver: CommandDriver,
    monkeypatch: pytest.MonkeyPatch,
    short_tmp: Path,
    defect: str,
    scenario: str,
    parameters: dict[str, Any],
    check: str,
) -> None:
    monkeypatch.setenv("CARELESS", defect)
    verdict = SCENARIOS[scenario](driver, short_tmp / "h", **parameters)
    assert verdict.verdict is Finding.FAILED, verdict.explain()
    assert check in {found.id for found in verdict.checks if found.verdict is Finding.FAILED}, verdict.explain()


@pytest.fixture
def observed() -> CommandDriver:
    """Give the driver as it is for a daemon without failpoints: it strikes when something can be seen in the home."""
    source = EXAMPLE / "pyproject.toml"
    described = tomllib.loads(source.read_text())["tool"]["pytest_ocap"]["command"]
    return driver_from({key: described[key] for key in described if key not in ("interrupt", "phases")}, source)


@pytest.mark.parametrize(("how", "phase"), [("kill", "pidfile"), ("hang", "log")])
def test_a_start_is_interrupted_from_outside_where_a_daemon_has_no_failpoints(
    observed: CommandDriver, monkeypatch: pytest.MonkeyPatch, short_tmp: Path, how: str, phase: str
) -> None:
    monkeypatch.setenv("PACE", "150")
    assert observed.phases == ("home", "pidfile", "log", "store", "socket")
    verdict = SCENARIOS["crashed_init"](observed, short_tmp / "h", how=how, phase=phase)
    assert verdict.verdict is Finding.PASSED, verdict.explain()


HOLDING = """
const { dev, ino } = fs.statSync(process.argv[1]);
net.createServer().listen(`\\0node-counters:${dev}:${ino}`, () => console.log("held"));
"""
"""Holds a home as the daemon does, and never writes down who does."""


def test_a_start_ends_in_time_and_names_whoever_holds_the_home_without_ever_saying_who_that_is(short_tmp: Path) -> None:
    (home := short_tmp / "h").mkdir()
    with subprocess.Popen(["node", "-e", HOLDING, str(home)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            words = ("node", "daemon.mjs", "start", str(home), "--timeout", "3")
            run = subprocess.run(words, cwd=EXAMPLE, capture_output=True, text=True, timeout=60, check=False)
        finally:
            holder.kill()
    assert run.returncode == 5
    assert f"(pid {holder.pid}) hangs in phase lock" in run.stderr


def test_what_an_older_store_acknowledged_goes_with_it_when_the_daemons_own_is_put_back(
    driver: CommandDriver, short_tmp: Path
) -> None:
    verdict = SCENARIOS["version_skew"](driver, short_tmp / "h", which="older")
    assert verdict.verdict is Finding.PASSED, verdict.explain()


def test_a_line_on_a_channel_is_a_message_to_its_subcluster(driver: CommandDriver, short_tmp: Path) -> None:
    home, channel = short_tmp / "h", short_tmp / "io.sock"
    assert driver.start(home, timeout=driver.start_timeout).ok
    url = driver.make_bundle(short_tmp / "c.bundle")
    identity, root = driver.launch_io(home, url, channel, timeout=ANSWER_SECONDS).value
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client, client.makefile() as answers:
        client.settimeout(ANSWER_SECONDS)
        client.connect(str(channel))
        client.sendall(b"one\ntwo\n")
        assert [answers.readline(), answers.readline()] == ["1\n", "2\n"]
    subcluster = Subcluster(identity, root, short_tmp / "c.bundle", url)
    assert driver.probe(home, subcluster, timeout=ANSWER_SECONDS).value == 3
    assert driver.stop(home, timeout=ANSWER_SECONDS).ok
    assert not channel.exists()


def test_a_start_without_the_program_that_the_store_needs_names_it(short_tmp: Path) -> None:
    home, node = short_tmp / "h", shutil.which("node")
    assert node is not None
    words = (node, "daemon.mjs", "start", str(home))
    run = subprocess.run(words, cwd=EXAMPLE, env={"PATH": "/"}, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 4
    assert f"the store {home}/store.sqlite needs the program sqlite3, which is not installed" in run.stderr


@pytest.mark.slow
def test_the_careful_daemon_is_green_in_the_whole_suite(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short_tmp))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    report = short_tmp / "report.json"
    words = (
        "-p",
        "pytest_ocap",
        "-p",
        "no:cacheprovider",
        "--pyargs",
        "pytest_ocap.suite",
        "--ocap-report",
        str(report),
    )
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", *words], cwd=EXAMPLE, capture_output=True, check=False)
    assert run.returncode == 0, run.stdout.decode()
    found = json.loads(report.read_text())
    assert found["driver"]["name"] == "node-counters"
    verdicts = {entry["id"]: entry["verdict"] for entry in found["scenarios"]}
    assert {name.partition("[")[0] for name in verdicts} == set(SCENARIOS)
    odd = {name: verdict for name, verdict in verdicts.items() if verdict not in ("passed", "unsupported")}
    assert odd == {}
    assert list(short_tmp.iterdir()) == [report]
