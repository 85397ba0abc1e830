"""A counter that goes on counting where it was, however often its kernel is stopped, killed or restarted.

Whatever a vat puts into its baggage is kept on disk, together with the message that put it there: either both
happened, or neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.vat import Exo

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Counter(Exo):
    def __init__(self, baggage: MutableMapping[str, Any]) -> None:
        self.baggage = baggage

    def increment(self, by: int = 1) -> int:
        """Count on, and answer with the new count."""
        self.baggage["count"] = self.read() + by
        return self.read()

    def read(self) -> int:
        """Answer with the count."""
        count: int = self.baggage.get("count", 0)
        return count

    def greet(self, nonce: str) -> str:
        """Answer with what was sent: whoever sees their own words again knows that this vat is alive."""
        return nonce


def build_root_object(vat_powers: Any, parameters: Any, baggage: MutableMapping[str, Any]) -> Counter:
    return Counter(baggage)
