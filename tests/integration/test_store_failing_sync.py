"""A batch whose sync fails is undone, for whoever opens the store next too, or its caller is told that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded import Recorded, home_in, record

import kernel
from kernel.store import Store
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.supervisor import Supervisor

PROGRAM = f"""
sys.path.insert(0, {str(Path(kernel.__file__).parents[1])!r})
from kernel.store import BatchLostError, Store
store = Store.open(os.path.abspath("store"))
with store.unit():
    store.set_setting("first", "yes")
store.commit()
with store.unit():
    store.set_setting("second", "yes")
try:
    store.commit()
    print("done", flush=True)
except BatchLostError as lost:
    print(lost.error.data.get("undecided", False), store.get_setting("second"), flush=True)
os._exit(0)  # as a daemon that is killed: nothing is closed
"""


def run(supervisor: Supervisor, home: Path, *faults: str) -> Recorded:
    done = record(supervisor, home, PROGRAM, *faults)
    assert done.status == 0, done.output
    return done


@pytest.fixture(scope="module")
def last_sync(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the name of the point at which the second batch is synced."""
    done = run(supervisor, home_in(tmp_path_factory.mktemp("learning")))
    assert done.output == "done\n"
    return [name for name in done.points({Kind.SYNC}) if name.startswith("w:sync:store-wal#")][-1]


@pytest.mark.parametrize(
    ("error", "told", "found"),
    [
        ("EIO", "False None", {None}),
        ("ENOSPC", "False None", {None}),
        ("EIO+", "True None", {None, "yes"}),  # nothing can be written over it
        ("ENOSPC+", "True None", {None, "yes"}),
    ],
)
def test_a_batch_whose_sync_failed_is_not_there_for_whoever_opens_the_store_next(
    supervisor: Supervisor, last_sync: str, short_tmp: Path, error: str, told: str, found: set[str | None]
) -> None:
    home = home_in(short_tmp)
    assert run(supervisor, home, f"{last_sync}={error}").output == f"{told}\n"
    store = Store.open(str(home / "store"))
    assert store.get_setting("first") == "yes"
    assert store.get_setting("second") in found
    store.close()
