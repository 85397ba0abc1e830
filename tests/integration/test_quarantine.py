"""Quarantine: nothing is lost while a subcluster is set aside, nobody hangs, and it is mended or removed on request."""

from __future__ import annotations

from typing import Any

import pytest
from bench import Bench

from kernel.errors import (
    ConfigError,
    NotFoundError,
    NotQuarantinedError,
    QuarantinedError,
    RefError,
    RejectedError,
    RepairError,
    UsageError,
)

CALLER = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def introduce(self, peer: object) -> None:
            self.baggage["peer"] = peer

        async def ask(self) -> int:
            return await E(self.baggage["peer"]).increment()

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""
INTRODUCER = """
    from kernel.vat import E, Exo

    class Root(Exo):
        async def bootstrap(self, vats, services):
            await E(vats["caller"]).introduce(vats["counter"])

    def build_root_object(vat_powers, parameters, baggage):
        return Root()
"""


@pytest.fixture
def quarantined(bench: Bench) -> dict[str, Any]:
    """Launch a counter that has counted to one, and take its bundle away."""
    launched = bench.launch_counter("c1")
    assert bench.send(launched["rootKref"], "increment") == 1
    (bench.directory / "c1.bundle").rename(bench.directory / "moved.bundle")
    bench.reopen()
    return launched


def test_a_new_message_is_refused_at_once_with_subcluster_and_cause(bench: Bench, quarantined: dict[str, Any]) -> None:
    with pytest.raises(QuarantinedError, match=r"s1 is quarantined \(bundle-missing\)") as caught:
        bench.send(quarantined["rootKref"], "increment")
    assert caught.value.data["cause"] == "bundle-missing"
    assert "ocap subcluster repair s1" in str(caught.value.remedy)


def test_repair_without_a_restart_keeps_the_state(bench: Bench, quarantined: dict[str, Any]) -> None:
    with pytest.raises(RepairError, match=r"c1\.bundle"):
        bench.run(bench.kernel.repair_subcluster("s1"))
    assert bench.subcluster("s1")["state"] == "quarantined"
    (bench.directory / "moved.bundle").rename(bench.directory / "c1.bundle")
    repaired = bench.run(bench.kernel.repair_subcluster("s1"))
    assert repaired["state"] == "running"
    assert bench.send(quarantined["rootKref"], "increment") == 2


def test_repair_can_point_a_vat_at_where_its_bundle_is_now(bench: Bench, quarantined: dict[str, Any]) -> None:
    moved = (bench.directory / "moved.bundle").as_uri()
    bench.run(bench.kernel.repair_subcluster("s1", {"main": moved}))
    assert bench.send(quarantined["rootKref"], "increment") == 2
    report = bench.reopen()
    assert report.restored == (1,), "the new place is remembered"
    assert bench.subcluster("s1")["config"]["vats"]["main"]["bundleSpec"] == moved


def test_a_repair_that_fails_changes_nothing(bench: Bench, quarantined: dict[str, Any]) -> None:
    before = bench.subcluster("s1")
    with pytest.raises(RepairError, match="nowhere"):
        bench.run(bench.kernel.repair_subcluster("s1", {"main": "file:///nowhere.bundle"}))
    with pytest.raises(ConfigError, match="'other'"):
        bench.run(bench.kernel.repair_subcluster("s1", {"other": "file:///nowhere.bundle"}))
    assert bench.subcluster("s1") == before


def test_repairing_what_runs_is_no_error_and_what_is_not_there_is_one(bench: Bench) -> None:
    bench.launch_counter("c1")
    assert bench.run(bench.kernel.repair_subcluster("s1"))["state"] == "running"
    with pytest.raises(NotFoundError, match="s9"):
        bench.run(bench.kernel.repair_subcluster("s9"))
    with pytest.raises(RefError, match="nonsense"):
        bench.run(bench.kernel.repair_subcluster("nonsense"))


