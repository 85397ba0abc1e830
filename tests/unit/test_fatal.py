"""Fatals: rendered whole, reported once, and told to somebody even when the log cannot take them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kernel.daemon.fatal import MAX_TRACEBACK, FatalReporter, render
from kernel.daemon.log import DaemonLog, read_records
from kernel.errors import StoreCorruptError


def raised(error: BaseException) -> BaseException:
    """Give the exception as it is after having been raised."""
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_exception_that_was_raised_has_its_traceback_its_type_and_its_message() -> None:
    record = render(raised(ValueError("what happened")))
    assert record["type"] == "ValueError"
    assert "what happened" in record["message"]
    assert "in raised" in record["traceback"]


def test_an_exception_without_a_traceback_has_its_message() -> None:
    record = render(ValueError("what happened"))
    assert record["message"] == "ValueError: what happened"
    assert "traceback" not in record


def test_an_exception_without_a_message_has_its_type() -> None:
    assert render(ValueError())["message"] == "ValueError: no message was given"


def test_an_error_of_ours_keeps_code_path_and_remedy() -> None:
    record = render(raised(StoreCorruptError("damaged", path="/s", remedy="Restore it.")))
    assert (record["code"], record["path"], record["remedy"]) == ("store-corrupt", "/s", "Restore it.")


def test_nested_causes_and_groups_are_all_there() -> None:
    inner = ExceptionGroup("two", [OSError(28, "No space left"), KeyError("k")])
    try:
        try:
            raise inner
        except ExceptionGroup as group:
            raise RuntimeError("outer") from group
    except RuntimeError as outer:
        record = render(outer)
    text = " ".join(record["causes"])
    assert "two" in text
    assert "No space left" in text
    assert "KeyError" in text
    assert "No space left" in record["traceback"]


class MuteError(Exception):
    """An exception that cannot be rendered."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Opaque:
    """An object without a text of its own."""


def test_what_cannot_be_rendered_is_still_reported_by_its_type() -> None:
    assert "MuteError" in render(raised(MuteError()))["message"]
    record = render(Opaque())
    assert record["message"] == "Opaque()"
    assert render("a text")["message"] == "a text"
    assert render(ValueError(Opaque()))["message"].startswith("ValueError")
    assert "object at 0x" not in render(ValueError(Opaque()))["message"]


def test_a_traceback_is_bounded() -> None:
    record = render(raised(ValueError("x" * 1_000_000)))
    assert len(record["traceback"]) < MAX_TRACEBACK + 100
    assert "left out" in record["traceback"]


class Caller:
    """Whoever waits for the start."""

    def __init__(self, listens: bool = True) -> None:
        self.listens = listens
        self.records: list[dict[str, Any]] = []

    def __call__(self, record: dict[str, Any]) -> bool:
        self.records.append(record)
        return self.listens


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "daemon.log")


def fatals(path: str) -> list[dict[str, Any]]:
    return [record for record in read_records(path) if record["level"] == "fatal"]


def test_a_fatal_is_in_the_log_and_told_to_the_caller_with_phase_and_pid(path: str) -> None:
    caller = Caller()
    reporter = FatalReporter(caller)
    reporter.phase = "restore"
    log = DaemonLog(path)
    log.open()
    reporter.log = log
    reporter.report(ValueError("first"))
    reporter.report(ValueError("second"))
    log.close()
    (record,) = fatals(path)
    assert (record["phase"], record["pid"]) == ("restore", os.getpid())
    assert "first" in record["error"]["message"]
    assert len(caller.records) == 1
    assert [record["event"] for record in read_records(path)] == ["daemon.fatal", "daemon.error_while_failing"]


def test_a_fatal_before_the_log_is_set_up_is_in_the_log_nevertheless(path: str) -> None:
    reporter = FatalReporter(Caller())
    reporter.log_path = path
    assert "notLogged" not in reporter.report(ValueError("early"))
    assert len(fatals(path)) == 1


def test_when_the_log_cannot_be_written_the_caller_is_told_why(path: str) -> None:
    os.mkdir(path)
    caller = Caller()
    reporter = FatalReporter(caller)
    reporter.log_path = path
    reporter.report(ValueError("what happened"))
    (record,) = caller.records
    assert "what happened" in record["error"]["message"]
    assert path in record["notLogged"]


def test_without_a_caller_the_terminal_is_told_in_words(path: str) -> None:
    reading, writing = os.pipe()
    reporter = FatalReporter(Caller(listens=False))
    reporter.log_path = path
    reporter.terminal_fd = writing
    reporter.report(raised(StoreCorruptError("damaged", remedy="Restore it.")))
    os.close(writing)
    with os.fdopen(reading) as terminal:
        text = terminal.read()
    assert text == "Error: damaged (code store-corrupt, phase spawn)\nRestore it.\n"
