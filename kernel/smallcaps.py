"""Smallcaps: trees of JSON data that stand for passable values; the table in :mod:`kernel.capdata` has the forms.

An :class:`Encoder` makes such a tree of a value, a :class:`Decoder` a value of a tree.  Both know where they are, so
that an error can name the place, and neither goes deeper than ``MAX_DEPTH`` levels.
"""

from __future__ import annotations

import json
import math

from kernel.errors import CapDataError, OcapError
from kernel.passables import RemoteError, Symbol, Tagged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    SlotOf = Callable[[object], tuple[str, str | None] | None]
    ValueOf = Callable[[str, str | None], object]

MAX_DEPTH = 200
"""How deep containers may nest."""

_SPECIAL = frozenset("!\"#$%&'()*+,-")
_SAFE_INTEGER = 2**53 - 1
_BYTES_TAG = "bytes"
_CONSTANTS = {"#undefined": None, "#NaN": math.nan, "#Infinity": math.inf, "#-Infinity": -math.inf, "#-0": -0.0}
MAX_LONG_DIGITS = 200_000
"""How many digits all integers of a value that have more than 4000 may have together: converting them takes long."""

_DIGITS_AT_ONCE = 4000  # Python converts at most 4300 digits between int and str in one go
_PASSABLE = "None, bool, int, float, str, bytes, list, dict with str keys, errors, tagged values and references"


class Walker:
    """Knows where in a value a walk has come to, so that an error can name the place."""

    def __init__(self) -> None:
        self._path: list[str | int] = []
        self._long_digits = 0

    def where(self) -> str:
        """Give the place, as one would write it: ``["peers"][2]``."""
        return "".join(f"[{json.dumps(step) if isinstance(step, str) else step}]" for step in self._path)

    def enter(self, step: str | int) -> None:
        """Go one level down."""
        self._path.append(step)
        if len(self._path) > MAX_DEPTH:
            del self._path[3:]
            raise CapDataError(
                f"is nested deeper than {MAX_DEPTH} levels, or contains itself",
                remedy="Pass it in parts, by reference.",
            )

    def leave(self) -> None:
        """Go one level up."""
        self._path.pop()

    def count_digits(self, digits: int) -> None:
        """Count an integer of so many digits against the bound for long ones."""
        if digits > _DIGITS_AT_ONCE:
            self._long_digits += digits
            if self._long_digits > MAX_LONG_DIGITS:
                raise CapDataError(
                    f"has integers of more than {MAX_LONG_DIGITS} digits", remedy="Pass such numbers as bytes."
                )


