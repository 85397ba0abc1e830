"""Stores of every earlier version, as the kernels of their time wrote them, are brought up to date and gone on with.

``tests/stores/version_<n>.sql`` has such a store as SQL, the bundles that it was launched from lie beside it.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kernel.engine.doctor import examine
from kernel.store import Store
from kernel.store.schema import MIGRATIONS, SCHEMA_VERSION

if TYPE_CHECKING:
    from bench import Bench

STORES = Path(__file__).parents[1] / "stores"


def frozen(version: int, directory: Path) -> Path:
    """Put a store of a version, with its bundles, into a directory."""
    for bundle in STORES.glob("*.bundle"):
        shutil.copy(bundle, directory)
    path = directory / "kernel.sqlite"
    text = (STORES / f"version_{version}.sql").read_text().replace("@BUNDLES@", directory.as_uri())
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)
        connection.execute("PRAGMA journal_mode = WAL")
    return path


def schema_of(path: Path) -> dict[str, str]:
    """Give the definition of every table, index and trigger by name."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def test_there_is_a_frozen_store_of_every_earlier_version() -> None:
    found = {path.name for path in STORES.glob("version_*.sql")}
    assert found == {f"version_{version}.sql" for version in range(1, len(MIGRATIONS))}


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_migrated_store_has_the_schema_of_a_new_one_and_is_whole(tmp_path: Path, version: int) -> None:
    migrated, fresh = tmp_path / "migrated", tmp_path / "fresh"
    migrated.mkdir()
    fresh.mkdir()
    path = frozen(version, migrated)
    Store.open(str(path)).close()
    Store.open(str(fresh / "kernel.sqlite")).close()
    assert schema_of(path) == schema_of(fresh / "kernel.sqlite")
    report = examine(str(path), str(migrated / "bundles"))
    assert (report["state"], report["findings"]) == ("healthy", [])


def test_a_store_of_version_1_is_gone_on_with_where_it_was(short_tmp: Path, bench: Bench) -> None:
    bench.close()
    for left in short_tmp.glob("kernel.sqlite*"):
        left.unlink()
    frozen(1, short_tmp)
    report = bench.open()
    assert (report.restored, report.quarantined) == ((1, 2), ())
    assert bench.send("ko1", "read") in (3, 4), "the queued message may be delivered after this one"
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.send("ko1", "increment") == 5
    assert bench.send("ko2", "give", 9) == "kept"
    assert bench.send("ko2", "read") == 9
    bench.run_until(lambda: bench.rows("suspects") == 0)
    assert bench.rows("objects") == 4, "three roots and what the baggage mentions: version 1 let go of nothing"
