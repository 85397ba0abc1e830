"""The doctor's audit of references: what the kernel wrote is whole, and each damage is named with its remedy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from vat_sources import BANK, FRIEND, MAKER, TAKER

from kernel.engine.doctor import audit, examine
from kernel.store.audit import CHECKS

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from bench import Bench


@pytest.fixture
def store(bench: Bench) -> Path:
    """Give a stopped store with baggage, durable objects, exports, leases and a queued message."""
    pair = bench.launch(bench.config({"maker": bench.bundle("maker", MAKER), "taker": bench.bundle("taker", TAKER)}))
    bench.send(pair["rootKref"], "hand_out_and_keep", 1)
    answered = bench.ask(pair["rootKref"], "make", 2)
    assert bench.send(answered.slots[0], "read") == 2
    bank = bench.launch(bench.config({"bank": bench.bundle("bank", BANK), "friend": bench.bundle("friend", FRIEND)}))
    bench.send(bank["rootKref"], "circle")
    bench.send(bank["rootKref"], "lend", "alice")
    assert audit(bench.store) == []
    bench.loop.spawn(bench.kernel.queue_message(pair["rootKref"], "pass_around", [1])).add_done_callback(lambda _: None)
    bench.run_until(lambda: bench.rows("deliveries") == 1)
    bench.close()
    return bench.directory / "kernel.sqlite"


def findings(store: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = examine(str(store), str(store.parent / "bundles"))["findings"]
    return found


def damage(store: Path, sql: str) -> None:
    """Edit the store by hand, as somebody might: without its foreign keys and triggers."""
    with closing(sqlite3.connect(store)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.executescript(sql)


def test_a_store_that_the_kernel_wrote_is_healthy(store: Path) -> None:
    report = examine(str(store), str(store.parent / "bundles"))
    assert (report["state"], report["findings"]) == ("healthy", [])


DAMAGES = {
    "a root that is gone": ("DELETE FROM clist WHERE vat_id = 1 AND vref = 'o+0'", "vat v1 has no root in its c-list"),
    "a name of the wrong kind": (
        "UPDATE clist SET vref = 'p-1' WHERE vat_id = 1 AND vref = 'o-1'",
        "has the name p-1, which does not fit ko2",
    ),
    "a name that is none": (
        "UPDATE clist SET vref = 'o-01' WHERE vat_id = 1 AND vref = 'o-1'",
        "has the name o-01, which does not fit",
    ),
    "an export of another vat's": (
        "UPDATE objects SET owner = 2 WHERE id = (SELECT object FROM clist WHERE vat_id = 1 AND vref = 'o+1')",
        r"as its export o\+1, but it is not the vat's",
    ),
    "an import of its own": (
        "UPDATE objects SET owner = 1 WHERE id = (SELECT object FROM clist WHERE vat_id = 1 AND vref = 'o-1')",
        "as its import o-1, but it is the vat's own",
    ),
    "a counter that was set back": ("UPDATE vats SET next_export = 1 WHERE id = 1", "was never used"),
    "an owner who does not know it": (
        "UPDATE objects SET owner = 3 WHERE id = (SELECT object FROM clist WHERE vat_id = 1 AND vref = 'o+1')",
        "belongs to vat v3, whose c-list does not have it",
    ),
    "baggage that cannot be reached": (
        "UPDATE clist SET reachable = 0 WHERE vat_id = 1 AND vref = 'o-1'",
        "in its baggage, and its c-list does not have it, or says",
    ),
    "baggage outside the c-list": (
        "DELETE FROM clist WHERE vat_id = 1 AND vref = 'o-1'",
        "vat v1 keeps ko2 in its baggage, and its c-list does not have it",
    ),
    "a durable object that was never made": (
        "INSERT INTO durables VALUES (3, 'o+999', 'Account', '#{}')",
        r"has a durable object by the name o\+999",
    ),
    "a promise that its decider does not know": (
        "INSERT INTO promises (decider) VALUES (1)",
        "is to resolve kp\\d+, which its c-list does not have",
    ),
    "a subscriber who was not told": (
        (
            "INSERT INTO promises (state, body) VALUES ('fulfilled', '#1');\n"
            "INSERT INTO subscribers VALUES (last_insert_rowid(), 1)"
        ),
        "vat v1 waits for news of kp\\d+, which is resolved, and none is queued",
    ),
    "a message for the wrong vat": (
        "UPDATE deliveries SET vat_id = 2",
        "the message no. \\d+ to ko1 waits for vat v2, which does not own that",
    ),
    "a message to an object that nobody owns": (
        "UPDATE objects SET owner = NULL WHERE id = 1",
        "the message no. \\d+ to ko1 waits for vat v1, which does not own that",
    ),
    "a message that a resolved promise holds back": (
        (
            "INSERT INTO promises (state, body) VALUES ('fulfilled', '#1');"
            "UPDATE deliveries SET vat_id = NULL, object = NULL, promise = last_insert_rowid()"
        ),
        "waits for kp\\d+ to be resolved, which it is",
    ),
    "news of nothing": (
        (
            "INSERT INTO promises (decider) VALUES (NULL);"
            "INSERT INTO deliveries (kind, vat_id, promise) VALUES ('notify', 1, last_insert_rowid())"
        ),
        "news of kp\\d+ waits for vat v1, and it is not resolved",
    ),
    "an answer that was given": (
        "UPDATE promises SET state = 'fulfilled', body = '#1' WHERE id = (SELECT result FROM deliveries)",
        "the answer to message no. \\d+ is to go to kp\\d+, which is resolved",
    ),
    "an object that was forgotten": (
        "INSERT INTO objects (owner) VALUES (NULL)",
        "nothing refers to ko\\d+ any more, and it is still there",
    ),
    "a lease that was deleted by hand": (
        "DELETE FROM leases WHERE object = (SELECT max(object) FROM leases)",
        "nothing refers to ko\\d+ any more, and it is still there",
    ),
    "a channel that a vat owns": (
        "INSERT INTO channels VALUES (1, 1, 'console')",
        "ko1 is an IO channel or a kernel service, and belongs to vat v1",
    ),
    "a body that has lost a reference": (
        "UPDATE durable_slots SET position = 1 WHERE position = 0",
        "a durable object of v3 has lost one of the references that it mentions",
    ),
    "a queued body that has lost a reference": (
        "INSERT INTO delivery_slots SELECT id, 3, 1, NULL FROM deliveries",
        "message no. \\d+ has lost one of the references that it mentions",
    ),
    "a value that is none": (
        "INSERT INTO promises (state, body) VALUES ('fulfilled', '1')",
        "the value of the promise kp\\d+ has lost one of the references that it mentions, or its body",
    ),
    "a body that is none": ("UPDATE baggage SET body = '' WHERE vat_id = 1", "the baggage of v1 has lost"),
}


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_each_damage_is_named_with_its_remedy(store: Path, name: str) -> None:
    import re

    sql, pattern = DAMAGES[name]
    damage(store, sql)
    found = findings(store)
    named = [finding for finding in found if re.search(pattern, finding["message"])]
    assert named, found
    assert all(finding["remedy"] and finding["code"] for finding in found)


def test_every_check_finds_something_in_one_of_the_damages(store: Path, tmp_path: Path) -> None:
    idle = set(CHECKS)
    for number, (sql, _) in enumerate(DAMAGES.values()):
        copy = tmp_path / f"{number}.sqlite"
        with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        damage(copy, sql)
        with closing(sqlite3.connect(copy)) as connection:
            idle -= {check for check in idle if connection.execute(check.sql).fetchone()}
    assert not idle


def test_a_forgotten_object_goes_when_garbage_is_collected(store: Path, bench: Bench) -> None:
    damage(store, "INSERT INTO objects (owner) VALUES (NULL)")
    with closing(sqlite3.connect(store)) as connection:
        (number,) = connection.execute("SELECT max(id) FROM objects").fetchone()
    assert [finding["kref"] for finding in findings(store)] == [f"ko{number}"]
    bench.open()
    bench.run(bench.kernel.collect_garbage())
    assert audit(bench.store) == []
