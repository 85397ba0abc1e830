"""JSON read strictly, for files whose meaning must not depend on who reads them.

Invariant: what two conforming readers of JSON could understand differently is refused: an object with the same key
twice, and the numbers that only JavaScript's relatives write (``NaN``, ``Infinity``).
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load_strictly(text: str) -> Any:
    """Read a JSON text.

    Raises:
        json.JSONDecodeError: It is not JSON, with the place.
        ValueError: It is JSON in form only, as the head of this module says, or holds a number of too many digits.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
