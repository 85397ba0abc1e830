"""Baggage: what a vat keeps between incarnations.

Values are kept encoded and decoded anew at each reading, so what a vat reads after a restart is what it would have read
before: changing a list that was read from the baggage changes nothing until it is put back.

Invariant: the baggage never holds what the next incarnation could not read, that is a promise, or an object of this vat
other than its root and its durable ones.  Which of its entries the store already has is not its concern: it only
collects the changes.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from kernel.capdata import decode
from kernel.errors import CapDataError
from kernel.vat.texts import has_utf8_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kernel.capdata import CapData
    from kernel.smallcaps import ValueOf
    from kernel.vat.holdings import Imports


class Baggage(MutableMapping[str, Any]):
    """A mapping of strings to passable values that survives restarts of the vat."""

    def __init__(
        self,
        entries: dict[str, CapData],
        encode: Callable[[object, str], CapData],
        value_of: ValueOf,
        imports: Imports,
    ) -> None:
        """Make the baggage of a vat.

        Args:
            entries: What earlier incarnations left.
            encode: Takes a value and what error messages call it; raises CapDataError for what cannot be kept.
            value_of: As for :func:`kernel.capdata.decode`.
            imports: Told which imports the entries mention.
        """
        self._imports = imports
        for data in entries.values():
            imports.arrived(data.slots)
            imports.stored(data.slots)
        self._entries = entries
        self._encode = encode
        self._value_of = value_of
        self._changes: dict[str, CapData | None] = {}

    def __getitem__(self, key: str) -> Any:
        return decode(self._entries[key], self._value_of, what=f"baggage[{key!r}]")

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"keys of the baggage are str, not {type(key).__name__}")
        if not has_utf8_form(key):
            raise TypeError(f"the key {key!r} of the baggage is no text: it has a lone surrogate")
        try:
            data = self._encode(value, f"baggage[{key!r}]")
        except CapDataError as error:
            raise TypeError(error.message) from None
        earlier = self._entries.get(key)
        if earlier != data:
            self._imports.stored(data.slots)
            if earlier is not None:
                self._imports.unstored(earlier.slots)
            self._entries[key] = self._changes[key] = data

    def __delitem__(self, key: str) -> None:
        self._imports.unstored(self._entries.pop(key).slots)
        self._changes[key] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __repr__(self) -> str:
        return f"<Baggage with {len(self)} entries>"

    def take_changes(self) -> list[list[Any]]:
        """Give the changes since the last call, as syscalls."""
        changes, self._changes = self._changes, {}
        return [
            ["baggageDelete", key] if data is None else ["baggageSet", key, data.to_json()]
            for key, data in changes.items()
        ]
