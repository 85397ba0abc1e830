"""Where the entries of a TOML file of tables stand, and the file with some of them added or taken away.

Invariant: whatever is not named stays as it is, comments and blank lines included; an edited text is read back, and one
that does not say what was meant is never given.  Only entries of the plain form are found, ``key = value`` below
``[table]``; a value may extend over several lines.  Knows nothing of what the entries mean.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Tables = dict[str, dict[str, str]]

MOST_LINES = 100
"""How many lines a value may extend over."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Place(NamedTuple):
    """An entry, or with an empty key a table's head: its lines, the first counted from 1, the last included."""

    table: str
    key: str
    first: int
    last: int


class NotEditableError(ValueError):
    """The file is not of the plain form, so it has to be changed by hand."""


def places(text: str) -> Iterator[Place]:
    """Give where each head and each entry below it stands, as far as they are of the plain form."""
    lines = text.split("\n")
    table: str | None = ""
    number = 0
    while number < len(lines):
        span = _span(lines, number)
        if span == 0:
            number += 1
            continue
        said = tomllib.loads("\n".join(lines[number : number + span]))
        ((key, content),) = said.items()
        if lines[number].lstrip().startswith("["):
            table = key if content == {} else None  # else it is the head of a table in a table, or of a list of them
            if table is not None:
                yield Place(table, "", number + 1, number + span)
        elif table is not None and not isinstance(content, dict):
            yield Place(table, key, number + 1, number + span)
        number += span


def _span(lines: list[str], number: int) -> int:
    """Say over how many lines the entry extends that begins there; 0 when none does."""
    if not lines[number].strip() or lines[number].lstrip().startswith("#"):
        return 0
    for span in range(1, min(MOST_LINES, len(lines) - number) + 1):
        try:
            return span if len(tomllib.loads("\n".join(lines[number : number + span]))) == 1 else 0
        except tomllib.TOMLDecodeError:
            continue
    return 0


def edited(text: str, before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]) -> str:
    """Change a text that says ``before`` in its tables into one that says ``after``.

    Raises:
        NotEditableError: That cannot be done line by line.
    """
    lines = text.split("\n")
    found = list(places(text))
    gone = [p for p in found if p.key and p.table in before and p.key not in after.get(p.table, {})]
    dropped = {number for place in gone for number in range(place.first, place.last + 1)}
    ends: dict[str, int] = {}
    for place in found:
        if place.table:
            ends[place.table] = place.last
    added: dict[int, list[str]] = {}
    fresh: list[str] = []
    for table, entries in after.items():
        new = [f"{_key(key)} = {value(reason)}" for key, reason in entries.items() if key not in before.get(table, {})]
        if new and table in ends:
            added.setdefault(ends[table], []).extend(new)
        elif new:
            fresh += ["", f"[{_key(table)}]", *new]
    for place in found:
        if not place.key and place.table in before and not after.get(place.table) and _bare(lines, found, place):
            dropped.update(range(place.first, place.last + 1))
    kept: list[str] = []
    for number, line in enumerate(lines, start=1):
        if number not in dropped:
            kept.append(line)
        elif kept and not kept[-1].strip() and not _follows(lines, number, dropped):
            kept.pop()  # the blank line that stood before what is gone
        kept += added.get(number, [])
    result = "\n".join(["\n".join(kept).rstrip("\n"), *fresh]).strip("\n") + "\n"
    said = {name: entries for name, entries in tomllib.loads(result).items() if isinstance(entries, dict) and entries}
    if said != {name: dict(entries) for name, entries in after.items() if entries}:
        raise NotEditableError("it is not of the form that can be edited line by line")
    return result


def _bare(lines: list[str], found: list[Place], head: Place) -> bool:
    """Say whether a table has nothing in it but entries, so that its head may go with them."""
    following = next((place.first for place in found if not place.key and place.first > head.first), len(lines) + 1)
    entries = {n for place in found if place.table == head.table for n in range(place.first, place.last + 1)}
    return not any(lines[n - 1].strip() for n in range(head.last + 1, following) if n not in entries)


def _follows(lines: list[str], number: int, dropped: set[int]) -> bool:
    """Say whether text that stays follows a line directly."""
    rest = next((n for n in range(number, len(lines) + 1) if n not in dropped), None)
    return rest is not None and bool(lines[rest - 1].strip())


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else value(text)


def value(text: str) -> str:
    """Give a text as TOML has it, between quotes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # a basic string of TOML, as TOML has them
