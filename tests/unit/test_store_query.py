"""Queries from outside: read-only, bounded, and refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kernel
from kernel.errors import QueryError
from kernel.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(str(tmp_path / "kernel.sqlite"))
    with store.unit():
        store.set_setting("identity", "one")
    store.commit()
    yield store
    store.close()


def test_rows_come_as_objects_by_column_name(store: Store) -> None:
    assert store.query("SELECT key, value FROM kernel") == [{"key": "identity", "value": "one"}]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM kernel",
        "UPDATE kernel SET value = 'x'",
        "INSERT INTO kernel VALUES ('a', 'b')",
        "DROP TABLE kernel",
        "CREATE TABLE t (x)",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 9",
        "ATTACH DATABASE '/tmp/other' AS other",
        "VACUUM",
        "BEGIN",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM kernel",
        "WITH x AS (SELECT 1) DELETE FROM kernel",
        "nonsense",
        "",
    ],
)
def test_anything_but_one_reading_statement_is_refused_and_changes_nothing(store: Store, sql: str) -> None:
    if sql:
        with pytest.raises(QueryError):
            store.query(sql)
    else:
        assert store.query(sql) == []
    assert store.query("SELECT count(*) AS n FROM kernel") == [{"n": 1}]


def test_a_query_with_too_many_rows_is_refused_by_number(store: Store) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with pytest.raises(QueryError, match="10000 rows"):
        store.query(endless)


def test_infinities_come_by_name_because_json_has_none(store: Store) -> None:
    assert store.query("SELECT 9e999 AS big, -9e999 AS small, 1.5 AS plain") == [
        {"big": "inf", "small": "-inf", "plain": 1.5}
    ]


def test_blobs_come_as_hexadecimal_text(store: Store) -> None:
    assert store.query("SELECT x'00ff' AS blob") == [{"blob": "00ff"}]


def test_no_statement_numbers_its_placeholders() -> None:
    """From Python 3.12 on a sequence does not go with ``?1``, which counts as a name."""
    package = Path(kernel.__file__).parent
    numbered = re.compile(r"""["'].*[=(, ]\?[0-9]""")
    found = [
        f"{path.relative_to(package)}:{number}"
        for path in sorted(package.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if numbered.search(line)
    ]
    assert found == []
