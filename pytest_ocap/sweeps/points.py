"""Points: the places of a workload at which a fault can strike, each with a name that outlives the run.

Invariant: a name is made of what a call does (its kind), to what (its path in the home, without what is random in it),
and how many calls like it were made before.  Pids, descriptors, inode numbers, times and the global order of calls
have no part in it, so that a point found today can be found again tomorrow, on a slightly different build.

In text: ``start:write:kernel.sqlite-wal#3`` is the third write to the write-ahead log in the workload ``start``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pytest_ocap.sweeps.calls import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pytest_ocap.sweeps.calls import Call, Recording

POINT_KINDS = frozenset(
    {
        Kind.OPEN,
        Kind.WRITE,
        Kind.TRUNCATE,
        Kind.SYNC,
        Kind.SYNC_ALL,
        Kind.RENAME,
        Kind.LINK,
        Kind.SYMLINK,
        Kind.UNLINK,
        Kind.MKDIR,
        Kind.RMDIR,
        Kind.LOCK,
        Kind.BIND,
        Kind.LISTEN,
        Kind.ACCEPT,
    }
)
"""The kinds that a sweep visits."""

FURTHER_KINDS = frozenset({Kind.CHMOD, Kind.CLOSE, Kind.CONNECT, Kind.SEND, Kind.RECEIVE, Kind.FLUSH})
"""Kinds that have points too, for whoever asks: a fault can be injected there by name."""

UNNAMED = "(unnamed)"
"""The path of a file that has none in the home."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TEMPORARY = re.compile(r"\btmp[a-z0-9_]{8}(?![A-Za-z0-9])")  # tempfile of Python
_TOKEN = re.compile(r"[A-Za-z0-9]+")
_STABLE = re.compile(r"\d{1,2}|[A-Z]+\d{0,3}|[a-z]+\d{0,3}|[A-Z]?[a-z]{2,}([A-Z][a-z]{2,})*\d{0,2}")
_HEXADECIMAL = re.compile(r"[0-9a-f]{8,}")


@dataclass(frozen=True, slots=True)
class Point:
    """A place in a workload.

    Attributes:
        workload: The workload's name.
        kind: What the call does.
        path: To what, relative to the home, with ``*`` for each part that is another one in every run.
        ordinal: How many calls of this kind to this path there are up to and including this one; from 1.
        after: What came before, for readers: the last point of another kind or path.  Not a part of the name, since
            calls of several processes may change places.
    """

    workload: str
    kind: Kind
    path: str
    ordinal: int
    after: str = field(default="", compare=False)

    def __str__(self) -> str:
        path = quote(self.path, safe=_PLAIN, errors="surrogateescape")  # a name may be any bytes
        return f"{quote(self.workload, safe='')}:{self.kind}:{path}#{self.ordinal}"

    @classmethod
    def parse(cls, text: str) -> Point:
        """Read the text form; :class:`ValueError` says what is wrong with it."""
        match = _POINT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a point: one looks like start:write:kernel.sqlite-wal#3")
        workload, kind, path, ordinal = match.groups()
        if kind not in tuple(Kind):
            raise ValueError(f"{text!r} is not a point: {kind!r} is none of {', '.join(sorted(all_kinds()))}")
        return cls(unquote(workload), Kind(kind), unquote(path, errors="surrogateescape"), int(ordinal))


_PLAIN = "/*()+,@~"
_POINT = re.compile(r"([^:#=]+):([a-z-]+):([^:#=]*)#([1-9][0-9]*)")


def all_kinds() -> frozenset[Kind]:
    """Give every kind that has points."""
    return POINT_KINDS | FURTHER_KINDS


class Namer:
    """Names the calls of one run, in their order."""

    def __init__(self, workload: str) -> None:
        self._workload = workload
        self._seen: Counter[tuple[Kind, str]] = Counter()
        self._last: tuple[Kind, str] | None = None
        self._before: tuple[Kind, str] | None = None

    def name(self, kind: Kind, path: str | None) -> Point | None:
        """Name the next call; None for one of a kind that has no points."""
        if kind not in _NAMED:
            return None
        key = (kind, UNNAMED if path is None else normal(path))
        self._seen[key] += 1
        if key != self._last:
            self._before, self._last = self._last, key
        after = "" if self._before is None else f"{self._before[0]} {self._before[1]}"
        return Point(self._workload, *key, self._seen[key], after)


_NAMED = all_kinds()


def points(recording: Recording, workload: str, kinds: Collection[Kind] = POINT_KINDS) -> Iterator[tuple[Point, Call]]:
    """Enumerate a recording's points, each with its call, in the order of the calls."""
    namer = Namer(workload)
    for call in recording.calls:
        point = namer.name(call.kind, call.path)
        if point is not None and call.kind in kinds:
            yield point, call


@lru_cache(maxsize=4096)
def normal(path: str) -> str:
    """Replace what is random in a path (temporary names, identifiers, pids, times) by ``*``.

    A name that is taken for random and is not does no harm: the ordinal tells its calls apart.
    """
    return "/".join(_normal_component(component) for component in path.split("/")) or "."


def _normal_component(component: str) -> str:
    component = _UUID.sub("*", component)
    component = _TEMPORARY.sub("tmp*", component)
    return _TOKEN.sub(lambda match: match[0] if _is_stable(match[0]) else "*", component)


def _is_stable(token: str) -> bool:
    if _HEXADECIMAL.fullmatch(token) and any(character.isdigit() for character in token):
        return False
    return _STABLE.fullmatch(token) is not None or len(token) < 3
