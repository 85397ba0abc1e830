"""The linked vats of the bundled driver: their garbage, and an object of theirs that is revoked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_ocap import processes, rpc
from pytest_ocap.driver import Subcluster
from pytest_ocap.drivers.kernel import driver
from pytest_ocap.homes import Homes
from pytest_ocap.persisted import Templates
from pytest_ocap.sweeps.moments import Unharmed
from pytest_ocap.sweeps.workloads import WORKLOADS

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


def test_what_linked_vats_share_can_be_used_until_it_is_revoked_for_good(home: Path, linked: Subcluster) -> None:
    assert driver.use(home, linked, timeout=10.0).value is True
    assert driver.revoke(home, linked, timeout=10.0).ok
    assert driver.use(home, linked, timeout=10.0).value is False
    probe(home, linked, 1)
    assert driver.stop(home, timeout=10.0).ok
    assert driver.start(home, timeout=20.0).ok
    assert driver.use(home, linked, timeout=10.0).value is False
    probe(home, linked, 2)
    shared = rpc.call(driver.socket(home), "queueMessage", [linked.root, "shared", []], timeout=10.0).value["slots"][0]
    sent = rpc.call(driver.socket(home), "queueMessage", [shared, "hit", []], timeout=10.0)
    assert (sent.ok, sent.code) == (False, "revoked")


def test_a_use_that_comes_to_nothing_is_neither_an_answer_nor_a_refusal(home: Path, linked: Subcluster) -> None:
    assert driver.terminate(home, linked, timeout=10.0).ok
    used = driver.use(home, linked, timeout=10.0)
    assert (used.ok, used.code) == (False, "not-found")
    assert not driver.revoke(home, linked, timeout=10.0).ok


def test_the_workload_garbage_leaves_no_more_than_its_last_message_needs() -> None:
    homes = Homes("garbage")
    try:
        with WORKLOADS["garbage"].prepared(driver, homes, Templates(homes)) as ledger:
            assert WORKLOADS["garbage"].run(driver, ledger, Unharmed().start) is None
            verbs = [operation.verb for operation in ledger.operations]
            assert verbs.count("start") == verbs.count("collect") == 2
            left = counts(ledger.store.home)
            probes = verbs.count("probe")
            # The root, the count, what is shared, and the last token and the last leaf.
            assert left.made > 3 * probes
            assert left.exported <= 5
            assert left.durable == 3
    finally:
        homes.close()
