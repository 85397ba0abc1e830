"""The bundled driver on the real kernel: each verb, and what it gives when the daemon is not there."""

from __future__ import annotations

import itertools
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from kernel.store.schema import SCHEMA_VERSION
from pytest_ocap import processes
from pytest_ocap.driver import FULL, MEMBERS, OPTIONAL, Audit, Capability, Interrupt, KernelDriver, Subcluster, has
from pytest_ocap.drivers.kernel import KernelDriver as Bundled
from pytest_ocap.drivers.kernel import driver
from pytest_ocap.drivers.kernel_older import VERSION as OLDER_VERSION
from pytest_ocap.faults.starts import InterruptedStart, StartedProcesses

if TYPE_CHECKING:
    from collections.abc import Iterator

STORES = Path(__file__).parents[1] / "stores"


@pytest.fixture
def home(short_tmp: Path) -> Iterator[Path]:
    """Give a home of which nothing runs on."""
    yield short_tmp / "h"
    processes.end(short_tmp)


def test_it_is_a_driver_that_supports_everything() -> None:
    assert isinstance(driver, KernelDriver)
    assert all(hasattr(driver, member) for member in (*MEMBERS, *itertools.chain(*OPTIONAL.values())))
    assert set(driver.supports.values()) == {FULL}
    assert all(has(driver, capability) for capability in Capability)


def test_its_build_is_that_of_the_code_which_it_runs(tmp_path: Path) -> None:
    assert Bundled().build == driver.build != Bundled(("other",)).build
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "one.py").write_text("1")
    before = Bundled(env={"PYTHONPATH": str(tmp_path)}).build
    (tmp_path / "kernel" / "one.py").write_text("2")
    assert before != Bundled(env={"PYTHONPATH": str(tmp_path)}).build


