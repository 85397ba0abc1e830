"""A store of the edition before is brought up to date whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from kernel.store.schema import SCHEMA_VERSION
from pytest_ocap.drivers.kernel import KernelDriver
from pytest_ocap.homes import Homes
from pytest_ocap.persisted import Templates
from pytest_ocap.sweeps.choosing import cuts_for, injector_for
from pytest_ocap.sweeps.kinds import KINDS
from pytest_ocap.sweeps.representatives import most_telling_first
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.trial import Result, Trials
from pytest_ocap.sweeps.workloads import WORKLOADS
from tests.mutants.mutation import Change, Mutant, make_copy

LACKING = Supervisor().missing()
intercepts = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))
MIGRATION = WORKLOADS["migration"]

IN_TWO = Change(
    "store/schema.py",
    "        # Neither pragma takes a bound parameter; both values are integers of ours.\n",
    "        connection.execute('COMMIT')\n        connection.execute('BEGIN EXCLUSIVE')\n",
)
CARELESS = Mutant("migration-in-two", "It changes the tables, and then says so.", (IN_TWO,), ())


@contextmanager
def upgrading(driver: KernelDriver) -> Iterator[Trials]:
    homes = Homes("migration")
    trials = Trials(driver, homes, Templates(homes), injector_for(driver), cuts_for())
    try:
        yield trials
    finally:
        trials.close()
        homes.close()


@pytest.fixture(scope="module")
def upgraded() -> Iterator[Trials]:
    with upgrading(KernelDriver()) as trials:
        trials.unharmed(MIGRATION)
        yield trials


def tried(trials: Trials, kind: str, pattern: str, most: int) -> list[tuple[Result, set[str]]]:
    """Try the first cases of a kind at points that begin so."""
    cases = [case for case in trials.cases(MIGRATION, [kind]) if case.point.startswith(f"migration:{pattern}")]
    assert cases, pattern
    found = [trials.attempt(MIGRATION, case) for case in most_telling_first(cases)[:most]]
    return [(trial.result, {check for check, _ in trial.broken}) for trial in found]


@intercepts
def test_an_unharmed_start_brings_the_store_up_to_date() -> None:
    with upgrading(KernelDriver()) as trials:
        homes = Homes("migration")
        with MIGRATION.prepared(trials.driver, homes, Templates(homes)) as ledger:
            store = trials.driver.store(ledger.store.home)
            assert store is not None
            assert shape(store) == (SCHEMA_VERSION - 1, False)
            assert trials.driver.start(ledger.store.home, timeout=20.0).ok
            assert trials.driver.stop(ledger.store.home, timeout=10.0).ok
            assert shape(store) == (SCHEMA_VERSION, True)
        homes.close()


def shape(store: Path) -> tuple[int, bool]:
    """Give the schema's version, and whether the c-lists have the column that version 2 added."""
    with closing(sqlite3.connect(store)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('clist')")}
    return version, "reachable" in columns


@intercepts
@pytest.mark.parametrize(
    ("kind", "point"),
    [
        ("kill", "sync:kernel.sqlite-wal"),
        pytest.param("errno", "sync:kernel.sqlite-wal", marks=pytest.mark.slow),
        pytest.param("powerloss", "", marks=pytest.mark.slow),
    ],
)
def test_a_migration_happens_whole_or_not_at_all(upgraded: Trials, kind: str, point: str) -> None:
    found = tried(upgraded, kind, point, 2)
    assert found == [(Result.PASSED, set())] * 2


@intercepts
@pytest.mark.slow
def test_a_migration_in_two_steps_is_caught(short_tmp: Path) -> None:
    older = KernelDriver().older
    careless = KernelDriver(env={"PYTHONPATH": str(make_copy(short_tmp, CARELESS))}, older=older)
    with upgrading(careless) as trials:
        trials.unharmed(MIGRATION)
        found = tried(trials, "kill", "sync:kernel.sqlite-wal", 4)
    assert (Result.FAILED, {"recovers"}) in found, found


@intercepts
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_most_telling_faults_of_each_kind_do_a_migration_no_harm(upgraded: Trials, kind: str) -> None:
    found = tried(upgraded, kind, "", 40)
    assert [entry for entry in found if entry[0] in (Result.FAILED, Result.HARNESS_BROKEN)] == []
    assert (Result.PASSED, set()) in found
