"""What a vat passes on and forgets leaves nothing behind in its worker, however often it does so."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from vatbench import Vat, named

from kernel.capdata import Slot
from kernel.vat import E, Exo, Presence

ROUNDS = 2000

ALLOWANCE = 20 * ROUNDS
"""In bytes: less than the shortest text, a name say, takes in each round."""


class Token(Exo):
    pass


class Sender(Exo):
    def __init__(self) -> None:
        self.peer: Presence | None = None

    def meet(self, peer: object) -> None:
        assert isinstance(peer, Presence)
        self.peer = peer

    async def pass_on(self, number: int) -> Any:
        return await E(self.peer).take(Token(), number)


def pass_a_fresh_object(vat: Vat, number: int) -> None:
    """Have it sent and answered, and then given up by whom it was sent to."""
    syscalls = vat.message("pass_on", number, result=f"p-{number + 1}")
    [(_target, _method, arguments, answer)] = named(syscalls, "send")
    vat.notify((answer, False, number))
    vat.liveslots.deliver_garbage(arguments["slots"], arguments["slots"], [], reap=False)
    vat.finish()


def test_objects_that_were_passed_on_and_given_up_leave_no_memory() -> None:
    vat = Vat(Sender())
    vat.message("meet", Slot("o-1"), result="p-0")
    for number in range(ROUNDS):
        pass_a_fresh_object(vat, number)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(ROUNDS, 2 * ROUNDS):
            pass_a_fresh_object(vat, number)
        gc.collect()
        left, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert left < ALLOWANCE
