"""What a power cut leaves of real programs, recorded without their knowledge: known bugs are found, and only those."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import crash_programs
import pytest

from pytest_ocap.sweeps.crash import CrashState, CrashStates, Image, Model
from pytest_ocap.sweeps.injection import Injection
from pytest_ocap.sweeps.supervisor import Supervisor

ONE, TWO, THREE = b"one\n", b"two\n", b"three\n"


class Ran(NamedTuple):
    """A program that has run."""

    states: CrashStates
    home: Path

    def under(self, model: Model) -> list[CrashState]:
        return [state for state in self.states if model in state.possible]


def run(
    supervisor: Supervisor,
    folder: Path,
    store: str,
    *lines: bytes,
    before: dict[str, bytes] | None = None,
    models: tuple[Model, ...] = (Model.EXT4, Model.STRICT),
    faults: tuple[str, ...] = (),
) -> Ran:
    home = folder / "home"
    home.mkdir()
    for name, data in (before or {}).items():
        (home / name).write_bytes(data)
    image = Image.read(home)
    recording, reached = crash_programs.record(
        supervisor, home, store, lines, tuple(Injection.parse(fault) for fault in faults)
    )
    assert len(reached.fired) == len(faults)
    return Ran(CrashStates(image, recording, models=models), home)


def sent(state: CrashState, model: Model) -> list[bytes]:
    """The lines that had been acknowledged, in order."""
    return [call.data or b"" for call in state.exchange(model).sent]


def value(state: CrashState) -> bytes | None:
    entry = state.image().entries.get("value")
    return None if entry is None else entry.content.to_bytes()


def test_with_nothing_lost_the_end_is_the_home_that_a_real_program_left(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    for number, store in enumerate((crash_programs.ATOMIC, crash_programs.APPENDS, crash_programs.DATABASE)):
        folder = short_tmp / str(number)
        folder.mkdir()
        ran = run(supervisor, folder, store.replace("{synchronous}", "FULL"), ONE, TWO)
        assert ran.states.final() == Image.read(ran.home)


def bad_values(ran: Ran, model: Model) -> set[bytes | None]:
    """What a value that is replaced should never be after a power cut."""
    found = set()
    for state in ran.under(model):
        promised = sent(state, model)
        fine: set[bytes | None] = {promised[-1]} if promised else {None, b"before\n"}
        # The next one may be there, too: its fate is unknown.
        began = [call.data for call in state.exchange(model).received]
        fine |= {data for data in began[len(promised) :] if data}
        if value(state) not in fine:
            found.add(value(state))
    return found


def test_an_atomic_replacement_survives_every_state(supervisor: Supervisor, short_tmp: Path) -> None:
    ran = run(supervisor, short_tmp, crash_programs.ATOMIC, ONE, TWO, before={"value": b"before\n"})
    for model in (Model.EXT4, Model.STRICT):
        assert len({value(state) for state in ran.under(model)}) == 3
        assert not bad_values(ran, model)


def test_a_rename_before_the_data_leaves_an_empty_file(supervisor: Supervisor, short_tmp: Path) -> None:
    ran = run(supervisor, short_tmp, crash_programs.NO_FILE_SYNC, ONE)
    assert b"" in bad_values(ran, Model.STRICT)
    assert b"" in bad_values(ran, Model.EXT4)


def test_a_rename_over_a_file_is_safe_on_ext4_only(supervisor: Supervisor, short_tmp: Path) -> None:
    ran = run(supervisor, short_tmp, crash_programs.NO_FILE_SYNC, ONE, before={"value": b"before\n"})
    assert b"" in bad_values(ran, Model.STRICT)
    assert not bad_values(ran, Model.EXT4)


def test_without_any_sync_an_acknowledged_value_is_lost(supervisor: Supervisor, short_tmp: Path) -> None:
    ran = run(supervisor, short_tmp, crash_programs.NEVER_SYNCED, ONE, before={"value": b"before\n"})
    for model in (Model.EXT4, Model.STRICT):
        assert b"before\n" in bad_values(ran, model)


def test_a_rename_without_a_sync_of_the_directory_can_be_undone(supervisor: Supervisor, short_tmp: Path) -> None:
    ran = run(supervisor, short_tmp, crash_programs.NO_DIRECTORY_SYNC, ONE, before={"value": b"before\n"})
    for model in (Model.EXT4, Model.STRICT):
        assert bad_values(ran, model) == {b"before\n"}


def test_a_new_file_needs_its_directory_synced_except_on_ext4(supervisor: Supervisor, short_tmp: Path) -> None:
    ran = run(supervisor, short_tmp, crash_programs.NEW_FILES, ONE, TWO)
    missing = dict.fromkeys(Model, False)
    for model in (Model.EXT4, Model.STRICT):
        for state in ran.under(model):
            files = state.image().entries
            missing[model] |= any(line.decode().strip() not in files for line in sent(state, model))
    assert missing[Model.STRICT]
    assert not missing[Model.EXT4]


def test_a_log_is_torn_within_a_line_and_keeps_each_line_that_was_acknowledged(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    lines = [bytes([65 + number]) * 5000 + b"\n" for number in range(3)]
    ran = run(supervisor, short_tmp, crash_programs.APPENDS, *lines)
    for model in (Model.EXT4, Model.STRICT):
        torn = set()
        for state in ran.under(model):
            entry = state.image().entries.get("log")
            log = b"" if entry is None else entry.content.to_bytes()
            assert log.startswith(b"".join(sent(state, model))), state.describe(model)
            torn.add(log[-1:] not in (b"", b"\n"))
        assert torn == {True, False}


def test_an_fsync_that_is_tried_again_after_it_failed_loses_what_was_acknowledged(
    supervisor: Supervisor, short_tmp: Path
) -> None:
    ran = run(
        supervisor,
        short_tmp,
        crash_programs.RETRIES_FSYNC,
        ONE,
        models=(Model.FAILS_CLEAN, Model.EXT4, Model.STRICT),
        faults=("program:sync:log#1=EIO",),
    )
    lost = {
        model
        for model in Model
        for state in ran.under(model)
        if ONE in sent(state, model) and state.image().bytes_of("log") != ONE
    }
    assert lost == {Model.FAILS_CLEAN}


# --- SQLite ----------------------------------------------------------------------------------------------------------


def database_after(state: CrashState, place: Path) -> tuple[str, list[bytes]]:
    """Let SQLite recover what a power cut left: what it says of its integrity, and the lines that it has."""
    place.mkdir()
    state.materialise(place)
    try:
        with closing(sqlite3.connect(place / "store", isolation_level=None)) as database:
            database.execute("PRAGMA synchronous=OFF")
            [[integrity]] = database.execute("PRAGMA integrity_check")
            tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            lines = database.execute("SELECT line FROM lines ORDER BY rowid").fetchall() if tables else []
            return integrity, [line.encode() for (line,) in lines]
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("model", [Model.EXT4, Model.STRICT])
def test_a_database_with_synchronous_full_survives_every_state(
    supervisor: Supervisor, short_tmp: Path, model: Model
) -> None:
    program = crash_programs.DATABASE.format(synchronous="FULL")
    ran = run(supervisor, short_tmp, program, ONE, TWO, models=(model,))
    kept = set()
    for state in ran.under(model):
        integrity, lines = database_after(state, short_tmp / "state")
        promised = sent(state, model)
        assert integrity == "ok", state.describe()
        assert lines[: len(promised)] == promised, state.describe()
        assert lines == [ONE, TWO][: len(lines)]
        kept.add(len(lines))
    assert kept == {0, 1, 2}


def test_a_database_with_synchronous_off_loses_what_was_acknowledged(supervisor: Supervisor, short_tmp: Path) -> None:
    program = crash_programs.DATABASE.format(synchronous="OFF")
    ran = run(supervisor, short_tmp, program, ONE, TWO)
    lost: list[str] = []
    for state in ran.states.first(40):
        try:
            integrity, lines = database_after(state, short_tmp / "state")
        except sqlite3.DatabaseError as error:
            integrity, lines = str(error), []
        if integrity != "ok" or lines[: len(sent(state, state.model))] != sent(state, state.model):
            lost.append(state.describe())
    assert lost
    assert os.listdir(short_tmp) == ["home"]
