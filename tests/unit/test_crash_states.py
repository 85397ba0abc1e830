"""Crash states of small programs: which there are under which model, what they are called, what had been promised."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from scripts import Script

from pytest_ocap.sweeps.crash import Bound, CrashState, CrashStates, Family, Image, Model
from pytest_ocap.sweeps.crash.image import Entry, Type
from pytest_ocap.sweeps.crash.pages import PAGE, SECTOR, Pages

OLD, NEW = b"old", b"new" * 500
EMPTY_HOME = Image({"": Entry(Type.DIRECTORY, 0o700)})


def home(**files: bytes) -> Image:
    entries = {name: Entry(Type.FILE, 0o600, Pages.of(data)) for name, data in files.items()}
    return Image({"": Entry(Type.DIRECTORY, 0o700), **entries})


def search(script: Script, before: Image = EMPTY_HOME, *models: Model, bound: Bound | None = None) -> CrashStates:
    return CrashStates(before, script.recording(), models=models or (Model.EXT4, Model.STRICT), bound=bound)


def contents(states: CrashStates, path: str, model: Model) -> set[bytes | None]:
    """What a file can hold under a model; ``None`` when it can be missing."""
    found: set[bytes | None] = set()
    for state in states:
        if model in state.possible:
            entry = state.image().entries.get(path)
            found.add(None if entry is None else entry.content.to_bytes())
    return found


def the(states: Iterable[CrashState], path: str, data: bytes | None, model: Model = Model.STRICT) -> CrashState:
    """The first state in which a file holds something."""
    for state in states:
        entry = state.image().entries.get(path)
        if model in state.possible and (None if entry is None else entry.content.to_bytes()) == data:
            return state
    raise AssertionError(f"no state has {path} so")


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
    w.accept(1)
    w.send(1, b"ok\n")
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
    w.accept(1)
    w.send(1, b"ok\n")
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
    assert any("d" not in state.image().entries for state in states if state.possible[Model.STRICT][1].place == 4)
    w.fsync_dir("")
    w.chmod("d", 0o700)
    assert all("d/a" in s.image().entries for s in search(w) if s.possible[Model.STRICT][1].place == 6)


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
    last = [s for s in states if Model.EXT4 in s.possible and s.possible[Model.EXT4][1].place == 3]
    assert {("a" in s.image().entries, "d/a" in s.image().entries) for s in last} == {(True, False), (False, True)}


def test_fdatasync_does_not_make_modes_durable() -> None:
    w = Script()
    w.open("a", create=True, mode=0o644)
    w.fsync_dir("")
    w.chmod("a", 0o600)
    w.fdatasync("a")
    w.write("a", 0, b"secret")
    modes = {s.image().entries["a"].mode for s in search(w) if s.possible[Model.STRICT][1].place == 4}
    assert modes == {0o644, 0o600}


def test_an_fsync_that_failed_loses_what_a_later_one_pretends_to_have_written() -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, NEW)
    w.fail_fsync("a")
    w.fsync("a")
    w.accept(1)
    w.send(1, b"ok\n")
    for model in (Model.STRICT, Model.EXT4):
        promised = [s for s in search(w, EMPTY_HOME, model) if s.exchange(model).sent]
        assert {s.image().bytes_of("a") for s in promised} == {NEW}
    promised = [s for s in search(w, EMPTY_HOME, Model.FAILS_CLEAN) if s.exchange(Model.FAILS_CLEAN).sent]
    assert {b"", bytes(len(NEW)), NEW} <= {s.image().bytes_of("a") for s in promised}


@pytest.mark.parametrize("model", list(Model))
def test_an_fsync_that_failed_promises_nothing(model: Model) -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, NEW)
    w.fail_fsync("a")
    w.accept(1)
    w.send(1, b"failed\n")
    last = [s for s in search(w, EMPTY_HOME, model) if s.exchange(model).sent]
    assert {b"", NEW} <= {s.image().bytes_of("a") for s in last}


def test_what_is_written_again_after_an_fsync_that_failed_is_durable_with_the_next() -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, NEW)
    w.fail_fsync("a")
    w.write("a", 0, NEW)
    w.fsync("a")
    w.accept(1)
    w.send(1, b"ok\n")
    promised = [s for s in search(w, EMPTY_HOME, Model.FAILS_CLEAN) if s.exchange(Model.FAILS_CLEAN).sent]
    assert {s.image().bytes_of("a") for s in promised} == {NEW}


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
    after = [s for s in states if s.possible[Model.STRICT][1].place == 2]
    assert {s.image().bytes_of("a") for s in after} == {b"n" * 2 * SECTOR}


def test_a_write_that_comes_back_durable_does_not_make_others_so() -> None:
    w = Script()
    w.open("a")
    w.write("a", 0, b"n" * SECTOR)
    w.write("a", SECTOR, b"n" * SECTOR, durable=True)
    w.chmod("a", 0o644)
    old, new = b"o" * SECTOR, b"n" * SECTOR
    states = search(w, home(a=old * 2))
    for model in (Model.EXT4, Model.STRICT):
        after = [s for s in states if s.possible[model][1].place == 3]
        assert {s.image().bytes_of("a") for s in after} == {old + new, new + new}


# --- calls that overlap, fail, or come back short -------------------------------------------------------------------


def test_a_sync_does_not_cover_a_write_that_is_under_way() -> None:
    w = Script()
    w.open("a", create=True)
    w.fsync_dir("")
    w.write("a", 0, NEW)
    with w.during():
        w.fsync("a")
    w.chmod("a", 0o600)
    last = [s for s in search(w) if s.possible[Model.STRICT][1].place == 4]
    assert {len(s.image().bytes_of("a")) for s in last} >= {0, len(NEW)}


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


# --- what had been promised ----------------------------------------------------------------------------------------


def test_an_exchange_is_what_had_gone_through_accepted_connections() -> None:
    w = Script()
    w.open("a", create=True)
    w.connect(7)
    w.send(7, b"request\n")
    w.accept(1)
    w.receive(1, b"request\n")
    w.write("a", 0, b"x")
    w.send(1, b"answer\n")
    with w.during():
        w.write("a", 1, b"y")
    states = search(w)
    early = the(states, "a", b"x", Model.EXT4)
    assert [call.data for call in early.exchange(Model.EXT4).received] == [b"request\n"]
    complete = the(states, "a", b"xy", Model.EXT4).exchange(Model.EXT4)
    assert [call.data for call in complete.sent] == [b"answer\n"]
    assert complete.in_flight == ()


def test_a_send_under_way_is_in_flight() -> None:
    w = Script()
    w.accept(1)
    w.send(1, b"answer\n")
    w.never_came_back()
    w.open("a", create=True)
    exchange = the(search(w), "a", b"").exchange()
    assert exchange.sent == ()
    assert [call.data for call in exchange.in_flight] == [b"answer\n"]


def test_what_loses_something_promised_comes_first_of_its_kind() -> None:
    w = Script()
    w.accept(1)
    for name in "abc":
        w.open(name, create=True)
        w.fsync_dir("")
    w.write("b", 0, b"x")
    w.send(1, b"ok\n")
    w.fsync("b")
    w.write("c", 0, b"y")
    states = search(w)
    lost = [s for s in states if s.family is Family.ALL_LOST]
    assert lost[0].exchange().sent
    assert "write of 1 byte at 0 of b" in lost[0].lost()


# --- words, and the bound --------------------------------------------------------------------------------------------


def test_a_state_says_when_the_power_was_cut_and_what_was_lost() -> None:
    w = Script()
    w.open("daemon.lock.tmp", create=True)
    w.fsync("daemon.lock.tmp")
    w.open("wal", create=True)
    w.fsync("wal")
    w.fsync_dir("")
    w.rename("daemon.lock.tmp", "daemon.lock")
    w.write("wal", 0, b"1" * PAGE)
    zeros = [s for s in search(w) if s.loss.torn is not None and s.loss.torn.start == s.loss.torn.end]
    state = next(s for s in zeros if "daemon.lock" not in s.image().entries)
    assert state.describe() == (
        "cut after call 6 pwrite64(wal); lost: rename daemon.lock.tmp -> daemon.lock; "
        "length without bytes: write of 4096 bytes at 0 of wal; possible under strict"
    )


def test_much_that_was_lost_is_said_in_few_words() -> None:
    w = Script()
    w.open("wal", create=True)
    w.fsync_dir("")
    for number in range(4):
        w.write("wal", number * PAGE, b"1" * PAGE)
    w.open("log", create=True)
    lost = the([s for s in search(w) if "log" in s.image().entries], "wal", b"")
    assert lost.describe() == "cut after call 6 openat(log); lost: 4 writes of wal; possible under ext4-ordered, strict"
    assert len(lost.lost()) == 4


def test_the_end_of_all_that_was_done_is_lost_in_one_word() -> None:
    w = Script()
    for name in "abcd":
        w.open(name, create=True)
    nothing = the(search(w), "a", None, Model.EXT4)
    assert nothing.describe() == (
        "cut after call 3 openat(d); lost: all 4 changes from call 0 on; possible under ext4-ordered, strict"
    )


def test_the_bound_is_stated_with_what_it_leaves_out() -> None:
    w = Script()
    for number in range(20):
        w.open(f"file{number}", create=True)
    states = search(w, bound=Bound(reordered=2, window=3, tears=2))
    assert states.left_out > 0
    assert f"{len(states)} distinct crash states" in states.words()
    assert "each set of up to 2 of the 3 newest changes" in states.words()
    assert f"{len(states) - 10} of the states were not tried" in states.words(tried=10)
    full = search(Script(), bound=Bound())
    assert (len(full), full.left_out) == (0, 0)


def test_two_names_of_one_file_are_another_state_than_two_files_alike() -> None:
    w = Script()
    w.link("a", "b")
    w.unlink("b")
    w.open("b", create=True)
    w.write("b", 0, OLD)
    images = [s.image() for s in search(w, home(a=OLD))]
    both = [i.entries["b"].first for i in images if "b" in i.entries and i.bytes_of("b") == OLD]
    assert sorted(both, key=str) == [None, "a"]


def test_which_of_two_files_alike_has_a_second_name_makes_a_difference() -> None:
    w = Script()
    w.link("a", "b")
    w.unlink("b")
    w.link("c", "b")
    images = [s.image() for s in search(w, home(a=OLD, c=OLD))]
    assert sorted(str(i.entries["b"].first) for i in images if "b" in i.entries) == ["a", "b"]


@pytest.mark.parametrize("kind", ["socket", "link", "hard link", "fifo", "sparse"])
def test_an_image_keeps_what_stands_in_a_home(short_tmp: Path, kind: str) -> None:
    import os
    import socket

    source, copy = short_tmp / "source", short_tmp / "copy"
    source.mkdir(mode=0o750)
    (source / "file").write_bytes(b"x" * 5000)
    place = source / "thing"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.fspath(place))
    elif kind == "link":
        place.symlink_to("nowhere")
    elif kind == "hard link":
        place.hardlink_to(source / "file")
    elif kind == "fifo":
        os.mkfifo(place, 0o620)
    else:
        place.write_bytes(b"")
        os.truncate(place, 1 << 30)
    copy.mkdir()
    Image.read(source).materialise(copy) if kind != "sparse" else None
    if kind == "sparse":
        sparse = home().entries | {"thing": Entry(Type.FILE, 0o600, Pages.of(b"x").truncate(1 << 30))}
        Image(sparse).materialise(copy)
        assert (copy / "thing").stat().st_size == 1 << 30
        assert (copy / "thing").stat().st_blocks < 1000
        return
    assert Image.read(copy) == Image.read(source)
    assert copy.stat().st_mode == source.stat().st_mode
    if kind == "hard link":
        assert (copy / "thing").stat().st_nlink == 2
