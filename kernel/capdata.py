"""CapData: how values cross between vats, the store and the wire.

A value becomes a JSON text (``body``) and the list of the references in it (``slots``).  The body is *smallcaps*, the
encoding that Agoric publishes in Endo's ``packages/marshal/docs/smallcaps-cheatsheet.md``: JSON that stands for itself,
except that strings which begin with one of ``!"#$%&'()*+,-`` have a special meaning.

| value | encoding |
|---|---|
| ``None``, ``True``, ``7``, ``7.5``, ``"text"`` | as in JSON |
| integers beyond 2**53 - 1 | ``"+9007199254740993"``, ``"-9007199254740993"`` |
| infinities, not a number, negative zero | ``"#Infinity"``, ``"#-Infinity"``, ``"#NaN"``, ``"#-0"`` |
| a string that begins with a special character | ``"!#text"`` |
| list or tuple, dict with string keys | array, object (keys are encoded as strings are) |
| error | ``{"#error": message, "name": name}``, and ``"code"`` where it has one |
| tagged | ``{"#tag": tag, "payload": payload}`` |
| bytes | ``{"#tag": "bytes", "payload": base64}`` |
| symbol | ``"%name"`` |
| remotable, promise | ``"$0.Alleged: Root"`` (``"$0"`` when it comes again), ``"&0"`` |

Smallcaps as published has no form for bytes; the tag ``bytes`` is this kernel's, so a :class:`Tagged` of that name
cannot be passed.  ``null`` and ``"#undefined"`` both read as None; tuples read back as lists.

Invariant: decoding what :func:`encode` made gives an equal value, and nothing but CapData passes :func:`decode`.  This
module does not know what the slots name: its callers say how a reference becomes a slot and a slot a reference.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from kernel.errors import CapDataError, OcapError

if TYPE_CHECKING:
    from collections.abc import Callable

    SlotOf = Callable[[object], tuple[str, str | None] | None]
    ValueOf = Callable[[str, str | None], object]

MAX_DEPTH = 200
"""How deep containers may nest."""

_SPECIAL = frozenset("!\"#$%&'()*+,-")
_SAFE_INTEGER = 2**53 - 1
_BYTES_TAG = "bytes"
_CONSTANTS = {"#undefined": None, "#NaN": math.nan, "#Infinity": math.inf, "#-Infinity": -math.inf, "#-0": -0.0}
_DIGITS_AT_ONCE = 4000  # Python converts at most 4300 digits between int and str in one go
_PASSABLE = "None, bool, int, float, str, bytes, list, dict with str keys, errors, tagged values and references"


class CapData(NamedTuple):
    """A passable value, encoded: a smallcaps text and the references that it mentions by index."""

    body: str
    slots: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON data: ``{"body": ..., "slots": [...]}``."""
        return {"body": self.body, "slots": list(self.slots)}

    @classmethod
    def from_json(cls, value: object) -> CapData:
        """Take JSON data of the form that :meth:`to_json` gives.

        Only the form is checked here; the body is read by :func:`decode`.

        Raises:
            CapDataError: It has another form.
        """
        if not isinstance(value, dict) or value.keys() != {"body", "slots"}:
            raise CapDataError("CapData is an object with the keys 'body' and 'slots', and no others", remedy=_REMEDY)
        body, slots = value["body"], value["slots"]
        if not isinstance(body, str):
            raise CapDataError("the body of CapData is a string", remedy=_REMEDY)
        if not isinstance(slots, list) or not all(isinstance(slot, str) for slot in slots):
            raise CapDataError("the slots of CapData are a list of strings", remedy=_REMEDY)
        return cls(body, tuple(slots))


_REMEDY = 'Send CapData as {"body": "#...", "slots": [...]}.'


class Slot(NamedTuple):
    """A reference as an opaque value, for programs that only hand references on."""

    id: str
    iface: str | None = None


class Tagged(NamedTuple):
    """A value with a name that says how to read it."""

    tag: str
    payload: Any


class Symbol(NamedTuple):
    """A registered symbol, as JavaScript vats have them."""

    name: str


