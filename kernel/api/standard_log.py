"""The kernel's events in the standard library's :mod:`logging`, where a program that embeds it expects them.

The message is the event and its fields as JSON; the record's attributes ``event`` and ``fields`` have them apart.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from kernel.errors import OcapError

LOGGER = "kernel"
"""The logger's name."""


class StandardLog:
    """Writes events to a logger."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger(LOGGER)

    def debug(self, event: str, **fields: Any) -> None:
        """Report a detail."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Report something that went as it should."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Report something that somebody should look at."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Report a failure of one operation."""
        self._write(logging.ERROR, event, fields)

    def fatal(self, event: str, **fields: Any) -> None:
        """Report the failure that ends the kernel."""
        self._write(logging.CRITICAL, event, fields)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            text = json.dumps(fields, ensure_ascii=False, default=_plain)
            self._logger.log(level, "%s %s", event, text, extra={"event": event, "fields": fields})


def _plain(value: object) -> object:
    return value.to_json() if isinstance(value, OcapError) else str(value)
