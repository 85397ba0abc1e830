"""What is read from a daemon's answers: dotted paths, and whether the answer is the expected one.

Invariant: an answer of another form than was described is a :class:`FormError` that names the path and shows where
it ends; nothing is guessed.  Knows no daemon.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = re.compile(r"\d+")


class FormError(ValueError):
    """An answer has not the form that was described."""


def parsed(output: str) -> Any:
    """Read a command's output: JSON when it is an object or a list, else a table of ``output`` and ``lines``."""
    try:
        value = json.loads(output)
    except ValueError:
        value = None
    if isinstance(value, dict | list):
        return value
    return {"output": output.strip(), "lines": [line.strip() for line in output.splitlines() if line.strip()]}


def at(answer: Any, path: str) -> Any:
    """Give what stands at a dotted path; the empty path is the answer itself.

    Raises:
        FormError: Nothing stands there.
    """
    found = answer
    for step in path.split(".") if path else ():
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise FormError(f"the answer has nothing at {path!r} (no {step!r} in {short(found)})") from None
    return found


def maybe_at(answer: Any, path: str) -> Any:
    """Give what stands at a dotted path, or ``None``."""
    try:
        return at(answer, path)
    except FormError:
        return None


def number_at(answer: Any, path: str) -> int:
    """Give the number at a path: the value itself, or the first one in a text.

    Raises:
        FormError: There is none.
    """
    value = at(answer, path)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _NUMBER.search(value) if isinstance(value, str) else None
    if match is None:
        raise FormError(f"no number stands at {path!r} of the answer: {short(value)}")
    return int(match.group())


def text_of(value: Any) -> str:
    """Give a value as text: itself when it is one, else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def unmet(expect: str | Mapping[str, Any] | None, answer: Any, text: str) -> str | None:
    """Say what of an expectation (a substring, or values at paths) an answer does not meet; ``None`` when nothing."""
    if expect is None:
        return None
    if isinstance(expect, str):
        return None if expect in text else f"expected {expect!r} in the answer"
    for path, wanted in expect.items():
        try:
            found = at(answer, path)
        except FormError as error:
            return str(error)
        if found != wanted and text_of(found) != wanted:
            return f"expected {wanted!r} at {path!r} of the answer, found {short(found)}"
    return None


def short(value: Any) -> str:
    """Give a value as JSON, cut to a line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:120]}…"
