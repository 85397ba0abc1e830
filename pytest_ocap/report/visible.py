"""Characters that a reader would not see, or that would deceive, in a form that one sees.

Logs and outputs come from daemons that misbehave: terminal sequences, NULs, undecodable bytes, and marks that turn the
direction of the text around must not vanish, nor do anything.  Light: its callers are on the way of every verdict.
"""

from __future__ import annotations

import re
from typing import Any

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff]"
)
_LINES = re.compile("[\t\n]")
_LONE = re.compile("[\ud800-\udfff]")


def visible(text: str, *, lines: bool = True) -> str:
    """Show what is hidden by its number, as Python and C write it.

    Args:
        text: Anything.
        lines: Whether line ends and tabs stay; else they are shown, too.
    """
    text = _HIDDEN.sub(_shown, text)
    return text if lines else _LINES.sub(_shown, text)


def encodable(data: Any) -> Any:
    """Escape in each text of JSON data what no UTF-8 can say: halves of characters, and bytes of names (PEP 383).

    The rest stays as it is.  Only then can the data be sent to another process, and be read by every program.
    """
    if isinstance(data, str):
        return _LONE.sub(_shown, data)
    if isinstance(data, dict):
        return {encodable(key): encodable(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [encodable(value) for value in data]
    return data


def _shown(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
