"""The passable values that Python has no type of its own for, and errors that came from elsewhere.

These are plain data: they know nothing of how they are encoded, nor of vats.
"""

from __future__ import annotations

from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Slot(Record):
    """A reference as an opaque value, for programs that only hand references on."""

    id: str
    iface: str | None = None


class Tagged(Record):
    """A value with a name that says how to read it."""

    tag: str
    payload: Any


class Symbol(Record):
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
