"""Identifiers as text: krefs, vrefs, vat ids and subcluster ids.

Inside the kernel an identifier is an integer in the table of its kind; text exists only at the edges (the wire, the
command line, a worker's frames).  Here is the one grammar of that text.  Invariant: for each identifier exactly one
text is accepted, and parsing then formatting gives it back unchanged.  Whether anything *has* that identifier is not
known here.
"""

from __future__ import annotations

from kernel.errors import RefError
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    RefKind = Literal["object", "promise"]

ROOT_VREF = "o+0"
MAX_NUMBER = 2**63 - 1
"""The largest number an identifier may hold: SQLite's largest integer."""

_SHOWN_CHARACTERS = 80


class Kref(Record):
    """A kernel-wide reference: an object (``ko<n>``) or a promise (``kp<n>``)."""

    kind: RefKind
    number: int


class Vref(Record):
    """A reference as one vat numbers it: exported by the vat (``o+n``, ``p+n``), or imported (``o-n``, ``p-n``)."""

    kind: RefKind
    exported: bool
    number: int


_KREF_KINDS: dict[str, RefKind] = {"ko": "object", "kp": "promise"}
_VREF_KINDS: dict[str, tuple[RefKind, bool]] = {
    "o+": ("object", True),
    "o-": ("object", False),
    "p+": ("promise", True),
    "p-": ("promise", False),
}


def parse_kref(text: object) -> Kref:
    """Read a kref such as ``ko4`` or ``kp12``.

    Raises:
        RefError: Naming the text, when it is not a kref.
    """
    if isinstance(text, str):
        kind = _KREF_KINDS.get(text[:2])
        number = _number(text[2:])
        if kind is not None and number is not None:
            return Kref(kind, number)
    raise _not_a("kref", text, "Give a reference such as ko4 (an object) or kp12 (a promise).")


def parse_vref(text: object) -> Vref:
    """Read a vref such as ``o+0`` or ``p-3``.

    Raises:
        RefError: Naming the text, when it is not a vref.
    """
    if isinstance(text, str):
        found = _VREF_KINDS.get(text[:2])
        number = _number(text[2:])
        if found is not None and number is not None:
            return Vref(found[0], found[1], number)
    raise _not_a("vref", text, "A vref is o+n, o-n, p+n or p-n, where n has no leading zeros.")


def parse_vat_id(text: object) -> int:
    """Read a vat id such as ``v3``, giving its number; RefError naming the text when it is not one."""
    return _parse_id(text, "v", "vat id", "Give an id such as v1; `ocap daemon status` lists the vats.")


def parse_subcluster_id(text: object) -> int:
    """Read a subcluster id such as ``s2``, giving its number; RefError naming the text when it is not one."""
    return _parse_id(text, "s", "subcluster id", "Give an id such as s1; `ocap subcluster list` lists the subclusters.")


def format_kref(kref: Kref) -> str:
    """Write a kref as text."""
    return object_kref(kref.number) if kref.kind == "object" else promise_kref(kref.number)


def format_vref(vref: Vref) -> str:
    """Write a vref as text."""
    return f"{'o' if vref.kind == 'object' else 'p'}{'+' if vref.exported else '-'}{vref.number}"


def object_kref(number: int) -> str:
    """Write the kref of an object."""
    return f"ko{number}"


def promise_kref(number: int) -> str:
    """Write the kref of a promise."""
    return f"kp{number}"


def vat_id(number: int) -> str:
    """Write the id of a vat."""
    return f"v{number}"


def subcluster_id(number: int) -> str:
    """Write the id of a subcluster."""
    return f"s{number}"


def _parse_id(text: object, prefix: str, noun: str, remedy: str) -> int:
    if isinstance(text, str) and text[:1] == prefix:
        number = _number(text[1:])
        if number is not None:
            return number
    raise _not_a(noun, text, remedy)


def _number(digits: str) -> int | None:
    # The length is checked before int() sees the text: a hostile client may send megabytes of digits.
    if not 0 < len(digits) <= 19 or not (digits.isascii() and digits.isdigit()):
        return None
    if digits[0] == "0" and digits != "0":
        return None
    number = int(digits)
    return number if number <= MAX_NUMBER else None


def _not_a(noun: str, text: object, remedy: str) -> RefError:
    if not isinstance(text, str):
        return RefError(f"A {noun} must be text, not {type(text).__name__}", remedy=remedy)
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return RefError(f"{shown!r} is not a {noun}", remedy=remedy, ref=shown)
