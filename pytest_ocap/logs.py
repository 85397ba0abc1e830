"""Read what a daemon wrote to its log since a moment.

Invariant: knows no daemon's format: a line that is a JSON object with a ``level`` is a record, every other line is
text whose level is the first level's name in it.  A log that was rotated meanwhile is read from its beginning.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LEVEL = re.compile(r"\b(debug|info|notice|warn(?:ing)?|error|fatal|critical|panic)\b", re.IGNORECASE)
_SAME = {"warn": "warning", "critical": "fatal", "panic": "fatal"}


@dataclass(frozen=True)
class Line:
    """One line of a log: its level (lower case, ``""`` when it has none), and all its words.

    ``raw`` is the line as it stands there, and ``end`` where in the file it ends.
    """

    level: str
    text: str
    record: Mapping[str, Any] = field(default_factory=dict)
    raw: str = ""
    end: int = 0


class LogMark:
    """A place in a log: what comes later is read with :meth:`lines`."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._size = path.stat().st_size if path is not None and path.is_file() else 0

    def lines(self, level: str | None = None) -> list[Line]:
        """Give the lines written since, those of one level when it is named."""
        if self.path is None or not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            end = file.seek(self._size if self.path.stat().st_size >= self._size else 0)
            content = file.read()
        lines = []
        for part in content.splitlines(keepends=True):
            end += len(part)
            text = part.decode(errors="replace").rstrip("\r\n")
            if text.strip():
                lines.append(replace(read_line(text), end=end))
        return [line for line in lines if level is None or line.level == level]

    def tail(self, count: int = 20) -> str:
        """Give the last lines written since, as evidence."""
        lines = self.lines()[-count:]
        return "\n".join(line.text for line in lines) or f"(nothing new in {self.path})"


def read_line(text: str) -> Line:
    """Read one line of any log."""
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    if isinstance(record, dict) and isinstance(record.get("level"), str):
        level = record["level"].lower()
        return Line(_SAME.get(level, level), " ".join(_words(record)), record, raw=text)
    match = _LEVEL.search(text)
    level = match.group(1).lower() if match else ""
    return Line(_SAME.get(level, level), text, raw=text)


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
    else:
        yield str(value)
