"""Opening a store: created, reopened, refused untouched, damaged, locked, full."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

import kernel
from kernel.errors import (
    StoreCorruptError,
    StoreError,
    StoreForeignError,
    StoreFullError,
    StoreLockedError,
    StoreNewerError,
)
from kernel.store import BatchLostError, Store
from kernel.store.opening import lock_holders, translate
from kernel.store.schema import APPLICATION_ID, SCHEMA_VERSION
from pytest_ocap.faults.permissions import unprivileged


def fingerprint(directory: Path) -> dict[str, str]:
    """Say what every file of a directory holds."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


def test_a_new_store_says_whose_it_is_in_its_header(tmp_path: Path) -> None:
    path = tmp_path / "kernel.sqlite"
    store = Store.open(str(path))
    assert store.created
    header = path.read_bytes()[:100]
    store.close()
    assert int.from_bytes(header[68:72], "big") == APPLICATION_ID
    assert int.from_bytes(header[60:64], "big") == SCHEMA_VERSION


def in_its_first_transaction(path: Path) -> None:
    """Leave a database as it is when the power goes in its first transaction, and its first page was not written."""
    making = path.with_name("making")
    with closing(sqlite3.connect(making, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")  # so that pages are written before the commit
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (zeroblob(4000))", [()] * 20)
        pages = making.read_bytes()
        path.write_bytes(bytes(4096) + pages[4096:])
        path.with_name(f"{path.name}-journal").write_bytes(making.with_name("making-journal").read_bytes())
    making.unlink()


def test_a_store_whose_very_first_write_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "kernel.sqlite"
    in_its_first_transaction(path)
    assert not any(path.read_bytes()[:100])
    assert any(path.read_bytes()), "some of its pages are there"
    store = Store.open(str(path))
    assert store.created
    assert store.check() == []
    store.close()


@pytest.mark.parametrize("harm", ["no-journal", "no-beginning", "other-journal", "letters"])
def test_a_file_of_zeros_is_refused_untouched_unless_a_journal_says_that_it_was_empty(
    tmp_path: Path, harm: str
) -> None:
    path = tmp_path / "kernel.sqlite"
    in_its_first_transaction(path)
    journal = tmp_path / "kernel.sqlite-journal"
    content = journal.read_bytes()
    if harm == "no-journal":
        journal.unlink()
    elif harm == "no-beginning":
        journal.write_bytes(content[:20])
    elif harm == "other-journal":  # of a database that had a page before
        journal.write_bytes(content[:16] + (1).to_bytes(4, "big") + content[20:])
    else:
        path.write_bytes(b"letters" * 700)
    before = fingerprint(tmp_path)
    with pytest.raises(StoreCorruptError, match="does not begin as an SQLite database does"):
        Store.open(str(path))
    assert fingerprint(tmp_path) == before


def test_a_store_is_durable_relational_and_logged_ahead(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "kernel.sqlite"))
    pragmas = {
        name: store.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "foreign_keys", "journal_mode")
    }
    strict = store.connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
    store.close()
    assert pragmas == {"synchronous": 2, "foreign_keys": 1, "journal_mode": "wal"}
    assert {name for name, is_strict in strict if not is_strict} <= {"sqlite_schema", "sqlite_sequence"}


def test_a_store_reopens_with_what_it_held(tmp_path: Path) -> None:
    path = str(tmp_path / "kernel.sqlite")
    store = Store.open(path)
    with store.unit():
        store.set_setting("identity", "one")
    store.commit()
    store.close()
    store = Store.open(path)
    assert not store.created
    assert store.get_setting("identity") == "one"
    store.close()


def test_another_programs_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "kernel.sqlite"
    other = sqlite3.connect(path)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = fingerprint(tmp_path)
    with pytest.raises(StoreForeignError, match=str(path)) as caught:
        Store.open(str(path))
    assert caught.value.remedy
    assert fingerprint(tmp_path) == before


def test_a_newer_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "kernel.sqlite"
    Store.open(str(path)).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = fingerprint(tmp_path)
    with pytest.raises(StoreNewerError, match=f"version {SCHEMA_VERSION + 1}"):
        Store.open(str(path))
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("content", [b"not a database at all", b"SQLite format 3\x00", b"\x00" * 4096])
def test_what_does_not_begin_like_a_database_is_damaged_and_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kernel.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreCorruptError, match=str(path)):
        Store.open(str(path))
    assert path.read_bytes() == content


