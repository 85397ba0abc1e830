"""Reads the daemon's log: one JSON record a line in, one legible line out.

A line that is no record (a crash of the interpreter writes such) is shown as it is; no line is ever dropped.
"""

from __future__ import annotations

import json

from kernel.cli.output import to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEVELS = ("debug", "info", "warning", "error", "fatal")


def parse_line(line: str) -> dict[str, Any] | None:
    """Give the record on a line of the log, or None when the line holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "event" in record else None


def at_least(record: dict[str, Any] | None, level: str) -> bool:
    """Tell whether a record is of ``level`` or graver; what is no record or has no known level always is."""
    found = record.get("level") if record is not None else None
    return found not in LEVELS or LEVELS.index(str(found)) >= LEVELS.index(level)


def log_line(entry: object, *, tracebacks: bool = True) -> str:
    """Give the text for one entry of the log, a record or the text of a line: one line, and tracebacks below it."""
    record = parse_line(entry) if isinstance(entry, str) else entry
    if not isinstance(record, dict):
        return str(entry).rstrip("\n")
    traces: list[str] = []
    fields = []
    for key, value in record.items():
        if key == "traceback" and isinstance(value, str):
            traces.append(value)
        elif key not in ("ts", "level", "event"):
            fields.append(f"{key}={_field(value, traces)}")
    head = f"{record.get('ts', '-')} {record.get('level', '-')!s:<7} {record.get('event', '-')}"
    text = " ".join((head, *fields))
    if tracebacks:
        text += "".join(f"\n    | {line}" for trace in traces for line in trace.rstrip().splitlines())
    return text


def _field(value: object, traces: list[str]) -> str:
    """Give a field's value in words; the traceback that an error holds is put aside."""
    if isinstance(value, dict) and "message" in value and "type" in value:
        trace = value.get("traceback")
        if isinstance(trace, str):
            traces.append(trace)
        code = f" (code {value['code']})" if value.get("code") else ""
        return to_json(f"{value['type']}: {value['message']}{code}")
    if isinstance(value, str) and value and not any(char.isspace() or char in '"=' for char in value):
        return value
    return to_json(value)
