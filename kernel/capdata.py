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

from kernel.errors import CapDataError
from kernel.passables import RemoteError, Slot, Symbol, Tagged
from kernel.records import Record
from kernel.smallcaps import Decoder, Encoder, dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.smallcaps import SlotOf, ValueOf

__all__ = [
    "CapData",
    "RemoteError",
    "Slot",
    "Symbol",
    "Tagged",
    "decode",
    "encode",
    "error_capdata",
    "error_of",
    "slot_of_slot",
]


class CapData(Record):
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
    encoder = Encoder(slot_of)
    try:
        tree = encoder.encode(value)
    except CapDataError as error:
        error.message = f"{what}{encoder.where()} {error.message}"
        error.args = (error.message,)
        raise
    except RecursionError as error:
        raise CapDataError(f"{what} is nested too deeply to be passed", remedy="Pass it in parts.") from error
    return CapData("#" + dump(tree), tuple(encoder.slots))


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
    decoder = Decoder(data.slots, value_of)
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


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