def test_a_vat_that_sends_to_a_quarantined_one_gets_a_rejection_and_not_silence(bench: Bench) -> None:
    introducer = bench.bundle("introducer", INTRODUCER)
    caller = bench.bundle("caller", CALLER)
    launched = bench.launch(
        bench.config({"introducer": introducer, "caller": caller, "counter": bench.bundle("counter")})
    )
    assert launched["subclusterId"] == "s1"
    # The whole subcluster is the unit of quarantine, so a second one holds the caller's counterpart.
    connection = bench.store.connection
    other = bench.launch_counter("other")
    counter = int(other["rootKref"].removeprefix("ko"))
    row = connection.execute("SELECT vat_id FROM baggage WHERE key = 'peer'").fetchone()
    with bench.store.unit():
        connection.execute("UPDATE clist SET object = ? WHERE vat_id = ? AND vref LIKE 'o-%'", (counter, row[0]))
        connection.execute("UPDATE baggage_slots SET object = ? WHERE vat_id = ?", (counter, row[0]))
    bench.store.commit()
    caller_root = connection.execute("SELECT object FROM clist WHERE vat_id = ? AND vref = 'o+0'", row).fetchone()[0]
    assert bench.send(f"ko{caller_root}", "ask") == 1
    (bench.directory / "other.bundle").unlink()
    bench.reopen()
    with pytest.raises(RejectedError, match="s2 is quarantined"):
        bench.send(f"ko{caller_root}", "ask")


def test_what_was_queued_before_stays_and_is_delivered_after_the_repair(bench: Bench) -> None:
    launched = bench.launch_counter("c1")
    # Stored but not delivered: the kernel dies between the two.
    number = int(launched["rootKref"].removeprefix("ko"))
    bench.close()
    bundle = bench.directory / "c1.bundle"
    content = bundle.read_bytes()
    bundle.unlink()
    import sqlite3

    connection = sqlite3.connect(bench.directory / "kernel.sqlite")
    connection.execute("INSERT INTO promises (state) VALUES ('unresolved')")
    connection.execute(
        "INSERT INTO deliveries (kind, vat_id, object, method, body, result) "
        "SELECT 'message', owner, id, 'increment', '#[]', (SELECT max(id) FROM promises) FROM objects WHERE id = ?",
        (number,),
    )
    connection.commit()
    connection.close()
    bench.open()
    assert bench.rows("deliveries") == 1
    bundle.write_bytes(content)
    bench.run(bench.kernel.repair_subcluster("s1"))
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.send(launched["rootKref"], "read") == 1
    assert bench.rows("promises") == 0, "an answer that nobody waits for is not kept"


def test_prune_removes_it_and_says_what_went(bench: Bench, quarantined: dict[str, Any]) -> None:
    report = bench.run(bench.kernel.prune_subclusters(["s1"]))
    (pruned,) = report["pruned"]
    assert pruned["id"] == "s1"
    assert pruned["names"] == {"main": "v1"}
    assert (pruned["vats"], pruned["baggageEntries"], pruned["objectsReleased"]) == (1, 1, 1)
    assert bench.kernel.status()["subclusters"] == []
    assert [bench.rows(table) for table in ("vats", "clist", "baggage", "objects", "bundles", "quarantines")] == [0] * 6
    with pytest.raises(NotFoundError):
        bench.send(quarantined["rootKref"], "increment")
    bench.reopen()
    assert bench.kernel.status()["subclusters"] == []


def test_prune_takes_all_that_is_quarantined_and_nothing_that_runs(bench: Bench, quarantined: dict[str, Any]) -> None:
    running = bench.launch_counter("c2")
    with pytest.raises(NotQuarantinedError, match="s2"):
        bench.run(bench.kernel.prune_subclusters(["s1", "s2"]))
    with pytest.raises(NotFoundError, match="s7"):
        bench.run(bench.kernel.prune_subclusters(["s1", "s7"]))
    assert bench.subcluster("s1")["state"] == "quarantined", "a refused prune removes nothing"
    with pytest.raises(UsageError):
        bench.run(bench.kernel.prune_subclusters(None))
    report = bench.run(bench.kernel.prune_subclusters(None, quarantined=True))
    assert [entry["id"] for entry in report["pruned"]] == ["s1"]
    assert bench.send(running["rootKref"], "increment") == 1


def test_terminating_a_quarantined_subcluster_removes_it_too(bench: Bench, quarantined: dict[str, Any]) -> None:
    bench.run(bench.kernel.terminate_subcluster(quarantined["subclusterId"]))
    assert bench.kernel.status()["subclusters"] == []
    assert bench.reopen().quarantined == ()
