"""What a message mentioned goes with it when nobody is given it: a promise, and the objects in the promise's value."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from kernel.store.audit import audit

if TYPE_CHECKING:
    from bench import Bench

SENDER = """
    from kernel.vat import E, Exo, PromiseKit

    class Thing(Exo):
        pass

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def bootstrap(self, vats, services):
            self.baggage["peer"] = vats["peer"]

        async def take(self) -> None:
            self.cell = await E(self.baggage["peer"]).make()

        def wait(self) -> None:
            self.cell = E(self.baggage["peer"]).wait()

        def mention(self) -> None:
            kit = PromiseKit()
            E(self.cell).use(kit.promise)
            kit.resolve(Thing())

        def forget(self) -> None:
            self.cell = None

        async def refuse(self) -> None:
            await E(self.baggage["peer"]).refuse()

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""

PEER = """
    from kernel.vat import Exo, PromiseKit

    class Cell(Exo):
        def use(self, thing: object) -> None:
            pass

    class Root(Exo):
        def make(self):
            return Cell()

        def wait(self):
            self.kit = PromiseKit()
            return self.kit.promise

        def refuse(self) -> None:
            self.kit.reject("no")

    def build_root_object(vat_powers, parameters, baggage):
        return Root()
"""

LEFT = ("promises", "promise_slots", "delivery_slots", "objects WHERE id NOT IN (1, 2)")


def launch(bench: Bench) -> str:
    config = bench.config({"sender": bench.bundle("sender", SENDER), "peer": bench.bundle("peer", PEER)})
    return str(bench.launch(config)["rootKref"])


def left(bench: Bench) -> dict[str, int]:
    """Wait until nothing is queued or suspect, and give what there is besides the two roots."""
    bench.run_until(lambda: bench.rows("deliveries") == 0 and bench.rows("suspects") == 0)
    assert audit(bench.store.connection) == []
    return {table: bench.rows(table) for table in LEFT}


def test_a_message_to_a_promise_that_is_rejected_leaves_nothing(bench: Bench) -> None:
    root = launch(bench)
    bench.send(root, "wait")
    for _ in range(3):
        bench.send(root, "mention")
    assert bench.rows("deliveries") == 3
    bench.send(root, "refuse")
    bench.send(root, "forget")
    assert left(bench) == dict.fromkeys(LEFT, 0)


@pytest.mark.parametrize("end", ["restarted", "terminated", "killed"])
def test_a_message_to_a_vat_that_ends_leaves_nothing(bench: Bench, end: str) -> None:
    root = launch(bench)
    bench.send(root, "take")
    pid = bench.kernel._vats.process_ids()[2]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    bench.send(root, "mention")
    bench.run_until(lambda: bench.rows("promises WHERE state = 'fulfilled'") == 1)
    assert bench.rows("deliveries") == 1
    if end == "restarted":
        bench.run(bench.kernel.restart_vat("v2"))
    elif end == "terminated":
        bench.run(bench.kernel.terminate_vat("v2"))
    else:
        os.kill(pid, signal.SIGKILL)
    bench.send(root, "forget")
    assert left(bench) == dict.fromkeys(LEFT, 0)
