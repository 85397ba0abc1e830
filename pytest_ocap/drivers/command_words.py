"""Placeholders in the words of a daemon's description.

Invariant: a placeholder is a known name in single braces, in lower case; everything else, braces of JSON and of shell
variables included, is left as it is.  ``{{home}}`` is the text ``{home}``.  Knows no daemon.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PLACEHOLDER = re.compile(r"\{\{(?P<literal>[A-Za-z_]+)\}\}|(?<!\$)\{(?P<name>[A-Za-z_]+)\}")


def placeholders(value: Any) -> Iterator[str]:
    """Give the placeholders in a text, and in all the texts of a list or a table, keys included."""
    if isinstance(value, str):
        yield from (match["name"] for match in _PLACEHOLDER.finditer(value) if match["name"])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from placeholders(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from placeholders(key)
            yield from placeholders(item)


def filled(text: str, values: Mapping[str, Any]) -> str:
    """Replace the placeholders of a text (KeyError when one is not among the values)."""

    def replace(match: re.Match[str]) -> str:
        return str(values[match["name"]]) if match["name"] else f"{{{match['literal']}}}"

    return _PLACEHOLDER.sub(replace, text)


def filled_value(value: Any, values: Mapping[str, Any]) -> Any:
    """Replace the placeholders in JSON-like data; a text that is nothing but one becomes its value, of its own type."""
    if isinstance(value, str):
        whole = _PLACEHOLDER.fullmatch(value)
        return values[whole["name"]] if whole and whole["name"] else filled(value, values)
    if isinstance(value, list | tuple):
        return [filled_value(item, values) for item in value]
    if isinstance(value, dict):
        return {filled(key, values): filled_value(item, values) for key, item in value.items()}
    return value
