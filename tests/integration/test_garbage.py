"""Garbage collection between vats: what nobody holds goes, what somebody holds stays, and the store stays flat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from vat_sources import MAKER, TAKER

from kernel.errors import NotFoundError, RejectedError

if TYPE_CHECKING:
    from bench import Bench


class Pair:
    """A vat that makes objects and one that takes them."""

    def __init__(self, bench: Bench) -> None:
        config = bench.config({"maker": bench.bundle("maker", MAKER), "taker": bench.bundle("taker", TAKER)})
        self.bench = bench
        self.launched = bench.launch(config)
        self.maker = self.launched["rootKref"]
        entry = bench.subcluster(self.launched["subclusterId"])
        self.vats: dict[str, str] = entry["vats"]
        rows = bench.kernel.execute_query("SELECT vat_id, object FROM clist WHERE vref = 'o+0'")
        roots = {f"v{row['vat_id']}": f"ko{row['object']}" for row in rows}
        self.taker = roots[self.vats["taker"]]
        self.settle()

    def settle(self) -> dict[str, int]:
        """Wait until nothing is queued or suspect, and give the rows that may grow."""
        bench = self.bench
        bench.run_until(lambda: bench.rows("deliveries") == 0 and bench.rows("suspects") == 0)
        tables = (
            "objects",
            "clist",
            "promises",
            "promise_slots",
            "delivery_slots",
            "subscribers",
            "durables",
            "leases",
        )
        return {table: bench.rows(table) for table in tables}

    def cells(self) -> int:
        """Count the objects besides the two roots."""
        return self.settle()["objects"] - 2


@pytest.fixture
def pair(bench: Bench) -> Pair:
    return Pair(bench)


def test_an_object_that_was_only_passed_by_goes_with_its_names(bench: Bench, pair: Pair) -> None:
    before = pair.settle()
    assert bench.send(pair.maker, "pass_around", 5) == 5
    assert pair.settle() == before


def test_an_object_that_is_kept_stays_until_it_is_let_go_of(bench: Bench, pair: Pair) -> None:
    before = pair.settle()
    for number in range(3):
        bench.send(pair.maker, "hand_out", number)
    assert pair.cells() == 3
    assert bench.send(pair.taker, "read") == [0, 1, 2]
    bench.send(pair.taker, "forget")
    assert pair.settle() == before


def test_an_object_that_came_back_to_its_vat_is_the_same_and_then_goes(bench: Bench, pair: Pair) -> None:
    before = pair.settle()
    assert bench.send(pair.maker, "exchange") is True
    assert pair.settle() == before


def test_an_object_that_its_maker_keeps_can_be_handed_out_again(bench: Bench, pair: Pair) -> None:
    bench.send(pair.maker, "hand_out_and_keep", 7)
    bench.send(pair.taker, "forget")
    assert pair.cells() == 0
    bench.send(pair.maker, "hand_out_again")
    assert pair.cells() == 1
    assert bench.send(pair.taker, "read") == [7]
    bench.send(pair.maker, "forget")
    assert bench.send(pair.taker, "read") == [7], "the taker holds it"
    bench.send(pair.taker, "forget")
    assert pair.cells() == 0


def test_what_only_a_cycle_holds_goes_when_the_dead_are_asked_for(bench: Bench, pair: Pair) -> None:
    before = pair.settle()
    bench.send(pair.maker, "hand_out", 1)
    bench.send(pair.taker, "tangle")
    bench.run(bench.kernel.collect_garbage())
    assert pair.settle() == before


def test_a_collection_that_is_over_has_told_the_exporters_too(bench: Bench, pair: Pair) -> None:
    before = pair.cells()
    bench.send(pair.maker, "hand_out", 1)
    bench.send(pair.taker, "tangle")
    bench.run(bench.kernel.collect_garbage())
    assert bench.rows("suspects") == 0
    assert bench.rows("objects") - 2 == before


def test_a_reference_that_a_vat_never_reads_is_given_up(bench: Bench, pair: Pair) -> None:
    before = pair.settle()
    bench.send(pair.taker, "ignore")
    assert pair.settle() == before


def test_baggage_holds_an_import_and_a_restart_lets_go_of_the_others(bench: Bench, pair: Pair) -> None:
    bench.send(pair.maker, "hand_out", 1)
    bench.send(pair.maker, "hand_out", 2)
    assert bench.send(pair.taker, "read") == [1, 2]
    bench.send(pair.taker, "store")
    assert pair.cells() == 2
    bench.run(bench.kernel.restart_vat(pair.vats["taker"]))
    assert bench.send(pair.taker, "read_stored") == 2
    assert pair.cells() == 1
    bench.send(pair.taker, "unstore")
    assert pair.cells() == 0


def test_objects_of_an_ended_incarnation_say_so_and_go_when_nobody_names_them(bench: Bench, pair: Pair) -> None:
    bench.send(pair.maker, "hand_out", 1)
    assert bench.send(pair.taker, "read") == [1]
    bench.run(bench.kernel.restart_vat(pair.vats["maker"]))
    with pytest.raises(RejectedError, match="did not survive the restart"):
        bench.send(pair.taker, "read")
    assert pair.cells() == 1
    bench.send(pair.taker, "forget")
    assert pair.cells() == 0


def test_objects_of_a_terminated_vat_go_when_nobody_names_them(bench: Bench, pair: Pair) -> None:
    bench.send(pair.maker, "hand_out", 1)
    bench.send(pair.maker, "hand_out", 2)
    assert bench.send(pair.taker, "read") == [1, 2]
    bench.run(bench.kernel.terminate_vat(pair.vats["maker"]))
    with pytest.raises(RejectedError, match="has been terminated"):
        bench.send(pair.taker, "read")
    bench.send(pair.taker, "forget")
    assert pair.settle()["objects"] == 1


def test_what_a_vat_held_goes_with_it(bench: Bench, pair: Pair) -> None:
    for number in range(3):
        bench.send(pair.maker, "hand_out", number)
    assert bench.send(pair.taker, "read") == [0, 1, 2]
    bench.run(bench.kernel.terminate_vat(pair.vats["taker"]))
    bench.run_until(lambda: bench.rows("suspects") == 0)
    assert bench.rows("objects") == 2, "the maker's root, and the taker's, which the maker's baggage mentions"


def test_a_daemon_that_died_in_between_forgets_nothing(bench: Bench, pair: Pair) -> None:
    for number in range(3):
        bench.send(pair.maker, "hand_out", number)
    assert bench.send(pair.taker, "read") == [0, 1, 2]
    bench.send(pair.taker, "store")
    bench.reopen()
    bench.run(bench.kernel.collect_garbage())
    assert pair.cells() == 1, "only what the baggage mentions outlives the taker's incarnation"
    bench.send(pair.taker, "unstore")
    assert pair.cells() == 0


def test_an_object_in_an_answer_is_held_for_those_outside(bench: Bench, pair: Pair) -> None:
    answer = bench.ask(pair.maker, "make", 5)
    pair.settle()
    bench.run(bench.kernel.collect_garbage())
    assert bench.send(answer.slots[0], "read") == 5


def test_the_oldest_of_very_many_answered_objects_is_let_go_of(
    bench: Bench, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.store.outside.LEASES", 2)
    answered = [bench.ask(pair.maker, "make", number).slots[0] for number in range(3)]
    assert pair.cells() == 2
    with pytest.raises(NotFoundError, match=answered[0]):
        bench.send(answered[0], "read")
    assert [bench.send(kref, "read") for kref in answered[1:]] == [1, 2]


def flat(bench: Bench, pair: Pair, messages: int) -> None:
    """Have so many fresh objects passed, in portions, and compare the rows after the first with those at the end."""
    bench.send(pair.maker, "pass_around", 100)
    before = pair.settle()
    for _ in range(messages // 500):
        assert bench.send(pair.maker, "pass_around", 500) == 500
    assert pair.settle() == before


def test_the_store_stays_flat_over_a_few_thousand_messages_with_fresh_objects(bench: Bench, pair: Pair) -> None:
    flat(bench, pair, 2_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_store_stays_flat_over_a_hundred_thousand_messages_with_fresh_objects(bench: Bench, pair: Pair) -> None:
    bench.reopen(delivery_timeout=60.0)
    flat(bench, pair, 100_000)
