"""A vat that ends itself: its last delivery is whole, it is gone for good, and who waits for it is told why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kernel.errors import LaunchError, NotFoundError, VatTerminatedError
from kernel.store.audit import audit

if TYPE_CHECKING:
    from bench import Bench

LEAVER = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, powers, parameters, baggage):
            self.powers = powers
            self.parameters = parameters
            self.baggage = baggage

        def bootstrap(self, vats, services):
            if self.parameters:
                self.powers.exit("no wish to stay")
            self.baggage["peer"] = vats.get("peer")

        async def leave(self, reason: str = ""):
            E(self.baggage["peer"]).note("left")
            self.powers.exit(reason)
            return "farewell"

        def leave_and_fail(self):
            self.powers.exit()
            raise ValueError("the answer is an error")

        async def wait(self):
            await E(self.baggage["peer"]).never()

    def build_root_object(vat_powers, parameters, baggage):
        return Root(vat_powers, parameters, baggage)
"""

PEER = """
    from kernel.vat import Exo, PromiseKit

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage
            self.kits = []

        def note(self, text: str):
            self.baggage["note"] = text

        def noted(self):
            return self.baggage.get("note")

        def never(self):
            self.kits.append(PromiseKit())
            return self.kits[-1].promise

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""


def roots(bench: Bench) -> dict[str, str]:
    rows = bench.kernel.execute_query("SELECT name, object FROM clist JOIN vats ON id = vat_id WHERE vref = 'o+0'")
    return {row["name"]: f"ko{row['object']}" for row in rows}


@pytest.fixture
def launched(bench: Bench) -> dict[str, Any]:
    return bench.launch(bench.config({"main": bench.bundle("leaver", LEAVER), "peer": bench.bundle("peer", PEER)}))


def test_a_vat_that_ends_itself_finishes_its_delivery_and_is_gone(bench: Bench, launched: dict[str, Any]) -> None:
    root, peer = launched["rootKref"], roots(bench)["peer"]
    assert bench.send(root, "leave", "enough") == "farewell"
    assert bench.send(peer, "noted") == "left", "what the delivery did stays"
    assert list(bench.subcluster(launched["subclusterId"])["vats"]) == ["peer"]
    for _ in range(2):
        with pytest.raises((VatTerminatedError, NotFoundError)):
            bench.send(root, "leave")
        bench.reopen()
    assert audit(bench.store.connection) == []


def test_who_waits_for_a_vat_that_ends_itself_is_told_why(bench: Bench, launched: dict[str, Any]) -> None:
    root = launched["rootKref"]
    waiting = bench.loop.spawn(bench.kernel.queue_message(root, "wait", []))
    waiting.add_done_callback(lambda _: None)
    bench.run_until(lambda: bench.rows("subscribers") == 1 and bench.rows("deliveries") == 0)
    assert bench.send(root, "leave", "enough") == "farewell"

    async def outcome() -> None:
        await waiting

    with pytest.raises(VatTerminatedError, match=r"\(main\) of subcluster s1 ended itself: enough"):
        bench.run(outcome())


def test_the_last_vat_takes_its_subcluster_with_it(bench: Bench) -> None:
    launched = bench.launch(bench.config({"main": bench.bundle("leaver", LEAVER)}))
    with pytest.raises(Exception, match="the answer is an error"):
        bench.send(launched["rootKref"], "leave_and_fail")
    assert bench.kernel.status()["subclusters"] == []
    assert (bench.rows("objects"), bench.rows("clist"), bench.rows("promises")) == (0, 0, 0)


def test_a_vat_that_ends_itself_at_launch_fails_the_launch(bench: Bench) -> None:
    config = bench.config({"main": bench.bundle("leaver", LEAVER)})
    config["vats"]["main"]["parameters"] = {"leave": "at once"}
    with pytest.raises(LaunchError, match="ended itself while its subcluster was being launched"):
        bench.launch(config)
    assert bench.rows("subclusters") == bench.rows("objects") == 0
