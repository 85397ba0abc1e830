"""Serves customers. It holds a reference to the bank, and hands none out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.vat import E, Exo

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Teller(Exo):
    def __init__(self, baggage: MutableMapping[str, Any]) -> None:
        self.baggage = baggage

    def bootstrap(self, vats: dict[str, Any], services: dict[str, Any]) -> None:
        self.baggage["bank"] = vats["bank"]

    async def pay(self, payer: str, payee: str, amount: int) -> str:
        left: int = await E(self.baggage["bank"]).transfer(payer, payee, amount)
        return f"{payer} has paid {amount} to {payee} and has {left} left"

    async def balance(self, account: str) -> int:
        balance: int = await E(self.baggage["bank"]).balance(account)
        return balance


def build_root_object(vat_powers: Any, parameters: Any, baggage: MutableMapping[str, Any]) -> Teller:
    return Teller(baggage)
