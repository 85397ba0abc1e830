"""Everything passable, through real vats: there and back, into the baggage, and out again after a restart."""

from __future__ import annotations

import math
from typing import Any

import pytest
from bench import Bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from values import PUBLISHED, values_with

from kernel.capdata import Slot

KEEPER = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def bootstrap(self, vats, services):
            self.baggage["peer"] = vats["peer"] if "peer" in vats else None

        def echo(self, value):
            return value

        async def relay(self, value):
            return await E(self.baggage["peer"]).echo(value)

        def keep(self, value):
            self.baggage["kept"] = value

        def kept(self):
            return self.baggage["kept"]

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""

BUDGET = settings(
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
VALUES = values_with(st.just("the root"))


@pytest.fixture
def keeper(bench: Bench) -> str:
    """Give the root of a vat that has another to talk to."""
    path = bench.bundle("keeper", KEEPER)
    return str(bench.launch(bench.config({"main": path, "peer": path}))["rootKref"])


@BUDGET
@given(value=VALUES)
def test_everything_passable_comes_back_from_another_vat_as_it_was(bench: Bench, keeper: str, value: Any) -> None:
    assert repr(bench.send(keeper, "relay", value)) == repr(value)


@BUDGET
@given(value=VALUES)
def test_everything_passable_is_kept_over_a_restart(bench: Bench, keeper: str, value: Any) -> None:
    bench.send(keeper, "keep", value)
    bench.run(bench.kernel.restart_vat("v1"))
    assert repr(bench.send(keeper, "kept")) == repr(value)


@pytest.mark.parametrize("value", [value for value, _body in PUBLISHED], ids=repr)
def test_the_published_examples_pass_through_vats(bench: Bench, keeper: str, value: Any) -> None:
    assert repr(bench.send(keeper, "relay", value)) == repr(value)


def test_no_number_is_still_none_after_a_journey(bench: Bench, keeper: str) -> None:
    assert math.isnan(bench.send(keeper, "relay", math.nan))
    assert bench.send(keeper, "relay", (1, 2)) == [1, 2]


@BUDGET
@given(shape=st.recursive(st.just(None), lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner)))
def test_references_keep_their_identity_wherever_they_stand(bench: Bench, keeper: str, shape: Any) -> None:
    def filled(value: Any) -> Any:
        if value is None:
            return Slot(keeper)
        if isinstance(value, list):
            return [filled(item) for item in value]
        return {key: filled(item) for key, item in value.items()}

    def krefs(value: Any) -> Any:
        if isinstance(value, Slot):
            return value.id
        if isinstance(value, list):
            return [krefs(item) for item in value]
        return {key: krefs(item) for key, item in value.items()}

    sent = filled(shape)
    assert krefs(bench.send(keeper, "relay", sent)) == krefs(sent)
