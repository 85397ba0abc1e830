"""Sweeps of the daemons in ``examples``: a few telling cases of each; what whole sweeps find stands in their README."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_ocap.drivers.command import driver_from
from pytest_ocap.homes import Homes
from pytest_ocap.persisted import Templates
from pytest_ocap.sweeps.cases import Case
from pytest_ocap.sweeps.choosing import cuts_for, injector_for
from pytest_ocap.sweeps.representatives import most_telling_first
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.trial import Result, Trial, Trials
from pytest_ocap.sweeps.workloads import WORKLOADS

EXAMPLES = Path(__file__).parents[2] / "examples" / "daemons"
NEEDS = {
    "redis-append": ("redis-server", "redis-cli"),
    "lifecycle": ("cc",),
    "node": ("node", "sqlite3"),
    "dmypy": ("dmypy",),
}
MOST = 8
"""How many cases are tried at most before a defect counts as missed."""

LACKING = Supervisor().missing()

pytestmark = [pytest.mark.foreign, pytest.mark.skipif(LACKING is not None, reason=str(LACKING))]


def slow(*row: str) -> object:
    """Mark a row that is not in the sample of every run."""
    return pytest.param(*row, marks=pytest.mark.slow)


@contextmanager
def sweeping(name: str, short_tmp: Path) -> Iterator[Trials]:
    """Give trials on an example's daemon, as its TOML describes it."""
    for program in NEEDS[name]:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = short_tmp / name
    shutil.copytree(EXAMPLES / name, folder)
    if name == "lifecycle":
        subprocess.run(["cc", "-o", "beacon", "beacon.c"], cwd=folder, check=True)
    source = folder / "pyproject.toml"
    driver = driver_from(tomllib.loads(source.read_text())["tool"]["pytest_ocap"]["command"], source)
    homes = Homes("others")
    trials = Trials(driver, homes, Templates(homes), injector_for(driver), cuts_for())
    try:
        yield trials
    finally:
        trials.close()
        homes.close()


def chosen(trials: Trials, workload: str, kind: str, begins: str) -> list[Case]:
    """Give the cases of a kind whose names begin so, the most telling first."""
    trials.unharmed(WORKLOADS[workload])
    cases = [case for case in trials.cases(WORKLOADS[workload], [kind]) if case.id.startswith(f"{workload}:{begins}")]
    assert cases, f"no case begins with {workload}:{begins}"
    return most_telling_first(cases)


def tried(trials: Trials, workload: str, kind: str, begins: str, most: int) -> list[Trial]:
    """Try the first of them."""
    cases = chosen(trials, workload, kind, begins)[:most]
    return [trials.attempt(WORKLOADS[workload], case) for case in cases]


LEFT = {"redis-append": {"no-file-left"}}
"""What a daemon fails that is careful in all else: the README of the examples says how."""


def red(trials: list[Trial], name: str) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    assert any(trial.result is not Result.NOT_REACHED for trial in trials), "something struck"
    known = LEFT.get(name, set())
    return [
        (trial.case.id, trial.broken)
        for trial in trials
        if trial.result is Result.HARNESS_BROKEN or {check for check, _ in trial.broken} - known
    ]


@pytest.mark.parametrize(
    ("name", "workload", "kind", "begins"),
    [
        slow("node", "session", "kill", ""),
        slow("node", "session", "powerloss", ""),
        slow("node", "session", "errno", ""),
        ("node", "session", "errno", "sync:store.sqlite-wal#10=EIO+"),
        ("lifecycle", "start", "kill", ""),
        slow("lifecycle", "start", "hang", ""),
        slow("lifecycle", "start", "hang", "open:pid.new"),
        slow("node", "start", "hang", "write:lock.json.tmp"),
        slow("redis-append", "session", "kill", "write:appendonlydir/"),
        ("redis-append", "session", "powerloss", "write:appendonlydir/"),
        slow("dmypy", "start", "kill", ""),
        slow("dmypy", "start", "hang", "mkdir:."),
    ],
)
def test_a_careful_daemon_survives(name: str, workload: str, kind: str, begins: str, short_tmp: Path) -> None:
    with sweeping(name, short_tmp) as trials:
        assert red(tried(trials, workload, kind, begins, 6), name) == []


@pytest.mark.slow
def test_a_daemon_that_stands_still_before_it_is_known_to_anybody_is_nobody_s_fault(short_tmp: Path) -> None:
    with sweeping("node", short_tmp) as trials:
        assert red(tried(trials, "start", "hang", "mkdir:.#1=", 1), "node") == []


@pytest.mark.slow
def test_nobody_but_the_harness_waits_for_a_daemon_in_the_foreground(short_tmp: Path) -> None:
    with sweeping("redis-append", short_tmp) as trials:
        assert red(tried(trials, "start", "hang", "mkdir:.#1=", 1), "redis-append") == []


@pytest.mark.parametrize(
    ("defect", "kind", "begins", "check"),
    [
        ("saves-late", "kill", "unlink:sock", "state-kept"),
        slow("acknowledges-unsaved", "errno", "sync:store.sqlite-wal#13", "state-kept"),
        slow("object-object", "errno", "mkdir:.", "failure-legible"),
        slow("trusts-pid-file", "kill", "unlink:daemon.pid", "recovers"),
        slow("keeps-dead", "kill", "bind:sock", "recovers"),
        slow("lingers", "errno", "bind:sock", "nothing-wedged"),
        ("silent-hang", "hang", "bind:sock", "hang-told"),
        slow("stop-gives-up", "hang", "bind:sock", "forced-stop-clears"),
    ],
)
def test_each_defect_of_the_careless_daemon_that_a_fault_brings_out_is_found_by_name(
    defect: str, kind: str, begins: str, check: str, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARELESS", defect)
    seen = []
    with sweeping("node", short_tmp) as trials:
        for case in chosen(trials, "session", kind, begins)[:MOST]:
            trial = trials.attempt(WORKLOADS["session"], case)
            seen.append((case.id, trial.result, trial.broken))
            if check in {name for name, _ in trial.broken}:
                return
    pytest.fail(f"{defect}: {check} did not fail in\n{seen}")
