"""Crash states of small programs: which there are under which model."""

from __future__ import annotations

from pathlib import Path

import pytest
from crashes import NEW, OLD, acknowledge, contents, cut_at, home, promised, search, the
from scripts import Script

from pytest_ocap.sweeps.crash import Bound, Image, Model
from pytest_ocap.sweeps.crash.pages import PAGE, SECTOR

# --- what each model promises ----------------------------------------------------------------------------------------


def replace(w: Script, *, sync: bool, sync_dir: bool) -> None:
    w.open("a.tmp", create=True)
    w.write("a.tmp", 0, NEW)
    if sync:
        w.fsync("a.tmp")
    w.rename("a.tmp", "a")
    if sync_dir:
        w.fsync_dir("")


def test_a_file_renamed_without_fsync_can_be_empty() -> None:
    w = Script()
    replace(w, sync=False, sync_dir=True)
    states = search(w)
    assert b"" in contents(states, "a", Model.STRICT)
    assert b"" in contents(states, "a", Model.EXT4)


def test_ext4_writes_a_file_before_it_replaces_another() -> None:
    w = Script()
    replace(w, sync=False, sync_dir=True)
    states = search(w, home(a=OLD))
    assert b"" in contents(states, "a", Model.STRICT)
    assert contents(states, "a", Model.EXT4) == {OLD, NEW}


def test_an_atomic_replacement_has_no_bad_state() -> None:
    w = Script()
    replace(w, sync=True, sync_dir=True)
    acknowledge(w)
    states = search(w, home(a=OLD))
    for model in (Model.EXT4, Model.STRICT):
        assert contents(states, "a", model) == {OLD, NEW}
        for state in states:
            if model in state.possible and state.exchange(model).sent:
                assert state.image().bytes_of("a") == NEW


def test_a_name_is_durable_with_its_directory_or_on_ext4_with_its_file() -> None:
    w = Script()
    w.open("a", create=True)
    w.write("a", 0, NEW)
    w.fsync("a")
    acknowledge(w)
    states = search(w)
    lost = the(states, "a", None)
    assert lost.exchange(Model.STRICT).sent
    assert "creation of a" in lost.lost(Model.STRICT)
    for state in states:
        if Model.EXT4 in state.possible and state.exchange(Model.EXT4).sent:
            assert state.image().bytes_of("a") == NEW


def test_a_new_directory_needs_its_parent_synced() -> None:
    w = Script()
    w.mkdir("d")
    w.open("d/a", create=True)
    w.fsync("d/a")
    w.fsync_dir("d")
    w.chmod("d", 0o755)
    states = search(w)
    assert any("d" not in state.image().entries for state in cut_at(states, 4))
    w.fsync_dir("")
    w.chmod("d", 0o700)
    assert all("d/a" in state.image().entries for state in cut_at(search(w), 6))


def test_ext4_loses_the_end_of_its_journal_and_strict_any_name() -> None:
    w = Script()
    for name in "abc":
        w.open(name, create=True)
    states = search(w)
    names = {m: {"".join(sorted(s.image().entries)) for s in states if m in s.possible} for m in Model}
    assert names[Model.EXT4] == {"", "a", "ab", "abc"}
    assert names[Model.STRICT] == {"", "a", "b", "c", "ab", "ac", "bc", "abc"}


def test_only_strict_has_holes_in_what_was_appended() -> None:
    w = Script()
    w.open("a", create=True)
    w.write("a", 0, b"1" * PAGE)
    w.write("a", PAGE, b"2" * PAGE)
    states = search(w)
    holes = {bytes(PAGE) + b"2" * PAGE, bytes(PAGE)}
    assert holes <= contents(states, "a", Model.STRICT)
    assert not holes & contents(states, "a", Model.EXT4)


def test_a_file_moved_between_directories_can_be_in_both_or_none_under_strict_only() -> None:
    w = Script()
    w.mkdir("d")
    w.open("a", create=True)
    w.sync()
    w.rename("a", "d/a")
    states = search(w)
    where = {
        m: {("a" in s.image().entries, "d/a" in s.image().entries) for s in states if m in s.possible} for m in Model
    }
    assert {(True, True), (False, False)} <= where[Model.STRICT]
    last = cut_at(states, 3, Model.EXT4)
    assert {("a" in s.image().entries, "d/a" in s.image().entries) for s in last} == {(True, False), (False, True)}


def test_fdatasync_does_not_make_modes_durable() -> None:
    w = Script()
    w.open("a", create=True, mode=0o644)
    w.fsync_dir("")
    w.chmod("a", 0o600)
    w.fdatasync("a")
    w.write("a", 0, b"secret")
    modes = {state.image().entries["a"].mode for state in cut_at(search(w), 4)}
    assert modes == {0o644, 0o600}


