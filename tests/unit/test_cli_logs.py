"""The daemon's log for people: levels, lines, and following it across rotations."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from kernel.cli import app
from kernel.cli.logs import Follower
from kernel.cli.logtext import LEVELS, at_least, log_line, parse_line

if TYPE_CHECKING:
    from pathlib import Path


def record(event: str, level: str = "info", **fields: object) -> str:
    return json.dumps({"ts": "2026-01-02T03:04:05.006Z", "level": level, "event": event, **fields})


def test_a_record_is_one_legible_line() -> None:
    line = record("subcluster.quarantined", "warning", subclusterId="s2", path="/x y", more={"a": 1}, vat=None)

    assert log_line(line) == (
        '2026-01-02T03:04:05.006Z warning subcluster.quarantined subclusterId=s2 path="/x y" more={"a":1} vat=null'
    )


def test_an_error_is_told_in_words_and_its_traceback_stands_below() -> None:
    error = {"type": "StoreError", "message": "no room", "code": "store-full", "traceback": "Traceback:\n  boom\n"}

    assert log_line(record("daemon.fatal", "fatal", error=error)) == (
        '2026-01-02T03:04:05.006Z fatal   daemon.fatal error="StoreError: no room (code store-full)"\n'
        "    | Traceback:\n    |   boom"
    )
    assert "\n" not in log_line(record("daemon.fatal", "fatal", error=error), tracebacks=False)


@pytest.mark.parametrize("line", ["Fatal Python error", "{torn", "[]", '{"no": "event"}', "[" * 100_000])
def test_a_line_that_is_no_record_is_shown_as_it_is(line: str) -> None:
    assert log_line(line) == line
    assert at_least(parse_line(line), "fatal")


def test_levels_are_ordered() -> None:
    shown = [level for level in LEVELS if at_least({"event": "e", "level": level}, "warning")]

    assert shown == ["warning", "error", "fatal"]
    assert at_least({"event": "e", "level": "unheard-of"}, "fatal")


def test_following_gives_each_line_once_and_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    follower = Follower(str(path))
    assert list(follower.new_lines()) == []

    with path.open("ab", buffering=0) as log:
        log.write(b"one\ntw")
        assert list(follower.new_lines()) == ["one"]
        log.write(b"o\nthree\n")
        assert list(follower.new_lines()) == ["two", "three"]
        assert list(follower.new_lines()) == []
    follower.close()


def test_following_goes_on_in_the_new_log_after_a_rotation_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    path.write_text("one\n")
    follower = Follower(str(path))
    assert list(follower.new_lines()) == ["one"]

    with path.open("a") as log:
        log.write("two\n")
    os.rename(path, tmp_path / "daemon.log.1")
    path.write_text("three\n")

    assert list(follower.new_lines()) == ["two", "three"]
    follower.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    lines = [record(f"e{n}", "warning" if n % 2 else "info") for n in range(10)]
    (tmp_path / "daemon.log.1").write_text("\n".join(lines[:6]) + "\n")
    (tmp_path / "daemon.log").write_text("\n".join(lines[6:]) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "events"),
    [
        ([], [f"e{n}" for n in range(10)]),
        (["-n", "2"], ["e8", "e9"]),
        (["-n", "0"], []),
        (["-n", "6"], ["e4", "e5", "e6", "e7", "e8", "e9"]),
        (["-n", "3", "--level", "warning"], ["e5", "e7", "e9"]),
    ],
)
def test_logs_shows_the_last_records_of_both_files(
    home: Path, options: list[str], events: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["--home", str(home), "daemon", "logs", "--json", *options]) == 0
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == events

    assert app.main(["--home", str(home), "daemon", "logs", *options]) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == events


def test_a_home_without_a_log_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--home", str(tmp_path), "daemon", "logs"]) == 1

    err = capsys.readouterr().err
    assert f"there is no log at {tmp_path}/daemon.log (code not-found)" in err
    assert f"ocap --home {tmp_path} daemon start" in err


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_log_is_refused_and_not_waited_for(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "daemon.log"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()

    assert app.main(["--home", str(tmp_path), "daemon", "logs"]) == 1
    assert f"the log {path} cannot be read" in capsys.readouterr().err
