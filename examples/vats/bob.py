"""Bob greets as his parameters say, and has a door of its own for visitors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.vat import Exo

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Door(Exo):
    """An object of its own: who holds the door can knock, and can do nothing else to Bob."""

    def knock(self, name: str) -> str:
        return f"come in, {name}"


class Bob(Exo):
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def hello(self, name: str) -> str:
        if not name:
            raise ValueError("whom shall I greet?")
        return f"{self.greeting}, {name}!"

    def door(self) -> Door:
        return Door()


def build_root_object(vat_powers: Any, parameters: Any, baggage: MutableMapping[str, Any]) -> Bob:
    return Bob(parameters.get("greeting", "Hello"))
