"""Garbage collection and a kernel's sudden end: wherever a commit has brought it, the records agree."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from bench import Bench
from vat_sources import BANK, FRIEND, MAKER, TAKER

from kernel.store import Store
from kernel.store.audit import audit


class Commits:
    """Audits the store after each commit, and keeps what a kernel that is killed there leaves."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept: list[Path] = []
        commit = Store.commit

        def audited(store: Store) -> None:
            dirty = store.dirty
            commit(store)
            if dirty:
                assert audit(store.connection) == []
                self.kept.append(folder / f"{len(self.kept)}.sqlite")
                with closing(sqlite3.connect(self.kept[-1])) as copy:
                    store.connection.backup(copy)

        monkeypatch.setattr(Store, "commit", audited)


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commits:
    return Commits(tmp_path, monkeypatch)


def test_at_every_commit_the_records_agree_and_a_kernel_goes_on_from_there(
    bench: Bench, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = bench.launch(bench.config({"maker": bench.bundle("maker", MAKER), "taker": bench.bundle("taker", TAKER)}))
    bank = bench.launch(bench.config({"bank": bench.bundle("bank", BANK), "friend": bench.bundle("friend", FRIEND)}))
    maker = pair["rootKref"]
    vats = bench.subcluster(pair["subclusterId"])["vats"]
    assert bench.send(maker, "pass_around", 5) == 5
    for number in range(3):
        bench.send(maker, "hand_out_and_keep", number)
    bench.send(bank["rootKref"], "lend", "alice")
    bench.send(bank["rootKref"], "circle")
    bench.send(bank["rootKref"], "close")
    bench.run(bench.kernel.restart_vat(vats["maker"]))
    bench.send(maker, "hand_out_and_keep", 4)
    bench.run(bench.kernel.collect_garbage())
    bench.run(bench.kernel.terminate_vat(vats["taker"]))
    bench.run(bench.kernel.terminate_subcluster(bank["subclusterId"]))
    bench.run_until(lambda: bench.rows("suspects") == 0)
    bench.close()
    monkeypatch.undo()
    assert len(commits.kept) > 15
    for number, left in enumerate(commits.kept):
        goes_on(bench, left, number)


def goes_on(bench: Bench, left: Path, number: int) -> None:
    """Start a kernel on what is left, collect, and see that all that is there is what somebody holds."""
    for old in bench.directory.glob("kernel.sqlite*"):
        old.unlink()
    left.rename(bench.directory / "kernel.sqlite")
    bench.open()
    try:
        bench.run_until(lambda: bench.rows("deliveries") == 0)
        bench.run(bench.kernel.collect_garbage())
        bench.run_until(lambda: bench.rows("suspects") == 0)
        assert audit(bench.store.connection) == [], number
        for entry in bench.kernel.status()["subclusters"]:
            assert bench.kernel.is_revoked(entry["rootKref"]) is False
    finally:
        bench.close()
