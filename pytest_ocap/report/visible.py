"""Characters that a reader would not see, or that would deceive, in a form that one sees.

Logs and outputs come from daemons that misbehave: terminal sequences, NULs, undecodable bytes, and marks that turn the
direction of the text around must not vanish, nor do anything.
"""

from __future__ import annotations

import re

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff]"
)
_LINES = re.compile("[\t\n]")


def visible(text: str, *, lines: bool = True) -> str:
    """Show what is hidden by its number, as Python and C write it.

    Args:
        text: Anything.
        lines: Whether line ends and tabs stay; else they are shown, too.
    """
    text = _HIDDEN.sub(_shown, text)
    return text if lines else _LINES.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
