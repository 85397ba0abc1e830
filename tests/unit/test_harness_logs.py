"""Reading a daemon's log: records, plain lines, rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ocap.logs import LogMark, read_line

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ('{"level": "WARN", "event": "x"}', "warning"),
        ('{"level": "fatal"}', "fatal"),
        ("2026-01-01 CRITICAL the store is gone", "fatal"),
        ("[error] no such file", "error"),
        ('{"no": "level"}', ""),
        ("nothing to see: informal", ""),
        ("{broken json, but an error", "error"),
    ],
)
def test_a_line_has_a_level_whatever_its_form(text: str, level: str) -> None:
    assert read_line(text).level == level


def test_the_words_of_a_record_are_found_however_deep() -> None:
    assert "/a/b" in read_line('{"level": "error", "error": {"causes": [{"path": "/a/b"}]}}').text


def test_only_what_came_after_the_mark_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("error: old\n")
    mark = LogMark(log)
    with log.open("a") as file:
        file.write("warning: new\n\nerror: newer\n")
    assert [line.text for line in mark.lines()] == ["warning: new", "error: newer"]
    assert [line.text for line in mark.lines("error")] == ["error: newer"]


def test_a_log_that_was_rotated_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("error: a long line of old\n")
    mark = LogMark(log)
    log.write_text("error: new\n")
    assert [line.text for line in mark.lines()] == ["error: new"]


def test_a_log_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    mark = LogMark(tmp_path / "log")
    assert mark.lines() == []
    assert "nothing new" in mark.tail()
    assert LogMark(None).lines() == []
