"""Each fault arranges its thing, shows that it is so, tells when it is not so, and puts back what was there."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from little_driver import LittleDriver

from pytest_ocap.faults.bundles import BUNDLE_FAULTS
from pytest_ocap.faults.sockets import SOCKET_FAULTS, LiveListener, SomebodysData
from pytest_ocap.faults.startup import START_FAULTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", BUNDLE_FAULTS)
def test_a_bundle_fault_comes_and_goes(short_tmp: Path, name: str) -> None:
    bundle = short_tmp / "c1.bundle"
    bundle.write_text('{"a bundle": "of some length"}\n')
    os.utime(bundle, (1000, 1000))
    before = (bundle.read_bytes(), bundle.stat().st_mode)
    fault = BUNDLE_FAULTS[name](bundle)

    fault.undo()
    assert bundle.read_bytes() == before[0], "to undo what was not arranged changes nothing"

    fault.arrange()
    evidence = fault.fired()
    assert evidence is not None
    assert str(bundle) in evidence
    fault.undo()
    assert (bundle.read_bytes(), bundle.stat().st_mode) == before
    assert [path.name for path in short_tmp.iterdir()] == ["c1.bundle"]


@pytest.mark.parametrize(
    "name", sorted(set(BUNDLE_FAULTS) - {"too-large", "not-a-bundle", "device", "truncate", "empty"})
)
def test_a_bundle_fault_that_somebody_mended_has_not_fired(short_tmp: Path, name: str) -> None:
    bundle = short_tmp / "c1.bundle"
    bundle.write_text("a bundle")
    fault = BUNDLE_FAULTS[name](bundle)
    fault.arrange()
    if bundle.is_dir() and not bundle.is_symlink():
        bundle.rmdir()
    else:
        bundle.unlink(missing_ok=True)
    bundle.write_text("a bundle again")
    assert fault.fired() is None


@pytest.fixture
def home(short_tmp: Path) -> Path:
    """Give a home with a store and a log, as the little daemon would leave it."""
    place = short_tmp / "h"
    place.mkdir()
    with closing(sqlite3.connect(place / "store.sqlite")) as store:
        store.execute("CREATE TABLE sub (id INTEGER)")
        store.commit()
    (place / "log").write_text("")
    return place


@pytest.mark.parametrize("name", START_FAULTS)
def test_a_fault_of_the_start_comes_and_goes(home: Path, name: str) -> None:
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    fault = START_FAULTS[name](LittleDriver(), home)
    fault.arrange()
    assert fault.fired() is not None
    fault.undo()
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


@pytest.mark.parametrize("name", SOCKET_FAULTS)
def test_a_fault_of_the_socket_comes_and_goes(short_tmp: Path, name: str) -> None:
    fault = SOCKET_FAULTS[name](short_tmp / "h" / "sock")
    fault.arrange()
    assert fault.fired() is not None
    assert fault.untouched()
    fault.undo()
    assert list((short_tmp / "h").iterdir()) == []


def test_a_listener_knows_when_it_was_put_aside(short_tmp: Path) -> None:
    fault = LiveListener(short_tmp / "sock")
    fault.arrange()
    assert fault.answers()
    fault.path.rename(short_tmp / "elsewhere")
    assert not fault.answers()
    assert not fault.untouched()
    fault.undo()


def test_words_are_found_where_they_were_moved(short_tmp: Path) -> None:
    fault = SOCKET_FAULTS["directory"](short_tmp / "sock")
    assert isinstance(fault, SomebodysData)
    fault.arrange()
    fault.path.rename(short_tmp / "sock.aside")
    assert fault.found() == short_tmp / "sock.aside" / "notes.txt"
    (short_tmp / "sock.aside" / "notes.txt").unlink()
    assert fault.found() is None
