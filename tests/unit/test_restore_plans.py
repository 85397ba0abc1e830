"""What a start asks of the store does not go through what need not run, as SQLite itself says."""

from __future__ import annotations

import re
from pathlib import Path

from kernel.engine import Kernel
from kernel.events import ListLog
from kernel.loop import Loop
from kernel.refs import ROOT_VREF, Kref
from kernel.store import Store

GROWING = ("clist", "objects", "baggage", "baggage_slots", "durables", "durable_slots", "deliveries", "delivery_slots")
"""The tables whose rows are the business of vats: a start looks only at those rows that it has to."""

CONFIG = '{"bootstrap":"vat","vats":{"vat":{"bundleSpec":"file:///nowhere/vat.bundle"}}}'


def stored(path: Path) -> Store:
    """Give a store with a vat that has a root, and a promise that it was to resolve."""
    store = Store.open(str(path))
    with store.unit():
        subcluster = store.subclusters.insert(CONFIG, "2026-01-01T00:00:00.000Z")
        store.subclusters.set_running(subcluster)
        vat = store.vats.insert(subcluster, "vat")
        store.references.insert_entry(vat, ROOT_VREF, Kref("object", store.references.insert_object(vat)))
        store.references.insert_entry(vat, "p-1", Kref("promise", store.promises.insert(decider=vat)))
    store.commit()
    return store


def test_a_start_and_a_status_scan_no_table_that_grows_with_what_vats_keep(tmp_path: Path) -> None:
    store, loop, asked = stored(tmp_path / "kernel.sqlite"), Loop(), set[str]()
    kernel = Kernel(store, loop=loop, log=ListLog(), bundles_dir=str(tmp_path / "bundles"))
    store.connection.set_trace_callback(asked.add)
    try:
        kernel.restore()
        kernel.open_channels()
        kernel.run()
        kernel.status()
        store.connection.set_trace_callback(None)
        plans = {
            statement: [row[3] for row in store.connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in asked
            if re.match(r"(SELECT|INSERT|UPDATE|DELETE)\b", statement)
        }
    finally:
        kernel.close()
        store.close()
        loop.close()

    assert any("FROM clist" in statement for statement in plans)
    scan = re.compile(rf"SCAN ({'|'.join(GROWING)})\b")
    assert {statement: plan for statement, plan in plans.items() if any(map(scan.match, plan))} == {}
