"""What ``ocap daemon purge`` takes for the kernel's own, and what it leaves alone."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from kernel.cli import app
from kernel.cli.purge import kept_files
from kernel.daemon.home import Home
from kernel.store.schema import APPLICATION_ID

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "0" * 64


def store(path: Path, application_id: int = APPLICATION_ID, version: int = 1) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()


@pytest.fixture
def home(short_tmp: Path) -> Path:
    store(short_tmp / "kernel.sqlite")
    (short_tmp / "bundles").mkdir()
    for name in ("daemon.log", "daemon.log.1", "daemon.pid", f"bundles/{DIGEST}.bundle"):
        (short_tmp / name).write_text("")
    return short_tmp


def test_only_files_with_the_names_that_the_kernel_gives_are_its_own(home: Path) -> None:
    for name in ("notes.txt", "daemon.log.old", "daemon.logbook", "bundles/mine.bundle", f"bundles/{DIGEST}.txt"):
        (home / name).write_text("mine")
    (home / "daemon.log.2").mkdir()
    (home / "daemon.log.3").symlink_to("notes.txt")

    assert [os.path.relpath(path, home) for path in kept_files(Home(home))] == [
        "kernel.sqlite",
        f"bundles/{DIGEST}.bundle",
        "daemon.log",
        "daemon.log.1",
        "daemon.pid",
    ]


def test_without_yes_it_says_what_it_would_delete_and_deletes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["--home", str(home), "daemon", "purge"]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert f"would delete {home}/kernel.sqlite\n" in err
    assert f"ocap --home {home} daemon purge --yes" in err
    assert (home / "kernel.sqlite").exists()


@pytest.mark.parametrize("application_id", [0, 1])
def test_a_foreign_store_keeps_everything_from_being_deleted(
    home: Path, application_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "kernel.sqlite").unlink()
    store(home / "kernel.sqlite", application_id)
    before = sorted(os.listdir(home))

    assert app.main(["--home", str(home), "daemon", "purge", "--yes"]) == 6
    assert f"{home}/kernel.sqlite" in capsys.readouterr().err
    assert sorted(os.listdir(home)) == before


def test_a_home_that_does_not_exist_is_not_made(short_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--home", str(short_tmp / "h"), "daemon", "purge", "--yes"]) == 0

    assert "nothing to delete" in capsys.readouterr().err
    assert not (short_tmp / "h").exists()
