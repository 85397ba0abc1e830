"""Keeps accounts. What it has acknowledged, it still knows after any crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.vat import Exo

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Bank(Exo):
    def __init__(self, baggage: MutableMapping[str, Any], opening_balance: int) -> None:
        self.baggage = baggage
        self.opening_balance = opening_balance

    def balance(self, account: str) -> int:
        balances: dict[str, int] = self.baggage.get("balances", {})
        return balances.get(account, self.opening_balance)

    def transfer(self, payer: str, payee: str, amount: int) -> int:
        """Move an amount, and answer with what the payer has left."""
        left = self.balance(payer) - amount
        if amount <= 0 or left < 0:
            raise ValueError(f"{payer} cannot pay {amount}: there are {self.balance(payer)}")
        balances = {payer: left, payee: self.balance(payee) + amount}
        self.baggage["balances"] = {**self.baggage.get("balances", {}), **balances}
        return left


def build_root_object(vat_powers: Any, parameters: Any, baggage: MutableMapping[str, Any]) -> Bank:
    return Bank(baggage, parameters["openingBalance"])
