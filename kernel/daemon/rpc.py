"""JSON-RPC 2.0 as lines of UTF-8 JSON: framing, requests and answers, without any input or output.

Used by both ends.  As the public daemon does, ``jsonrpc`` is not insisted on, missing ``params`` mean ``[]``, and a
request without an ``id`` is answered with ``"id": null``.  See https://www.jsonrpc.org/specification for codes and
batches.
"""

from __future__ import annotations

import json

from kernel.errors import OcapError, RpcError
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
KERNEL_ERROR = -32603

#: The longest line either end takes, in bytes.
MAX_LINE_BYTES = 64 * 1024 * 1024

#: The most requests in one batch.
MAX_BATCH = 1000


class RequestId(Record):
    """What a request is called, to be repeated in its answer."""

    value: str | int | float | None


NO_ID = RequestId(None)


class Request(Record):
    """One request."""

    id: RequestId
    method: str
    params: list[Any] | dict[str, Any]


class RpcFaultError(Exception):
    """A request that cannot be served, with its JSON-RPC code."""

    def __init__(self, rpc_code: int, error: OcapError, request_id: RequestId | None = None) -> None:
        super().__init__(error.message)
        self.rpc_code = rpc_code
        self.error = error
        self.id = request_id or NO_ID


class LineTooLongError(Exception):
    """A line went over the limit; what follows it cannot be understood."""


class LineBuffer:
    """Cuts a stream of bytes into lines, holding at most one unfinished line of at most ``limit`` bytes."""

    __slots__ = ("_data", "_searched", "limit")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self.limit = limit
        self._data = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        self._data += data

    def next_line(self) -> bytes | None:
        """Give the next whole line without its end, or None when more bytes are needed.

        Raises:
            LineTooLongError: The line is longer than the limit, whether it has ended or not.
        """
        end = self._data.find(b"\n", self._searched)
        if end > self.limit or (end < 0 and len(self._data) > self.limit):
            raise LineTooLongError
        if end < 0:
            self._searched = len(self._data)
            return None
        line = bytes(self._data[:end])
        del self._data[: end + 1]
        self._searched = 0
        return line

    def __len__(self) -> int:
        return len(self._data)


def parse_line(line: bytes) -> list[Any] | dict[str, Any] | Any:
    """Read one line as JSON (RpcFaultError -32700 when it is not JSON in UTF-8)."""
    try:
        return _decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 (byte {error.start})"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at character {error.pos}"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:  # NaN, and integers of more digits than the interpreter converts
        reason = str(error)
    raise RpcFaultError(PARSE_ERROR, RpcError(f"The line is not JSON: {reason}.", remedy="Send one JSON text a line."))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Made once: the functions of the module make one for each text, which takes longer than a short text itself.
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def parse_request(value: object) -> Request:
    """Check one request (RpcFaultError -32600 when it is not one)."""
    if not isinstance(value, dict):
        raise _invalid(f"A request has to be a JSON object, not {json_type(value)}.", NO_ID)
    given = value.get("id")
    if isinstance(given, bool) or not (given is None or isinstance(given, str | int | float)):
        raise _invalid(f"The id of a request has to be a string or a number, not {json_type(given)}.", NO_ID)
    request_id = RequestId(given)
    if "method" not in value:
        raise _invalid("The request has no method.", request_id)
    method = value["method"]
    if not isinstance(method, str):
        raise _invalid(f"The method has to be a string, not {json_type(method)}.", request_id)
    params = value.get("params")
    if params is None:
        params = []
    if not isinstance(params, list | dict):
        error = RpcError(
            f"The params of {method} have to be an array or an object, not {json_type(params)}.", param="params"
        )
        raise RpcFaultError(INVALID_PARAMS, error, request_id)
    return Request(request_id, method, params)


def _invalid(message: str, request_id: RequestId) -> RpcFaultError:
    return RpcFaultError(INVALID_REQUEST, RpcError(message), request_id)


def json_type(value: object) -> str:
    """Name a JSON value's type as JSON does, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def request_line(request_id: str | int, method: str, params: list[Any] | dict[str, Any]) -> bytes:
    """Give a request as a line."""
    return encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def result(request_id: RequestId, value: object) -> dict[str, Any]:
    """Give the answer that carries a result."""
    return {"jsonrpc": "2.0", "id": request_id.value, "result": value}


def fault(request_id: RequestId, rpc_code: int, error: OcapError) -> dict[str, Any]:
    """Give the answer that carries an error."""
    return {
        "jsonrpc": "2.0",
        "id": request_id.value,
        "error": {"code": rpc_code, "message": error.message, "data": error.to_json()},
    }


def encode(answer: object) -> bytes:
    """Give a request, an answer or a batch of them as a line.

    Lone surrogates are escaped, as JSON allows; numbers that JSON does not have (NaN, infinities) are a ValueError, and
    other values a TypeError.
    """
    return _encode(answer).encode("utf-8", "backslashreplace") + b"\n"
