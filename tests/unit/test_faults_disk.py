"""Faults of disks, permissions, logs, stores and pids: each comes, shows that it is so, and goes without a trace."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pytest_ocap import reaper
from pytest_ocap.faults.companions import Companion
from pytest_ocap.faults.disks import SmallDisk
from pytest_ocap.faults.logs import LOG_FAULTS
from pytest_ocap.faults.permissions import ReadOnly
from pytest_ocap.faults.stores import HOLDS, StoreHeld
from pytest_ocap.faults.versions import STEPS, VersionSkew
from pytest_ocap.processes import own_birth
from pytest_ocap.verdict import UnsupportedError


@pytest.fixture
def home(short_tmp: Path) -> Path:
    """Give a home with a store of version 3 and a log."""
    place = short_tmp / "h"
    place.mkdir()
    with closing(sqlite3.connect(place / "store")) as store:
        store.executescript("PRAGMA user_version = 3; CREATE TABLE a (b)")
    (place / "log").write_text("a line\n")
    return place


def content(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.iterdir()}


@pytest.fixture
def disk(home: Path) -> SmallDisk:
    """Give a home on a disk of its own, or skip where nothing can be mounted."""
    disk = SmallDisk(home, full=True)
    try:
        disk.arrange()
    except UnsupportedError as error:
        pytest.skip(str(error))
    return disk


def test_a_disk_is_full_to_the_last_byte_until_it_is_freed(disk: SmallDisk, home: Path) -> None:
    assert disk.fired() is not None
    with pytest.raises(OSError, match="No space left"):
        (home / "one").write_bytes(b"x")
    disk.free()
    (home / "one").write_bytes(b"x")
    disk.undo()
    assert set(content(home)) == {"store", "log"}
    disk.undo()


def test_a_disk_goes_with_its_home_when_pytest_is_killed(disk: SmallDisk, short_tmp: Path) -> None:
    root = short_tmp / "root"
    root.mkdir()
    other = SmallDisk(root, full=False)
    other.arrange()
    reaper.clean(root, own_birth())
    assert not root.exists()
    disk.undo()


@pytest.mark.parametrize("mount", [False, True], ids=["mode", "mount"])
@pytest.mark.parametrize("name", [".", "store"])
def test_what_is_read_only_can_be_written_again(home: Path, name: str, mount: bool) -> None:
    before = content(home)
    fault = ReadOnly(home / name, mount=mount)
    try:
        fault.arrange()
    except UnsupportedError as error:
        pytest.skip(str(error))
    assert fault.fired() is not None
    fault.undo()
    assert fault.fired() is None
    (home / ".attempt").unlink(missing_ok=True)
    assert content(home) == before


@pytest.mark.parametrize("name", LOG_FAULTS)
def test_a_fault_of_the_log_comes_and_goes(home: Path, name: str) -> None:
    before = content(home)
    fault = LOG_FAULTS[name](home / "log")
    fault.undo()
    fault.arrange()
    assert fault.fired() is not None
    fault.undo()
    assert content(home) == before
    assert [path.name for path in home.parent.iterdir()] == ["h"]


@pytest.mark.parametrize("how", HOLDS)
def test_a_store_is_held_until_it_is_let_go(home: Path, how: str) -> None:
    fault = StoreHeld(home / "store", how)
    fault.arrange()
    assert fault.fired() is not None
    fault.undo()
    with closing(sqlite3.connect(home / "store", timeout=0, isolation_level=None)) as store:
        store.execute("BEGIN EXCLUSIVE")


@pytest.mark.parametrize("which", STEPS)
def test_a_version_is_changed_and_changed_back(home: Path, which: str) -> None:
    before = content(home)
    fault = VersionSkew(home / "store", which)
    fault.arrange()
    assert fault.fired() is not None
    assert fault.version() == {"newer": 4, "older": 2}[which]
    fault.undo()
    assert content(home) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL, signal.SIGSTOP])
def test_a_companion_knows_what_was_done_to_it(number: signal.Signals) -> None:
    companion = Companion()
    assert companion.harm() is None
    os.kill(companion.pid, number)
    while companion.harm() is None:
        pass
    companion.end()