def test_an_fsync_that_failed_loses_what_a_later_one_pretends_to_have_written() -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, NEW)
    w.fail_fsync("a")
    w.fsync("a")
    acknowledge(w)
    for model in (Model.STRICT, Model.EXT4):
        assert {state.image().bytes_of("a") for state in promised(w, model)} == {NEW}
    found = {state.image().bytes_of("a") for state in promised(w, Model.FAILS_CLEAN)}
    assert {b"", bytes(len(NEW)), NEW} <= found


@pytest.mark.parametrize("model", list(Model))
def test_an_fsync_that_failed_promises_nothing(model: Model) -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, NEW)
    w.fail_fsync("a")
    w.accept(1)
    w.send(1, b"failed\n")
    assert {b"", NEW} <= {state.image().bytes_of("a") for state in promised(w, model)}


def test_what_is_written_again_after_an_fsync_that_failed_is_durable_with_the_next() -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, NEW)
    w.fail_fsync("a")
    w.write("a", 0, NEW)
    w.fsync("a")
    acknowledge(w)
    assert {state.image().bytes_of("a") for state in promised(w, Model.FAILS_CLEAN)} == {NEW}


# --- tears ----------------------------------------------------------------------------------------------------------


def test_an_overwrite_is_torn_at_borders_of_sectors_and_nowhere_else() -> None:
    before = b"o" * 3 * SECTOR
    w = Script()
    w.open("a")
    w.write("a", 100, b"n" * 2 * SECTOR)
    found = contents(search(w, home(a=before)), "a", Model.EXT4)
    after = before[:100] + b"n" * 2 * SECTOR + before[100 + 2 * SECTOR :]
    torn = {after[:border] + before[border:] for border in (SECTOR, 2 * SECTOR)}
    assert found == {before, after, before[:SECTOR] + after[SECTOR:], *torn}


def test_a_write_within_one_sector_is_there_or_not() -> None:
    w = Script()
    w.open("a")
    w.write("a", 10, b"n" * 400)
    assert len(contents(search(w, home(a=b"o" * SECTOR)), "a", Model.STRICT)) == 2


def test_ext4_appends_whole_pages() -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, b"1" * (2 * PAGE + 100))
    sizes = {len(data or b"") for data in contents(search(w, bound=Bound(tears=100)), "a", Model.EXT4)}
    assert sizes == {0, PAGE, 2 * PAGE, 2 * PAGE + 100}


def test_a_line_appended_to_a_lost_one_in_the_same_sector_is_lost_with_it() -> None:
    w = Script()
    w.open("log", create=True)
    w.write("log", None, b"one\n")
    w.write("log", None, b"two\n")
    lines = {None, b"", b"one\n", b"one\ntwo\n"}
    lengths = {bytes(4), bytes(8), b"one\n" + bytes(4)}
    assert contents(search(w), "log", Model.EXT4) == lines
    assert contents(search(w), "log", Model.STRICT) == lines | lengths


def test_a_write_that_comes_back_durable_can_be_torn_only_while_it_is_made() -> None:
    w = Script()
    w.open("a")
    w.write("a", 0, b"n" * 2 * SECTOR, durable=True)
    w.chmod("a", 0o644)
    states = search(w, home(a=b"o" * 2 * SECTOR))
    torn = the(states, "a", b"n" * SECTOR + b"o" * SECTOR)
    assert torn.describe().startswith("cut during call 1 pwrite64(a); torn: write of 1024 bytes at 0 of a at 512")
    assert {state.image().bytes_of("a") for state in cut_at(states, 2)} == {b"n" * 2 * SECTOR}


def test_a_write_that_comes_back_durable_does_not_make_others_so() -> None:
    w = Script()
    w.open("a")
    w.write("a", 0, b"n" * SECTOR)
    w.write("a", SECTOR, b"n" * SECTOR, durable=True)
    w.chmod("a", 0o644)
    old, new = b"o" * SECTOR, b"n" * SECTOR
    states = search(w, home(a=old * 2))
    for model in (Model.EXT4, Model.STRICT):
        assert {state.image().bytes_of("a") for state in cut_at(states, 3, model)} == {old + new, new + new}


# --- calls that overlap, fail, or come back short -------------------------------------------------------------------


def test_a_sync_does_not_cover_a_write_that_is_under_way() -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, NEW)
    with w.during():
        w.fsync("a")
    w.chmod("a", 0o600)
    assert {len(state.image().bytes_of("a")) for state in cut_at(search(w), 4)} >= {0, len(NEW)}


def test_a_sync_that_has_not_come_back_promises_nothing() -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, NEW)
    w.fsync("a")
    w.never_came_back()
    assert b"" in contents(search(w), "a", Model.EXT4)


def test_a_write_that_came_back_short_wrote_no_more(short_tmp: Path) -> None:
    w = Script(short_tmp)
    w.open("a", create=True)
    w.write("a", 0, b"0123456789", short=4)
    w.close()
    assert search(w).final().bytes_of("a") == b"012345"
    assert search(w).final() == Image.read(short_tmp)


def test_what_is_made_on_something_unknown_is_noted() -> None:
    w = Script()
    w.rename("nobody", "knows")
    assert any("call 0 renameat2(nobody)" in note for note in search(w).notes)
