"""Edges of the engine: what no vat, no client and no failing disk may do to the kernel or to those who wait."""

from __future__ import annotations

import pytest
from bench import Bench

from kernel.errors import UsageError, VatProtocolError

PARK = """
    from kernel.vat import Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def keep(self) -> None:
            self.baggage["\\ud800"] = 1

        def ping(self) -> str:
            return "here"

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""


def test_a_vat_whose_crank_the_store_cannot_hold_is_ended_and_nobody_else(bench: Bench) -> None:
    counter = bench.launch_counter("counter")
    launched = bench.launch(bench.config({"main": bench.bundle("keeper", PARK)}))
    with pytest.raises(VatProtocolError, match="baggage"):
        bench.send(launched["rootKref"], "keep")
    assert bench.send(launched["rootKref"], "ping") == "here"
    assert bench.send(counter["rootKref"], "increment") == 1


def test_a_method_that_is_no_text_is_refused_with_the_reason(bench: Bench) -> None:
    counter = bench.launch_counter("counter")
    for method in ("", "\ud800", "x" * 2000):
        with pytest.raises(UsageError, match="method"):
            bench.send(counter["rootKref"], method)
    assert bench.send(counter["rootKref"], "increment") == 1