def test_damage_behind_a_sound_header_is_found_at_opening(tmp_path: Path) -> None:
    path = tmp_path / "kernel.sqlite"
    Store.open(str(path)).close()
    data = bytearray(path.read_bytes())
    data[200:] = os.urandom(len(data) - 200)
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError, match=str(path)):
        Store.open(str(path))


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    path = tmp_path / "kernel.sqlite"
    path.touch()
    store = Store.open(str(path))
    assert store.created
    store.close()


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling link"])
def test_what_is_not_a_file_is_refused_without_waiting_on_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "kernel.sqlite"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreForeignError, match=str(path)):
        Store.open(str(path))


def test_a_store_that_another_process_holds_is_said_to_be_held(tmp_path: Path) -> None:
    path = str(tmp_path / "kernel.sqlite")
    first = Store.open(path)
    with first.unit():
        first.set_setting("a", "1")
    second = Store.open(path)
    with pytest.raises(BatchLostError) as caught, second.unit():
        second.set_setting("b", "2")
    assert isinstance(caught.value.error, StoreLockedError)
    assert path in str(caught.value.error)
    first.close()
    second.close()


def test_a_missing_directory_is_a_store_error_that_names_the_path(tmp_path: Path) -> None:
    path = str(tmp_path / "no" / "kernel.sqlite")
    with pytest.raises(StoreError, match=path):
        Store.open(path)


def set_many(store: Store, count: int) -> None:
    """Store so many settings, each in a unit of its own, in one batch."""
    for number in range(count):
        with store.unit():
            store.set_setting(f"key {number}", "x" * 1000)


def set_and_fail(store: Store) -> None:
    """Store a setting in a unit that fails after that."""
    with store.unit():
        store.set_setting("undone", "yes")
        raise KeyError


def test_a_full_disk_undoes_the_batch_and_the_store_lives_on(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "kernel.sqlite"))
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(BatchLostError) as caught:
        set_many(store, 1000)
    assert isinstance(caught.value.error, StoreFullError)
    assert not store.dirty
    assert store.get_setting("key 0") is None
    store.connection.execute("PRAGMA max_page_count = 100000")
    with store.unit():
        store.set_setting("key", "value")
    store.commit()
    assert store.get_setting("key") == "value"
    store.close()


def test_a_unit_that_raises_leaves_nothing_and_the_batch_goes_on(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "kernel.sqlite"))
    with store.unit():
        store.set_setting("kept", "yes")
    with pytest.raises(KeyError):
        set_and_fail(store)
    store.commit()
    store.close()
    store = Store.open(str(tmp_path / "kernel.sqlite"))
    assert store.get_setting("kept") == "yes"
    assert store.get_setting("undone") is None
    store.close()


def test_what_was_not_committed_is_gone_after_closing(tmp_path: Path) -> None:
    path = str(tmp_path / "kernel.sqlite")
    store = Store.open(path)
    with store.unit():
        store.set_setting("key", "value")
    store.close()
    store = Store.open(path)
    assert store.get_setting("key") is None
    store.close()


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE"])
def test_a_store_that_another_process_holds_is_refused_with_its_pid(tmp_path: Path, statement: str) -> None:
    path = str(tmp_path / "kernel.sqlite")
    Store.open(path).close()
    program = (
        "import sqlite3, sys; store = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for statement in sys.argv[2].split('; '): store.execute(statement)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-I", "-c", program, path, statement]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert lock_holders(path) == [holder.pid]
        told = translate(busy(path), path)
        assert isinstance(told, StoreLockedError)
        assert f"pid {holder.pid}" in told.message
        assert told.data["holders"] == [holder.pid]
        holder.kill()
    assert lock_holders(path) == []


def test_whoever_writes_to_a_young_store_for_a_moment_does_not_end_its_start(tmp_path: Path) -> None:
    path = str(tmp_path / "kernel.sqlite")
    Store.open(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode = DELETE")  # as a start leaves it that ends before it has switched
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        leaves = threading.Timer(0.2, writer.rollback)  # a start that does not wait has failed long before
        leaves.start()
        Store.open(path).close()
        leaves.join()


def busy(path: str) -> sqlite3.OperationalError:
    """Give what SQLite says to a second writer."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as store:
        with pytest.raises(sqlite3.OperationalError) as caught:
            store.execute("BEGIN IMMEDIATE")
        return caught.value


@pytest.mark.skipif(sys.platform != "linux", reason="root cannot do without its privilege to write everything")
def test_a_store_that_may_not_be_written_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "kernel.sqlite"
    Store.open(str(path)).close()
    path.chmod(0o400)
    program = (
        "import sys; from kernel.errors import StoreError; from kernel.store import Store\n"
        "try: Store.open(sys.argv[1])\n"
        "except StoreError as error: print(error.message)"
    )
    command = [*unprivileged().prefix, sys.executable, "-c", program, str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(kernel.__file__).parents[1])
    assert told.stdout.startswith(f"the store {path} cannot be written: ")
