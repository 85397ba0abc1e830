"""Alice greets through a friend whom she meets at bootstrap, and remembers her in her baggage.

Nobody can reach Bob by guessing his name: Alice talks to him because her cluster's bootstrap handed her a reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.vat import E, Exo

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Alice(Exo):
    def __init__(self, baggage: MutableMapping[str, Any]) -> None:
        self.baggage = baggage

    async def bootstrap(self, vats: dict[str, Any], services: dict[str, Any]) -> str:
        """Run once in the life of the subcluster, when it is launched."""
        self.baggage["friend"] = vats["bob"]
        return await self.introduce("Alice")

    async def introduce(self, name: str) -> str:
        """Have the friend greet somebody; an `await` ends the crank and goes on when the answer is there."""
        greeting: str = await E(self.baggage["friend"]).hello(name)
        return f"Bob says: {greeting}"

    async def stroll(self, name: str) -> str:
        """Send to a promise: the second message leaves before the first has been answered."""
        door = E(self.baggage["friend"]).door()
        answer: str = await E(door).knock(name)
        return answer


def build_root_object(vat_powers: Any, parameters: Any, baggage: MutableMapping[str, Any]) -> Alice:
    return Alice(baggage)
