"""JSON-RPC as lines: what is a request, what is not, and how either is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.daemon import rpc
from kernel.daemon.rpc import LineBuffer, LineTooLongError, RequestId, RpcFaultError, parse_line, parse_request
from kernel.errors import StoreFullError


def refused(line: bytes) -> RpcFaultError:
    with pytest.raises(RpcFaultError) as caught:
        parse_request(parse_line(line))
    return caught.value


def test_jsonrpc_id_and_params_may_be_left_out() -> None:
    assert parse_request({"method": "ping"}) == (RequestId(None), "ping", [])
    assert parse_request({"method": "ping", "params": None, "id": 7}) == (RequestId(7), "ping", [])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b'{"method": "ping"',
        b"\xff\xfe",
        b"[" * 200_000,
        b"1" * 5000,
        b'{"a": 1} {"b": 2}',
        b"[NaN]",
    ],
    ids=["empty", "word", "truncated", "not-utf-8", "deep", "long-number", "two", "nan"],
)
def test_what_is_not_json_is_a_parse_error_that_says_why(line: bytes) -> None:
    fault = refused(line)
    if line.startswith(b"1"):
        assert fault.rpc_code in (rpc.PARSE_ERROR, rpc.INVALID_REQUEST)
        return
    assert fault.rpc_code == rpc.PARSE_ERROR
    assert fault.error.message.startswith("The line is not JSON: ")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (b'"ping"', "a string"),
        (b"7", "a number"),
        (b"null", "null"),
        (b"{}", "no method"),
        (b'{"method": 7}', "a number"),
        (b'{"method": "m", "id": {}}', "an object"),
        (b'{"method": "m", "id": true}', "a boolean"),
    ],
)
def test_what_is_not_a_request_is_refused_by_what_it_is(line: bytes, named: str) -> None:
    fault = refused(line)
    assert fault.rpc_code == rpc.INVALID_REQUEST
    assert named in fault.error.message


def test_params_that_are_a_value_are_refused_with_the_id() -> None:
    fault = refused(b'{"method": "m", "params": "x", "id": 5}')
    assert (fault.rpc_code, fault.id) == (rpc.INVALID_PARAMS, RequestId(5))


def test_an_error_of_the_kernel_keeps_its_own_words_and_data() -> None:
    answer = rpc.fault(RequestId("a"), rpc.KERNEL_ERROR, StoreFullError("the disk is full", path="/s"))
    assert answer["error"]["code"] == -32603
    assert answer["error"]["message"] == "the disk is full"
    assert answer["error"]["data"]["code"] == "store-full"
    assert answer["error"]["data"]["path"] == "/s"


def test_an_answer_is_one_line_of_compact_json_whatever_is_in_it() -> None:
    line = rpc.encode(rpc.result(RequestId(1), {"text": "a\nb\udc80\u2028"}))
    assert line.count(b"\n") == 1
    assert json.loads(line)["result"]["text"] == "a\nb\udc80\u2028"


def test_lines_come_whole_however_the_bytes_come() -> None:
    buffer = LineBuffer()
    lines = []
    for byte in b"one\ntwo\n\nthr":
        buffer.feed(bytes([byte]))
        line = buffer.next_line()
        if line is not None:
            lines.append(line)
    assert lines == [b"one", b"two", b""]
    assert len(buffer) == 3


@given(st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"")), max_size=8), st.data())
def test_any_cutting_gives_the_same_lines(lines: list[bytes], data: Any) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    buffer = LineBuffer()
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer.feed(stream[:size])
        stream = stream[size:]
        while (line := buffer.next_line()) is not None:
            found.append(line)
    assert found == lines


@pytest.mark.parametrize("ended", [True, False])
def test_a_line_over_the_limit_is_refused_whether_it_has_ended_or_not(ended: bool) -> None:
    buffer = LineBuffer(limit=10)
    buffer.feed(b"x" * 10 + b"\n")
    assert buffer.next_line() == b"x" * 10
    buffer.feed(b"x" * 11 + b"\n" * ended)
    with pytest.raises(LineTooLongError):
        buffer.next_line()
