"""Frames: JSON arrays, each preceded by its length in four bytes, big-endian.

Invariant: a reader holds at most one frame of bounded length; what is no frame is a :class:`VatProtocolError` at once.
"""

from __future__ import annotations

import json
import os
import re

from kernel.errors import VatProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

HEADER_BYTES = 4

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# An escape that is not itself escaped.  Characters beyond the basic plane come unescaped, so no pair is hit.
_LONE_SURROGATE = re.compile(rb"(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F]")


def pack(frame: list[Any], limit: int) -> bytes:
    """Write a frame.

    Raises:
        VatProtocolError: It would be longer than ``limit`` bytes, or has a lone surrogate in a text.
    """
    try:
        body = _encode(frame).encode()
    except UnicodeEncodeError as error:
        raise VatProtocolError(f"a {str(frame[0])[:20]!r} frame has text without a UTF-8 form") from error
    if len(body) > limit:
        raise VatProtocolError(
            f"a {str(frame[0])[:20]!r} frame of {len(body)} bytes is longer than the bound of {limit} bytes"
        )
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def unpack(body: bytes | bytearray) -> list[Any]:
    """Read the body of a frame.

    Raises:
        VatProtocolError: It is not a JSON array that begins with a string.
    """
    if b"\\u" in body and _LONE_SURROGATE.search(body):
        raise VatProtocolError("a frame has text without a UTF-8 form")
    try:
        frame = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise VatProtocolError("a frame is not JSON") from error
    if not isinstance(frame, list) or not frame or not isinstance(frame[0], str):
        raise VatProtocolError("a frame is not an array beginning with a name")
    return frame


class FrameReader:
    """Puts frames together from pieces as they arrive."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[list[Any]]:
        """Add what has arrived and give each frame that is complete.

        Raises:
            VatProtocolError: A frame is too long or of the wrong form; nothing after it can be read.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER_BYTES:
            length = int.from_bytes(self._buffer[:HEADER_BYTES], "big")
            if length > self._limit:
                raise VatProtocolError(f"a frame of {length} bytes is longer than the bound of {self._limit} bytes")
            end = HEADER_BYTES + length
            if len(self._buffer) < end:
                return
            body = self._buffer[HEADER_BYTES:end]
            del self._buffer[:end]
            yield unpack(body)


def read_frame(fd: int, limit: int) -> list[Any] | None:
    """Read one frame, waiting for it; None at the end of the stream, also when it comes in the middle of a frame."""
    header = _read_exactly(fd, HEADER_BYTES)
    if header is None:
        return None
    length = int.from_bytes(header, "big")
    if length > limit:
        raise VatProtocolError(f"a frame of {length} bytes is longer than the bound of {limit} bytes")
    body = _read_exactly(fd, length)
    return None if body is None else unpack(body)


def write_frame(fd: int, frame: list[Any], limit: int) -> None:
    """Write one frame, waiting until it is written."""
    data = memoryview(pack(frame, limit))
    while data:
        data = data[os.write(fd, data) :]


def _read_exactly(fd: int, length: int) -> bytes | None:
    data = bytearray()
    while len(data) < length:
        piece = os.read(fd, min(length - len(data), 1 << 20))
        if not piece:
            return None
        data += piece
    return bytes(data)
