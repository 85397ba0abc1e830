"""A vat without its process: deliveries go in, syscalls come out."""

from __future__ import annotations

from typing import Any

from kernel.capdata import CapData, decode, encode, error_of
from kernel.vat import Exo
from kernel.vat.liveslots import Liveslots
from kernel.vat.references import enter_vat

RESULT = "p-100"


class Vat:
    """A vat without its process: deliveries go in, syscalls come out."""

    def __init__(self, root: Exo, *, baggage: dict[str, CapData] | None = None, crank_bytes: int = 1 << 20) -> None:
        self.logged: list[tuple[str, str]] = []
        self.liveslots = Liveslots(
            next_export=1,
            next_promise=1,
            baggage=baggage or {},
            log=lambda level, text: self.logged.append((level, text)),
            crank_bytes=crank_bytes,
        )
        enter_vat(self.liveslots)
        self.liveslots.set_root(root)

    def message(self, method: str, *args: object, target: str = "o+0", result: str | None = RESULT) -> list[list[Any]]:
        self.liveslots.deliver_message(target, method, encode(list(args)), result)
        return self.finish()

    def notify(self, *resolutions: tuple[str, bool, object]) -> list[list[Any]]:
        self.liveslots.deliver_notify([(vref, rejected, encode(value)) for vref, rejected, value in resolutions])
        return self.finish()

    def finish(self) -> list[list[Any]]:
        syscalls: list[list[Any]] = self.liveslots.finish_crank()["syscalls"]
        return syscalls


class Cell(Exo):
    """Holds a value."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def get(self) -> int:
        return self.value


def outcomes(syscalls: list[list[Any]]) -> dict[str, object]:
    """Give what promises were settled with; a rejection as (name, message)."""
    found: dict[str, object] = {}
    for syscall in syscalls:
        if syscall[0] == "resolve":
            for vref, rejected, value in syscall[1]:
                data = CapData.from_json(value)
                found[vref] = error_of(data) if rejected else decode(data)
    return found


def result(syscalls: list[list[Any]]) -> object:
    return outcomes(syscalls)[RESULT]


def sent(syscalls: list[list[Any]]) -> list[tuple[str, str, Any, str | None]]:
    """Give the messages sent: target, method, decoded arguments, result."""
    return [(s[1], s[2], decode(CapData.from_json(s[3])), s[4]) for s in syscalls if s[0] == "send"]


def named(syscalls: list[list[Any]], name: str) -> list[list[Any]]:
    return [syscall[1:] for syscall in syscalls if syscall[0] == name]
