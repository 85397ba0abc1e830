"""Edges of the engine: what no vat, no client and no failing disk may do to the kernel or to those who wait."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from bench import Bench

from kernel.errors import BundleMissingError, QuarantinedError, StoreError, StoreFullError, UsageError

PARK = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def fill(self, size: int) -> int:
            for _ in range(3_000_000):
                pass
            self.baggage["ballast"] = "x" * size
            return size

        async def never(self) -> None:
            self.own = E(self).echo()
            await self.own

        async def echo(self) -> None:
            await self.own  # an answer that waits for itself never comes

        def ping(self) -> str:
            return "here"

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""


def test_a_method_that_is_no_text_is_refused_with_the_reason(bench: Bench) -> None:
    counter = bench.launch_counter("counter")
    for method in ("", "\ud800", "x" * 2000):
        with pytest.raises(UsageError, match="method"):
            bench.send(counter["rootKref"], method)
    assert bench.send(counter["rootKref"], "increment") == 1


def fill_up(bench: Bench) -> None:
    """Leave the store no room to grow."""
    pages = bench.store.connection.execute("PRAGMA page_count").fetchone()[0]
    bench.store.connection.execute(f"PRAGMA max_page_count = {pages}")


def make_room(bench: Bench) -> None:
    """Let the store grow again."""
    bench.store.connection.execute("PRAGMA max_page_count = 1000000")


def queued(bench: Bench, kref: str, method: str, *arguments: Any) -> Any:
    """Send a message, and give the future of its answer once the message is durable."""
    pending = bench.loop.spawn(bench.kernel.queue_message(kref, method, list(arguments)))
    pending.add_done_callback(lambda _future: None)
    bench.run_until(lambda: pending.done() or bench.rows("deliveries") > 0)
    return pending


def test_a_message_that_a_full_disk_refuses_fails_with_the_reason_and_nothing_else_does(bench: Bench) -> None:
    counter = bench.launch_counter("counter")
    fill_up(bench)
    with pytest.raises(StoreFullError):
        bench.send(counter["rootKref"], "increment", "x" * 200_000)
    gc.collect()
    make_room(bench)
    assert bench.send(counter["rootKref"], "increment") == 1


def test_a_crank_that_a_full_disk_refuses_is_made_again_later_and_not_at_once_for_ever(bench: Bench) -> None:
    launched = bench.launch(bench.config({"main": bench.bundle("keeper", PARK)}))
    pending = queued(bench, launched["rootKref"], "fill", 300_000)
    fill_up(bench)
    bench.run_until(lambda: bench.log.named("store.batch-lost"))
    first = bench.loop.time()
    bench.run_until(lambda: len(bench.log.named("store.batch-lost")) > 1)
    assert bench.loop.time() - first > 0.5
    make_room(bench)
    bench.run_until(pending.done)
    assert pending.result().body == "#300000"


def test_a_store_that_cannot_be_read_for_a_while_ends_neither_the_kernel_nor_a_wait(bench: Bench) -> None:
    counter = bench.launch_counter("counter")
    busy = bench.launch(bench.config({"main": bench.bundle("keeper", PARK)}))
    pending = [queued(bench, busy["rootKref"], "fill", size) for size in (1, 2)]
    connection = bench.store.connection
    connection.execute("ALTER TABLE delivery_slots RENAME TO elsewhere")
    bench.run_until(lambda: bench.log.named("store.failed"))
    connection.execute("ALTER TABLE elsewhere RENAME TO delivery_slots")
    bench.run_until(lambda: all(future.done() for future in pending))
    assert [future.result().body for future in pending] == ["#1", "#2"]
    assert bench.send(counter["rootKref"], "read") == 0


def test_who_waits_for_a_subcluster_that_is_set_aside_is_told_and_its_messages_are_kept(bench: Bench) -> None:
    keeper, fragile = bench.bundle("keeper", PARK), bench.bundle("fragile")
    launched = bench.launch(bench.config({"keeper": keeper, "fragile": fragile}))
    waits = queued(bench, launched["rootKref"], "never")
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    busy = queued(bench, launched["rootKref"], "fill", 7)
    content = fragile.read_bytes()
    fragile.unlink()
    with pytest.raises(BundleMissingError):
        bench.run(bench.kernel.restart_vat("v2"))
    bench.run_until(lambda: waits.done() and busy.done())
    for future in (waits, busy):
        assert isinstance(future.exception(), QuarantinedError)
    assert bench.rows("promises") == 1, "what nobody can answer any more is answered; what is kept is kept"
    fragile.write_bytes(content)
    bench.run(bench.kernel.repair_subcluster("s1"))
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.send(launched["rootKref"], "ping") == "here"


def test_a_repair_that_the_disk_refuses_leaves_the_subcluster_set_aside(bench: Bench) -> None:
    bundle = bench.bundle("c1")
    launched = bench.launch(bench.config({"main": bundle}))
    bundle.rename(bench.directory / "moved")
    bench.reopen()
    (bench.directory / "moved").rename(bundle)
    connection = bench.store.connection
    connection.execute(
        "CREATE TEMP TRIGGER full BEFORE DELETE ON quarantines BEGIN SELECT RAISE(ROLLBACK, 'full'); END"
    )
    with pytest.raises(StoreError):
        bench.run(bench.kernel.repair_subcluster("s1"))
    connection.execute("DROP TRIGGER full")
    assert bench.subcluster("s1")["state"] == "quarantined"
    with pytest.raises(QuarantinedError):
        bench.send(launched["rootKref"], "increment")
    bench.run(bench.kernel.repair_subcluster("s1"))
    assert bench.send(launched["rootKref"], "increment") == 1


def test_a_release_that_is_undone_later_leaves_the_subcluster_set_aside(bench: Bench) -> None:
    bundle = bench.bundle("c1")
    bench.launch(bench.config({"main": bundle}))
    bundle.unlink()
    bench.reopen()
    kernel = bench.kernel
    kernel._quarantine.release(1, "subcluster.repaired")
    assert bench.subcluster("s1")["state"] == "running"
    with pytest.raises(StoreError), kernel._batch.unit():
        bench.store.connection.execute("nonsense")
    assert bench.subcluster("s1")["state"] == "quarantined"