class Encoder(Walker):
    """Encodes one value; ``slots`` has the references that it mentions."""

    def __init__(self, slot_of: SlotOf) -> None:
        super().__init__()
        self._slot_of = slot_of
        self._index: dict[str, int] = {}
        self.slots: list[str] = []

    def encode(self, value: object) -> Any:
        """Give the tree of a value.

        Raises:
            CapDataError: It cannot be passed; the message begins after the place.
        """
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return _escape(value)
        if isinstance(value, int):
            if -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
                return int(value)
            self.count_digits(_digit_count(value))
            return _decimal(value)
        if isinstance(value, float):
            return _encode_float(value)
        slot = self._slot_of(value)
        if slot is not None:
            return self._encode_slot(*slot)
        if isinstance(value, dict):
            return self._encode_record(value)
        if isinstance(value, Tagged):
            return self._encode_tagged(value)
        if isinstance(value, Symbol):
            return "%" + value.name
        if isinstance(value, (list, tuple)):
            encoded = []
            for index, item in enumerate(value):
                self.enter(index)
                encoded.append(self.encode(item))
                self.leave()
            return encoded
        if isinstance(value, (bytes, bytearray)):
            import base64

            return {"#tag": _BYTES_TAG, "payload": _escape(base64.b64encode(value).decode("ascii"))}
        if isinstance(value, BaseException):
            return _encode_error(value)
        raise CapDataError(
            f"is of type {type(value).__qualname__}, which cannot be passed: {_PASSABLE} can",
            remedy="Pass plain data, or make it an Exo and pass a reference to it.",
        )

    def _encode_slot(self, slot: str, iface: str | None) -> str:
        sigil = "&" if slot.startswith(("p", "kp")) else "$"
        index = self._index.get(slot)
        if index is not None:
            return f"{sigil}{index}"
        index = self._index[slot] = len(self.slots)
        self.slots.append(slot)
        return f"{sigil}{index}" if iface is None or sigil == "&" else f"{sigil}{index}.{iface}"

    def _encode_record(self, value: dict[Any, Any]) -> dict[str, Any]:
        encoded = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise CapDataError(
                    f"has the key {key!r} of type {type(key).__qualname__}: keys of a dict that is passed are str"
                )
            self.enter(key)
            encoded[_escape(key)] = self.encode(item)
            self.leave()
        return encoded

    def _encode_tagged(self, value: Tagged) -> dict[str, Any]:
        if not isinstance(value.tag, str):
            raise CapDataError(f"has a tag of type {type(value.tag).__qualname__}: tags are str")
        if value.tag == _BYTES_TAG:
            raise CapDataError("has the tag 'bytes', which stands for bytes", remedy="Pass the bytes themselves.")
        self.enter("payload")
        payload = self.encode(value.payload)
        self.leave()
        return {"#tag": _escape(value.tag), "payload": payload}


class Decoder(Walker):
    """Decodes one tree."""

    def __init__(self, slots: tuple[str, ...], value_of: ValueOf) -> None:
        super().__init__()
        self._slots = slots
        self._value_of = value_of
        self._seen: dict[int, object] = {}

    def decode(self, tree: Any) -> Any:
        """Give the value of a tree.

        Raises:
            CapDataError: It stands for none; the message begins after the place.
        """
        if isinstance(tree, str):
            return self._decode_string(tree) if tree[:1] in _SPECIAL else tree
        if isinstance(tree, list):
            decoded = []
            for index, item in enumerate(tree):
                self.enter(index)
                decoded.append(self.decode(item))
                self.leave()
            return decoded
        if isinstance(tree, dict):
            return self._decode_object(tree)
        return tree

    def _decode_string(self, text: str) -> Any:
        sigil = text[0]
        if sigil == "!":
            return text[1:]
        if sigil in "$&":
            return self._decode_slot(text)
        if sigil == "#" and text in _CONSTANTS:
            return _CONSTANTS[text]
        if sigil in "+-":
            self.count_digits(len(text) - 1)
            return _parse_decimal(text)
        if sigil == "%":
            return Symbol(text[1:])
        raise CapDataError(f"has the string {_shorten(text)}, which has no meaning in smallcaps")

    def _decode_slot(self, text: str) -> object:
        number, dot, iface = text[1:].partition(".")
        if not (number.isascii() and number.isdigit()) or (number[0] == "0" and number != "0") or len(number) > 9:
            raise CapDataError(f"has {_shorten(text)}, which names no slot")
        index = int(number)
        if index >= len(self._slots):
            raise CapDataError(f"names slot {index}, but there are only {len(self._slots)}")
        slot = self._slots[index]
        if (text[0] == "&") is not slot.startswith(("p", "kp")):
            kind = "a promise" if text[0] == "&" else "an object"
            raise CapDataError(f"says that slot {index} ({_shorten(slot)}) is {kind}, which its name denies")
        if index not in self._seen:
            self._seen[index] = self._value_of(slot, iface if dot else None)
        return self._seen[index]

    def _decode_object(self, tree: dict[str, Any]) -> Any:
        if "#tag" in tree:
            return self._decode_tagged(tree)
        if "#error" in tree:
            message, name = self._text(tree, "#error"), self._text(tree, "name")
            return RemoteError(name, message, self._text(tree, "code") if "code" in tree else None)
        decoded = {}
        for key, item in tree.items():
            plain = key
            if key[:1] in _SPECIAL:
                if key[0] != "!":
                    raise CapDataError(f"has the key {_shorten(key)}, which has no meaning in smallcaps")
                plain = key[1:]
            self.enter(plain)
            decoded[plain] = self.decode(item)
            self.leave()
        return decoded

    def _decode_tagged(self, tree: dict[str, Any]) -> Any:
        if tree.keys() != {"#tag", "payload"}:
            raise CapDataError("is tagged, but has other keys than '#tag' and 'payload'")
        tag = self._text(tree, "#tag")
        self.enter("payload")
        payload = self.decode(tree["payload"])
        self.leave()
        return _decode_bytes(payload) if tag == _BYTES_TAG else Tagged(tag, payload)

    def _text(self, tree: dict[str, Any], key: str) -> str:
        value = self.decode(tree.get(key)) if isinstance(tree.get(key), str) else None
        if not isinstance(value, str):
            raise CapDataError(f"has no string under {key!r}")
        return value