def test_its_older_edition_makes_stores_as_that_edition_did(home: Path) -> None:
    assert OLDER_VERSION == SCHEMA_VERSION - 1, "the older edition is the one before"
    older = driver.older
    assert older.start(home, timeout=20.0).ok
    assert older.stop(home, timeout=10.0).ok
    with closing(sqlite3.connect(":memory:")) as frozen, closing(sqlite3.connect(driver.store(home))) as made:
        frozen.executescript((STORES / f"version_{OLDER_VERSION}.sql").read_text())
        assert schema_of(made) == schema_of(frozen)
    assert driver.start(home, timeout=20.0).ok
    assert driver.stop(home, timeout=10.0).ok
    with closing(sqlite3.connect(driver.store(home))) as migrated:
        assert migrated.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def schema_of(connection: sqlite3.Connection) -> dict[str, str]:
    """Give the version, and the definitions of tables and indexes without their spaces."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {"version": str(version), **{name: "".join(sql.split()) for name, sql in rows}}


def test_a_subcluster_lives_through_a_restart_and_a_kill(home: Path) -> None:
    bundle = home.with_name("c.bundle")
    assert driver.start(home, timeout=20.0).ok
    url = driver.make_bundle(bundle)
    identity, root = driver.launch(home, url, timeout=10.0).value
    subcluster = Subcluster(identity, root, bundle, url)
    assert [driver.probe(home, subcluster, timeout=10.0).value for _ in range(2)] == [1, 2]
    assert [(entry.id, entry.state) for entry in driver.list(home, timeout=10.0).value] == [(identity, "running")]

    assert driver.stop(home, timeout=10.0).ok
    assert not driver.ping(home, timeout=10.0).ok
    assert processes.using(home) == []
    assert driver.start(home, timeout=20.0).ok
    assert driver.probe(home, subcluster, timeout=10.0).value == 3

    assert driver.kill(home).ok
    assert processes.using(home) == []
    assert driver.start(home, timeout=20.0).ok
    assert driver.probe(home, subcluster, timeout=10.0).value == 4


def launched(home: Path, name: str) -> Subcluster:
    bundle = home.with_name(f"{name}.bundle")
    url = driver.make_bundle(bundle)
    identity, root = driver.launch(home, url, timeout=10.0).value
    return Subcluster(identity, root, bundle, url)


def states(home: Path) -> dict[str, str]:
    return {entry.id: entry.state for entry in driver.list(home, timeout=10.0).value}


def test_a_subcluster_that_was_set_aside_is_repaired_or_pruned_and_one_that_runs_is_terminated(home: Path) -> None:
    assert driver.start(home, timeout=20.0).ok
    one, two = launched(home, "one"), launched(home, "two")
    assert not driver.prune(home, one, timeout=10.0).ok, "it runs"
    assert driver.stop(home, timeout=10.0).ok
    one.bundle.unlink()
    assert driver.start(home, timeout=20.0).ok
    assert states(home) == {one.id: "quarantined", two.id: "running"}
    assert driver.repair(home, one, timeout=10.0).code == "repair-failed"
    driver.make_bundle(one.bundle)
    assert driver.repair(home, one, timeout=10.0).ok
    assert driver.probe(home, one, timeout=10.0).value == 1

    assert driver.stop(home, timeout=10.0).ok
    one.bundle.unlink()
    assert driver.start(home, timeout=20.0).ok
    assert driver.prune(home, one, timeout=10.0).ok
    assert driver.terminate(home, two, timeout=10.0).ok
    assert states(home) == {}


def test_a_pinned_subcluster_needs_its_bundle_no_more(home: Path) -> None:
    bundle = home.with_name("c.bundle")
    assert driver.start(home, timeout=20.0).ok
    url = driver.make_bundle(bundle)
    identity, root = driver.launch_pinned(home, url, timeout=10.0).value
    pinned = Subcluster(identity, root, bundle, url)
    assert driver.stop(home, timeout=10.0).ok
    bundle.unlink()
    assert driver.start(home, timeout=20.0).ok
    assert driver.probe(home, pinned, timeout=10.0).value == 1


def test_an_audit_tells_a_sound_home_from_one_with_a_missing_bundle_and_a_damaged_one(home: Path) -> None:
    assert driver.start(home, timeout=20.0).ok
    one = launched(home, "one")
    assert driver.stop(home, timeout=10.0).ok
    assert driver.audit(home, timeout=10.0).value == Audit(True, frozenset())
    one.bundle.unlink()
    assert driver.audit(home, timeout=10.0).value == Audit(True, frozenset({one.id}))
    store = driver.store(home)
    store.write_bytes(store.read_bytes()[:5000])
    assert driver.audit(home, timeout=10.0).value == Audit(False, frozenset())
    assert not Bundled(("sh", "-c", "exit 2")).audit(home, timeout=10.0).ok, "it could not be made"


def test_under_its_small_log_the_log_is_moved_aside(home: Path) -> None:
    assert driver.start(home, timeout=20.0, setting=driver.small_log).ok
    launched(home, "one")
    assert driver.stop(home, timeout=10.0).ok
    assert home.joinpath("daemon.log.1").is_file()


def test_everything_lies_where_the_driver_says(home: Path) -> None:
    assert driver.start(home, timeout=20.0).ok
    assert driver.socket(home).is_socket()
    assert driver.log(home).is_file()
    assert driver.store(home).read_bytes().startswith(b"SQLite format 3\0")
    assert psutil.pid_exists(int(driver.pid(home).read_text()))


def test_a_fetch_that_fails_has_the_errors_code(home: Path) -> None:
    assert driver.start(home, timeout=20.0).ok
    outcome = driver.fetch(home, (home.parent / "no.bundle").as_uri(), timeout=10.0)
    assert not outcome.ok
    assert outcome.code == "bundle-missing"
    assert str(home.parent / "no.bundle") in outcome.text


@pytest.mark.parametrize("phase", driver.phases)
def test_every_phase_can_be_interrupted(home: Path, phase: str) -> None:
    outcome = driver.start(home, timeout=20.0, interrupt=Interrupt("kill", phase))
    assert outcome.status == 4
    assert phase in outcome.text
    assert processes.using(home) == []


def test_a_kill_that_no_look_at_the_process_table_was_quick_enough_for_is_proved_all_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StartedProcesses, "look", lambda _self: None)
    fault = InterruptedStart(driver, home, how="kill", phase="restore", patience=20.0)
    fault.arrange()
    try:
        evidence = fault.fired()
    finally:
        fault.undo()
    assert evidence is not None
    assert re.fullmatch(r"killed: pid \d+", evidence)
    assert sorted(entry.name for entry in home.parent.iterdir()) == ["h"]


def test_verbs_without_a_daemon_are_outcomes(home: Path) -> None:
    nobody = Subcluster("s1", "ko1", home, "file:///x")
    for outcome in (
        driver.ping(home, timeout=1.0),
        driver.list(home, timeout=1.0),
        driver.probe(home, nobody, timeout=1.0),
        driver.launch(home, "file:///x", timeout=1.0),
        driver.kill(home),
    ):
        assert not outcome.ok
        assert outcome.text
    assert driver.stop(home, timeout=1.0).ok, "nothing to stop is no failure"
    assert not home.exists(), "asking makes no home"


def test_settings_of_the_person_who_runs_the_tests_do_not_reach_the_daemon(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCAP_SOCKET_PATH", str(home.with_name("elsewhere.sock")))
    own = Bundled()
    assert own.start(home, timeout=20.0).ok
    assert own.ping(home, timeout=10.0).ok
    assert not home.with_name("elsewhere.sock").exists()


def test_linked_vats_count_together_and_go_on_where_they_were(home: Path) -> None:
    bundle = home.with_name("c.bundle")
    assert driver.start(home, timeout=20.0).ok
    launched_linked = driver.launch_linked(home, bundle, timeout=10.0)
    identity, root = launched_linked.value
    linked = Subcluster(identity, root, bundle, bundle.as_uri())
    assert [driver.probe(home, linked, timeout=10.0).value for _ in range(3)] == [1, 2, 3]
    assert driver.stop(home, timeout=10.0).ok
    assert driver.start(home, timeout=20.0).ok
    assert driver.probe(home, linked, timeout=10.0).value == 4
    assert driver.stop(home, timeout=10.0).ok
    assert driver.audit(home, timeout=10.0).value == Audit(True, frozenset())
