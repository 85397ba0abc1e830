"""The content of a file as an immutable value that shares what did not change.

Invariant: two contents are equal byte for byte exactly when their digests are (up to a collision of a 128-bit hash),
and a page of zeros is the same as a page that was never written.  Knows nothing of calls, names or crashes.

A recording of thousands of writes gives thousands of contents of one file, and each crash state one more.  So a content
is a table of pages in two levels: a new one copies what it touches and a table of references, and its digest follows
from the old one's and the pages that changed (the sum of the pages' hashes, as in incremental hashing: Bellare and
Micciancio, "A New Paradigm for Collision-free Hashing", EUROCRYPT 1997).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECTOR = 512
"""What a disk writes whole or not at all, in bytes."""

PAGE = 4096
"""What the page cache writes back at a time, in bytes."""

_ZEROS = bytes(PAGE)
_CHUNK = 64
_RUN = 1024
"""Pages that are written with one call: no system takes fewer at once (IOV_MAX)."""
_MODULUS = 1 << 128

_Entry = tuple[bytes, int]
_Chunk = tuple[_Entry | None, ...]
_NO_CHUNK: _Chunk = (None,) * _CHUNK


def _hash(number: int, page: bytes) -> int:
    hashed = hashlib.blake2b(page, digest_size=16, salt=number.to_bytes(16, "little"))
    return int.from_bytes(hashed.digest(), "little")


class Pages:
    """A content.

    Attributes:
        size: Its length in bytes.
    """

    __slots__ = ("_chunks", "_total", "size")

    size: int

    def __init__(self) -> None:
        self.size = 0
        self._total = 0
        self._chunks: dict[int, _Chunk] = {}

    @classmethod
    def of(cls, data: bytes) -> Pages:
        """Make a content of bytes."""
        pages = {number: data[start : start + PAGE] for number, start in enumerate(range(0, len(data), PAGE))}
        return EMPTY.replace(pages, len(data))

    @property
    def digest(self) -> bytes:
        """What tells this content from others: 24 bytes."""
        return self.size.to_bytes(8, "little") + self._total.to_bytes(16, "little")

    def page(self, number: int) -> bytes:
        """Give one page, filled up with zeros."""
        entry = self._chunks.get(number // _CHUNK, _NO_CHUNK)[number % _CHUNK]
        return _ZEROS if entry is None else entry[0]

    def replace(self, pages: Mapping[int, bytes], size: int) -> Pages:
        """Make a content with other pages and another length.

        Args:
            pages: By number; shorter ones are filled up with zeros.
            size: The new length, in bytes; nothing lies beyond it.
        """
        changed: dict[int, list[_Entry | None]] = {}
        total = self._total
        for number, page in pages.items():
            table, place = divmod(number, _CHUNK)
            if table not in changed:
                changed[table] = list(self._chunks.get(table, _NO_CHUNK))
            old = changed[table][place]
            whole = page if len(page) == PAGE else page.ljust(PAGE, b"\0")
            new = None if whole == _ZEROS else (whole, _hash(number, whole))
            changed[table][place] = new
            total += (new[1] if new else 0) - (old[1] if old else 0)
        made = Pages()
        made.size = size
        made._chunks = {**self._chunks, **{table: tuple(entries) for table, entries in changed.items()}}
        made._total = total % _MODULUS
        return made._cut_at(size) if size < self.size else made

    def _cut_at(self, size: int) -> Pages:
        """Take away what lies beyond a length."""
        last, inside = divmod(size, PAGE)
        gone: dict[int, bytes] = {}
        for number, page in self._written(last // _CHUNK):
            if number > last or (number == last and not inside):
                gone[number] = b""
            elif number == last and inside:
                gone[number] = page[:inside]
        self.size = size
        return self.replace(gone, size) if gone else self

    def truncate(self, size: int) -> Pages:
        """Make a content of another length: cut, or filled up with zeros."""
        return self.replace({}, size)

    def _written(self, first_table: int = 0) -> Iterator[tuple[int, bytes]]:
        for table in sorted(table for table in self._chunks if table >= first_table):
            for place, entry in enumerate(self._chunks[table]):
                if entry is not None:
                    yield table * _CHUNK + place, entry[0]

    def runs(self) -> Iterator[tuple[int, list[bytes]]]:
        """Give what is not zeros: where neighbouring pages begin, and they; the last may reach beyond the length."""
        run: list[bytes] = []
        start, after = 0, -1
        for number, page in self._written():
            if run and (number != after or len(run) == _RUN):
                yield start * PAGE, run
                run = []
            if not run:
                start = number
            run.append(page)
            after = number + 1
        if run:
            yield start * PAGE, run

    def to_bytes(self) -> bytes:
        """Give the whole content."""
        data = bytearray(self.size)
        for start, run in self.runs():
            data[start : start + len(run) * PAGE] = b"".join(run)
        return bytes(data[: self.size])


EMPTY = Pages()


def pages_of(start: int, end: int) -> range:
    """Give the numbers of the pages that a range of bytes touches."""
    return range(start // PAGE, -(-end // PAGE))


def sectors_of(start: int, end: int) -> range:
    """Give the numbers of the sectors that a range of bytes touches."""
    return range(start // SECTOR, -(-end // SECTOR))
