"""Puts a run's timeline together, after the fact.

Invariant: an event stands where its own time says, as far as that lies within the run; a log line that says no time,
or one of another day, stands where the log was first seen to have it.  Nothing is asked of the daemon.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_ocap.evidence import Event
from pytest_ocap.journal import bouts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_ocap.journal import Call, Journal, Log
    from pytest_ocap.logs import Line

MOST_LINES = 200
"""How many log lines a timeline shows."""

DETAIL_CHARACTERS = 300

TIME_KEYS = ("ts", "time", "timestamp", "@timestamp", "datetime")
"""The fields of a log record in which its time may stand."""

NAME_KEYS = ("event", "message", "msg", "text")
"""The fields of a log record that say in short what it is about."""

BROKEN_LEVELS = frozenset({"error", "fatal"})

TOLERANCE_SECONDS = 0.25
"""How far outside the run a log line's time may lie and still be believed."""

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?")
_DAY_FIRST = re.compile(r"\b(\d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d)(?:\.(\d{1,6}))?")


def compose(journal: Journal) -> tuple[Event, ...]:
    """Give everything that is known of a run that is over, in the order of its beginnings."""
    end = journal.now()
    events = [_call(bout) for bout in bouts(list(journal.calls))]
    events += journal.events
    for log in journal.logs.values():
        events += _log_events(journal, log, end)
    return tuple(sorted(events, key=lambda event: event.at))


def _call(bout: Sequence[Call]) -> Event:
    first, last = bout[0], bout[-1]
    said = last.text.strip().partition("\n")[0]
    often = f"{len(bout)} times" if len(bout) > 1 else ""
    detail = "; ".join(filter(None, (often, last.asked, said)))
    return Event(first.began, "client", last.verb, detail[:DETAIL_CHARACTERS], until=last.ended, ok=last.ok)


def _log_events(journal: Journal, log: Log, end: float) -> Iterator[Event]:
    timed = list(_timed(journal, log, end))
    phases = [(at, line) for at, line in timed if isinstance(line.record.get("phase"), str)]
    for event in _phases(phases):
        died = next((moment for moment in sorted(journal.ends) if moment >= event.at), None)
        yield event if died is None or (event.until is not None and event.until <= died) else replace(event, until=died)
    shown = [(at, line) for at, line in timed if not _is_phase(line)]
    for at, line in shown[-MOST_LINES:]:
        ok = False if line.level in BROKEN_LEVELS else None
        yield Event(at, "log", _name(line), f"{line.level}: {line.raw}"[:DETAIL_CHARACTERS], ok=ok)


def _timed(journal: Journal, log: Log, end: float) -> Iterator[tuple[float, Line]]:
    for line in log.mark.lines():
        said = time_of(line)
        at = end if said is None else said - journal.wall
        if said is None or not -TOLERANCE_SECONDS <= at <= end + TOLERANCE_SECONDS:
            at = next((moment for moment, size in log.sizes if size >= line.end), end)
        yield min(max(0.0, at), end), line


def _phases(entries: Sequence[tuple[float, Line]]) -> Iterator[Event]:
    """Give the phases that the log tells of: each until the next of the same process, or until it says how it ended."""
    running: dict[Any, Event] = {}
    for at, line in entries:
        pid, phase = line.record.get("pid"), line.record["phase"]
        before = running.get(pid)
        if before is not None and (before.what != phase or not _is_phase(line)):
            failed = line.level in BROKEN_LEVELS
            yield Event(before.at, "phase", before.what, before.detail, until=at, ok=False if failed else None)
            del running[pid]
        if _is_phase(line) and pid not in running:
            running[pid] = Event(at, "phase", phase, f"pid {pid}" if pid is not None else "")
    yield from running.values()


def _is_phase(line: Line) -> bool:
    """Say whether a line tells of nothing but the beginning of a phase."""
    return isinstance(line.record.get("phase"), str) and "phase" in _name(line)


def _name(line: Line) -> str:
    said = next((line.record[key] for key in NAME_KEYS if isinstance(line.record.get(key), str)), None)
    return (said or line.level or "line").strip()[:60]


def time_of(line: Line) -> float | None:
    """Read the time of a log line, in seconds since the epoch; ``None`` when it says none.

    A field of a record is a text of ISO 8601 or a number of seconds or milliseconds; in any other line the first text
    of ISO 8601, or of the form ``24 Nov 2026 08:44:27.123``, counts.  Without a zone it is local time.
    """
    for key in TIME_KEYS:
        value = line.record.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value / 1000 if value > 1e11 else float(value)
        if isinstance(value, str):
            return _read_time(value)
    return None if line.record else _read_time(line.raw)


def _read_time(text: str) -> float | None:
    try:
        if match := _ISO.search(text):
            day, clock, fraction, zone = match.groups()
            moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone or ''}")
        elif match := _DAY_FIRST.search(text):
            said, fraction = match.groups()
            moment = datetime.strptime(said, "%d %b %Y %H:%M:%S").astimezone()
        else:
            return None
    except ValueError:  # the 31st of February
        return None
    return moment.timestamp() + float(f"0.{fraction or 0}")
