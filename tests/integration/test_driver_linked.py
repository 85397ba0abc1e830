"""The linked vats of the bundled driver: that they make garbage, that it is collected, and what that leaves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_ocap import processes
from pytest_ocap.driver import Subcluster
from pytest_ocap.drivers.kernel import driver
from pytest_ocap.homes import Homes
from pytest_ocap.persisted import Templates
from pytest_ocap.sweeps.workloads import WORKLOADS, plainly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Counts(NamedTuple):
    """What the store has of the linked vats' objects."""

    made: int  # names that the front has given to objects of its own, so far
    exported: int  # those of them that it and the kernel still know
    imported: int  # objects of the front that the back knows
    durable: int  # durable objects of the front


def counts(home: Path) -> Counts:
    with closing(sqlite3.connect(f"file:{driver.store(home)}?mode=ro", uri=True)) as store:
        front, made = store.execute("SELECT id, next_export FROM vats WHERE name = 'front'").fetchone()
        owned = "SELECT count(*) FROM clist c JOIN objects o ON o.id = c.object WHERE o.owner = ? AND c.vat_id"
        exported, imported = (store.execute(f"{owned} {sign} ?", (front, front)).fetchone()[0] for sign in ("=", "<>"))
        durable = store.execute("SELECT count(*) FROM durables WHERE vat_id = ?", (front,)).fetchone()[0]
        return Counts(made, exported, imported, durable)


@pytest.fixture
def home(short_tmp: Path) -> Iterator[Path]:
    """Give a home of which nothing runs on."""
    yield short_tmp / "h"
    processes.end(short_tmp)


@pytest.fixture
def linked(home: Path) -> Subcluster:
    """Start a daemon, and launch the linked vats."""
    bundle = home.with_name("c.bundle")
    assert driver.start(home, timeout=20.0).ok
    identity, root = driver.launch_linked(home, bundle, timeout=10.0).value
    return Subcluster(identity, root, bundle, bundle.as_uri())


def probe(home: Path, linked: Subcluster, number: int) -> None:
    assert driver.probe(home, linked, timeout=10.0).value == number


def test_each_message_makes_objects_of_which_only_a_collection_finds_all_that_are_garbage(
    home: Path, linked: Subcluster
) -> None:
    probe(home, linked, 1)
    assert driver.collect(home, timeout=10.0).ok
    once = counts(home)
    for number in range(2, 6):
        probe(home, linked, number)
    before = counts(home)
    assert before.made >= once.made + 12  # two tokens and a leaf each
    # Without being asked, they have let go of what nobody counts any more, and not of what a ring holds.
    assert before.durable <= once.durable + 1
    assert before.imported >= once.imported + 4
    assert driver.collect(home, timeout=10.0).ok
    assert counts(home)._replace(made=once.made) == once
    probe(home, linked, 6)


def test_the_workload_garbage_leaves_no_more_than_its_last_message_needs() -> None:
    homes = Homes("garbage")
    try:
        with WORKLOADS["garbage"].prepared(driver, homes, Templates(homes)) as ledger:
            assert WORKLOADS["garbage"].run(driver, ledger, plainly) is None
            verbs = [operation.verb for operation in ledger.operations]
            assert verbs.count("start") == verbs.count("collect") == 2
            left = counts(ledger.store.home)
            probes = verbs.count("probe")
            # The root, the count, and the last token and the last leaf.
            assert left.made > 3 * probes
            assert left.exported <= 4
            assert left.durable == 2
    finally:
        homes.close()
