"""Log lines stand in a timeline where their own times say, and phases last until the next, or until the end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from pytest_ocap.driver import FULL, Capability
from pytest_ocap.journal import Journal
from pytest_ocap.logs import read_line
from pytest_ocap.timeline import compose, time_of

MOMENT = datetime(2026, 11, 24, 8, 44, 27, 250_000, UTC)


class Logger:
    """A driver that has nothing but a log."""

    supports = MappingProxyType({Capability.LOG: FULL})

    def log(self, home: Path) -> Path:
        return home / "log"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    driver: Any = Logger()
    journal = Journal(driver, tmp_path)
    journal.wall -= 100.0  # the run began so long ago, and every moment of it is in the past
    journal.began -= 100.0
    return journal


def write(journal: Journal, *lines: str) -> None:
    with (journal.home / "log").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def stamp(journal: Journal, at: float) -> str:
    return datetime.fromtimestamp(journal.wall + at, UTC).isoformat(timespec="microseconds")


@pytest.mark.parametrize(
    "text",
    [
        '{"level": "info", "ts": "2026-11-24T08:44:27.250Z"}',
        '{"level": "info", "time": 1795509867250}',
        '{"level": "info", "timestamp": 1795509867.25}',
        '{"level": "info", "@timestamp": "2026-11-24 10:44:27,250+02:00"}',
        "[2026-11-24T03:44:27.250-0500] WARN hot",
        f"1234:M {MOMENT.astimezone().strftime('%d %b %Y %H:%M:%S')}.250 * Ready",
        f"{MOMENT.astimezone().strftime('%Y-%m-%d %H:%M:%S')},250 INFO ready",
    ],
)
def test_the_time_of_a_line_is_read_in_the_forms_that_logs_have(text: str) -> None:
    assert time_of(read_line(text)) == pytest.approx(MOMENT.timestamp(), abs=0.001)


@pytest.mark.parametrize(
    "text", ["no time at all", '{"level": "info"}', "2026-02-31T08:00:00Z", '{"level":"x","ts":[]}']
)
def test_a_line_without_a_time_has_none(text: str) -> None:
    assert time_of(read_line(text)) is None


def test_a_line_stands_at_its_own_time_else_where_the_log_was_first_seen_to_have_it(journal: Journal) -> None:
    log = journal.logs[journal.home]
    write(journal, f"{stamp(journal, 2.0)} error: late", "no time")
    log.note_size(5.0)
    write(journal, "2001-01-01T00:00:00Z info: another day")
    log.note_size(7.0)
    events = [(round(event.at, 3), event.lane, event.ok) for event in compose(journal)]
    assert events == [(2.0, "log", False), (5.0, "log", None), (7.0, "log", None)]


def test_phases_last_until_the_next_of_their_process_until_it_fails_or_until_a_daemon_ends(journal: Journal) -> None:
    def phase(at: float, name: str, pid: int) -> str:
        return f'{{"level": "debug", "event": "phase", "phase": "{name}", "pid": {pid}, "ts": "{stamp(journal, at)}"}}'

    fatal = f'{{"level": "fatal", "event": "fatal", "phase": "restore", "pid": 1, "ts": "{stamp(journal, 3.0)}"}}'
    write(journal, phase(1.0, "store", 1), phase(2.0, "restore", 1), fatal, phase(4.0, "store", 2))
    write(journal, phase(5.0, "ready", 2))
    journal.ends.append(8.0)
    events = compose(journal)
    found = [(round(e.at), e.what, round(e.until or 0), e.ok) for e in events if e.lane == "phase"]
    assert found == [(1, "store", 2, None), (2, "restore", 3, False), (4, "store", 5, None), (5, "ready", 8, None)]
    assert [(event.what, event.ok) for event in events if event.lane == "log"] == [("fatal", False)]
