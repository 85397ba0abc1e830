"""What is reported of an exception that vat code raised: its message, and the vat's part of its traceback."""

from __future__ import annotations

import os
import traceback

from kernel.vat.texts import with_utf8_form

TRACEBACK_CHARACTERS = 16 * 1024
"""How much of a traceback is reported; its end says what went wrong."""

_FRAMES = 24
_OWN = os.path.dirname(__file__)


def message_of(error: BaseException) -> str:
    """Give an exception's message word for word; its type's name when it has none."""
    try:
        return with_utf8_form(str(error)) or type(error).__name__
    except Exception as broken:  # noqa: BLE001  (an exception must be reported even if its text cannot be made)
        return f"(its message could not be rendered: {type(broken).__name__})"


def traceback_of(error: BaseException) -> str:
    """Give an exception's traceback without the frames of the supervisor, in which it was caught."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace, limit=-_FRAMES)
    except Exception as broken:  # noqa: BLE001  (as above)
        return f"{type(error).__name__} (its traceback could not be rendered: {type(broken).__name__})"
    return with_utf8_form("".join(lines).rstrip()[-TRACEBACK_CHARACTERS:])
