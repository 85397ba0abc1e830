"""Times as people and programs read them: one form, in the log, in the store and on the wire."""

from __future__ import annotations

import time


def timestamp(seconds: float) -> str:
    """Give seconds since the epoch as UTC text with milliseconds, ``2026-01-31T12:00:00.000Z``."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"
