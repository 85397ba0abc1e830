"""What the kernel reports about itself: structured events, by level and dotted name.

The engine writes to a :class:`Log` and does not know where it goes; the daemon's log writes JSON lines to a file, the
ones here keep records in memory or drop them.
"""

from __future__ import annotations

from typing import Any, Protocol


class Log(Protocol):
    """Somewhere for events to go.  ``event`` is a dotted name, the fields are JSON-able facts."""

    def debug(self, event: str, **fields: Any) -> None:
        """Report a detail that only somebody who hunts a bug wants."""

    def info(self, event: str, **fields: Any) -> None:
        """Report something that went as it should."""

    def warning(self, event: str, **fields: Any) -> None:
        """Report something that somebody should look at; the kernel goes on."""

    def error(self, event: str, **fields: Any) -> None:
        """Report a failure of one operation; the kernel goes on."""

    def fatal(self, event: str, **fields: Any) -> None:
        """Report the failure that ends the process."""


class NullLog:
    """Drops every event."""

    def debug(self, event: str, **fields: Any) -> None:
        """Drop it."""

    def info(self, event: str, **fields: Any) -> None:
        """Drop it."""

    def warning(self, event: str, **fields: Any) -> None:
        """Drop it."""

    def error(self, event: str, **fields: Any) -> None:
        """Drop it."""

    def fatal(self, event: str, **fields: Any) -> None:
        """Drop it."""


class ListLog:
    """Keeps every event in ``records``, each a dict with ``level``, ``event`` and the fields."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def debug(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.records.append({"level": "debug", "event": event, **fields})

    def info(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.records.append({"level": "info", "event": event, **fields})

    def warning(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.records.append({"level": "warning", "event": event, **fields})

    def error(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.records.append({"level": "error", "event": event, **fields})

    def fatal(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.records.append({"level": "fatal", "event": event, **fields})

    def named(self, event: str) -> list[dict[str, Any]]:
        """Give the records of one event, oldest first."""
        return [record for record in self.records if record["event"] == event]