def dump(tree: Any) -> str:
    """Write a tree as JSON that has a UTF-8 form."""
    text = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form; JSON's escape of it has
        return json.dumps(tree, allow_nan=False, separators=(",", ":"))
    return text


def _escape(text: str) -> str:
    return "!" + text if text[:1] in _SPECIAL else str(text)


def _encode_float(value: float) -> float | str:
    if math.isfinite(value):
        return "#-0" if value == 0 and math.copysign(1.0, value) < 0 else float(value)
    if math.isnan(value):
        return "#NaN"
    return "#Infinity" if value > 0 else "#-Infinity"


def remote_error(error: BaseException) -> RemoteError:
    """Give a new error with the name, the message and the code by which an error is known across a border."""
    if isinstance(error, RemoteError):
        return RemoteError(error.name, error.message, error.code)
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001  (an error whose own text cannot be made must still be passed)
        message = f"(its message could not be rendered: {type(broken).__name__})"
    return RemoteError(type(error).__name__, message, error.code if isinstance(error, OcapError) else None)


def _encode_error(error: BaseException) -> dict[str, str]:
    known = remote_error(error)
    name, message, code = known.name, known.message, known.code
    encoded = {"#error": _escape(message), "name": _escape(name)}
    if code is not None:
        encoded["code"] = _escape(code)
    return encoded


def _decode_bytes(payload: object) -> bytes:
    import base64
    import binascii

    if not isinstance(payload, str):
        raise CapDataError("is tagged 'bytes', but its payload is not a base64 string")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CapDataError("is tagged 'bytes', but its payload is not base64") from error


def _decimal(value: int) -> str:
    """Write an integer of any size with its sign; Python's own conversion stops at 4300 digits."""
    return ("-" if value < 0 else "+") + _digits(abs(value))


def _digit_count(value: int) -> int:
    """Give the number of decimal digits, or one fewer."""
    return value.bit_length() * 30103 // 100000


def _digits(value: int) -> str:
    length = _digit_count(value)
    if length < _DIGITS_AT_ONCE:
        return str(value)
    half = length // 2
    high, low = divmod(value, 10**half)
    return _digits(high) + _digits(low).rjust(half, "0")


def _parse_decimal(text: str) -> int:
    digits = text[1:]
    if not (digits.isascii() and digits.isdigit()):
        raise CapDataError(f"has {_shorten(text)}, which is not an integer")
    value = _number(digits)
    return -value if text[0] == "-" else value


def _number(digits: str) -> int:
    if len(digits) <= _DIGITS_AT_ONCE:
        return int(digits)
    half = len(digits) // 2
    power: int = 10**half
    return _number(digits[:-half]) * power + _number(digits[-half:])


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
