from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import VatProtocolError
from kernel.workers.frames import FrameReader, pack, read_frame, unpack, write_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 10_000
frames = st.lists(
    st.lists(st.none() | st.booleans() | st.integers() | st.text(max_size=20), max_size=4).map(
        lambda rest: ["x", *rest]
    ),
    max_size=8,
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue  # closed by the test


@given(frames, st.integers(1, 50))
def test_frames_arrive_whole_however_the_stream_is_cut(sent: list[list[Any]], piece: int) -> None:
    stream = b"".join(pack(frame, LIMIT) for frame in sent)
    reader = FrameReader(LIMIT)
    received: list[list[Any]] = []
    for start in range(0, len(stream), piece):
        received += reader.feed(stream[start : start + piece])
    assert received == sent


def test_a_frame_is_its_length_and_compact_json() -> None:
    assert pack(["a", {"b": "ü"}], LIMIT) == b'\0\0\0\x10["a",{"b":"\xc3\xbc"}]'


def test_text_without_a_utf_8_form_is_refused_on_either_side() -> None:
    with pytest.raises(VatProtocolError, match="a 'log' frame has text without a UTF-8 form"):
        pack(["log", "\ud800"], LIMIT)
    for body in (b'["a","\\ud800"]', b'["a","\\\\\\uDfff"]'):
        with pytest.raises(VatProtocolError, match="text without a UTF-8 form"):
            unpack(body)


@pytest.mark.parametrize("text", ["\\ud800", "\\\\ud800", "\U0001f600", "\\u", "\ud7ff", "\ue000"])
def test_text_that_only_looks_like_it_passes(text: str) -> None:
    assert unpack(pack(["a", text], LIMIT)[4:]) == ["a", text]


def test_a_frame_that_is_too_long_is_refused_on_either_side() -> None:
    with pytest.raises(VatProtocolError, match="a 'message' frame of 10012 bytes is longer than the bound of 10000"):
        pack(["message", "x" * 9998], LIMIT)
    with pytest.raises(VatProtocolError, match="a frame of 10001 bytes is longer"):
        list(FrameReader(LIMIT).feed((10_001).to_bytes(4, "big")))


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[]", b"[1]", b"null", b"\xff", b"[" * 5000, b'["a"] x'])
def test_what_is_no_frame_is_refused(body: bytes) -> None:
    with pytest.raises(VatProtocolError):
        unpack(body)


def test_frames_over_a_pipe(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    write_frame(writer, ["a", 1], LIMIT)
    write_frame(writer, ["b"], LIMIT)
    os.close(writer)
    assert read_frame(reader, LIMIT) == ["a", 1]
    assert read_frame(reader, LIMIT) == ["b"]
    assert read_frame(reader, LIMIT) is None


@pytest.mark.parametrize("cut", [b"\0", b"\0\0\0\x05", b'\0\0\0\x05["a'])
def test_a_stream_that_ends_in_the_middle_of_a_frame_has_no_more_frames(pipe: tuple[int, int], cut: bytes) -> None:
    reader, writer = pipe
    os.write(writer, cut)
    os.close(writer)
    assert read_frame(reader, LIMIT) is None


def test_a_pipe_with_too_long_a_frame_is_refused(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"\xff\xff\xff\xff")
    with pytest.raises(VatProtocolError, match="4294967295 bytes"):
        read_frame(reader, LIMIT)