class RemoteError(Exception):
    """An error that crossed a border: it keeps the name and the message that it had at home."""

    def __init__(self, name: str, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.code = code

    def __repr__(self) -> str:
        return f"RemoteError({self.name!r}, {self.message!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteError):
            return NotImplemented
        return (self.name, self.message, self.code) == (other.name, other.message, other.code)

    def __hash__(self) -> int:
        return hash((self.name, self.message, self.code))

    def __reduce__(self) -> tuple[type[RemoteError], tuple[str, str, str | None]]:
        return type(self), (self.name, self.message, self.code)


def slot_of_slot(value: object) -> tuple[str, str | None] | None:
    """Give the slot of a :class:`Slot`; other values are not references."""
    return (value.id, value.iface) if isinstance(value, Slot) else None


def encode(value: object, slot_of: SlotOf = slot_of_slot, *, what: str = "value") -> CapData:
    """Encode a passable value.

    Args:
        value: What to encode.
        slot_of: Gives for a reference its slot and interface name, and None for what is not a reference.
        what: How error messages call the value.

    Raises:
        CapDataError: Something in it cannot be passed; the message names where (``value["peers"][2]``).
    """
    encoder = _Encoder(slot_of)
    try:
        tree = encoder.encode(value)
    except CapDataError as error:
        error.message = f"{what}{encoder.where()} {error.message}"
        error.args = (error.message,)
        raise
    except RecursionError as error:
        raise CapDataError(f"{what} is nested too deeply to be passed", remedy="Pass it in parts.") from error
    return CapData("#" + _dump(tree), tuple(encoder.slots))


def decode(data: CapData, value_of: ValueOf = Slot, *, what: str = "value") -> Any:
    """Decode CapData.

    Args:
        data: What to decode.
        value_of: Gives the reference for a slot and the interface name that came with it, if any.
        what: How error messages call the value.

    Raises:
        CapDataError: The body is not smallcaps, or does not fit its slots; the message names where.
    """
    if not data.body.startswith("#"):
        raise CapDataError(
            f"the body of {what} does not begin with '#'",
            remedy="Encode it as smallcaps.",
        )
    try:
        tree = json.loads(data.body[1:], parse_constant=_refuse_constant)
    except RecursionError as error:
        raise CapDataError(f"{what} is nested too deeply to be read") from error
    except ValueError as error:
        raise CapDataError(f"the body of {what} is not JSON: {error}") from error
    decoder = _Decoder(data.slots, value_of)
    try:
        return decoder.decode(tree)
    except CapDataError as error:
        error.message = f"{what}{decoder.where()} {error.message}"
        error.args = (error.message,)
        raise


def error_capdata(name: str, message: str, *, code: str | None = None) -> CapData:
    """Encode an error by its name and message, and its stable code where it has one."""
    return encode(RemoteError(name, message, code))


def error_of(data: CapData) -> tuple[str, str] | None:
    """Give the name and message of an encoded error; None when the value is no error, or is not CapData."""
    if not data.body.startswith('#{"'):
        return None
    try:
        value = decode(data)
    except CapDataError:
        return None
    return (value.name, value.message) if isinstance(value, RemoteError) else None


class _Walker:
    """Knows where in a value a walk has come to, so that an error can name the place."""

    def __init__(self) -> None:
        self._path: list[str | int] = []

    def where(self) -> str:
        return "".join(f"[{json.dumps(step) if isinstance(step, str) else step}]" for step in self._path)

    def enter(self, step: str | int) -> None:
        self._path.append(step)
        if len(self._path) > MAX_DEPTH:
            del self._path[3:]
            raise CapDataError(
                f"is nested deeper than {MAX_DEPTH} levels, or contains itself",
                remedy="Pass it in parts, by reference.",
            )

    def leave(self) -> None:
        self._path.pop()


class _Encoder(_Walker):
    def __init__(self, slot_of: SlotOf) -> None:
        super().__init__()
        self._slot_of = slot_of
        self._index: dict[str, int] = {}
        self.slots: list[str] = []

    def encode(self, value: object) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return _escape(value)
        if isinstance(value, int):
            return int(value) if -_SAFE_INTEGER <= value <= _SAFE_INTEGER else _decimal(value)
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

            return {"#tag": _BYTES_TAG, "payload": base64.b64encode(value).decode("ascii")}
        if isinstance(value, BaseException):
            return _encode_error(value)
        raise CapDataError(
            f"is a {type(value).__qualname__}, which cannot be passed: {_PASSABLE} can",
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
                    f"has the key {key!r}, which is a {type(key).__qualname__}: keys of a passed dict are str"
                )
            self.enter(key)
            encoded[_escape(key)] = self.encode(item)
            self.leave()
        return encoded

    def _encode_tagged(self, value: Tagged) -> dict[str, Any]:
        if not isinstance(value.tag, str):
            raise CapDataError(f"has a tag that is a {type(value.tag).__qualname__}, not a str")
        if value.tag == _BYTES_TAG:
            raise CapDataError("has the tag 'bytes', which stands for bytes", remedy="Pass the bytes themselves.")
        self.enter("payload")
        payload = self.encode(value.payload)
        self.leave()
        return {"#tag": _escape(value.tag), "payload": payload}


class _Decoder(_Walker):
    def __init__(self, slots: tuple[str, ...], value_of: ValueOf) -> None:
        super().__init__()
        self._slots = slots
        self._value_of = value_of
        self._seen: dict[int, object] = {}

    def decode(self, tree: Any) -> Any:
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


def _dump(tree: Any) -> str:
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


def _encode_error(error: BaseException) -> dict[str, str]:
    code = None
    if isinstance(error, RemoteError):
        name, message, code = error.name, error.message, error.code
    else:
        name = type(error).__name__
        try:
            message = str(error)
        except Exception as broken:  # noqa: BLE001  (an error whose own text cannot be made must still be passed)
            message = f"(its message could not be rendered: {type(broken).__name__})"
        if isinstance(error, OcapError):
            code = error.code
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


def _digits(value: int) -> str:
    length = value.bit_length() * 30103 // 100000  # decimal digits, or one fewer
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
    return _number(digits[:-half]) * cast("int", 10**half) + _number(digits[-half:])


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
