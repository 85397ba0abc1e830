"""Messages: between vats and from outside, promises, pipelining, errors word for word, and vats that fail half way."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from bench import Bench

from kernel.errors import (
    NotFoundError,
    RefError,
    RejectedError,
    RevokedError,
    VatDiedError,
    VatTerminatedError,
    VatTimeoutError,
)

ALICE = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        async def bootstrap(self, vats, services):
            self.baggage["bob"] = vats["bob"]
            self.baggage["launches"] = self.baggage.get("launches", 0) + 1
            return "bootstrapped"

        def launches(self) -> int:
            return self.baggage["launches"]

        async def greet(self, name: str) -> str:
            return await E(self.baggage["bob"]).hello(name)

        async def pipeline(self) -> int:
            counter = E(self.baggage["bob"]).make_counter()
            E(counter).add(1)
            E(counter).add(2)
            return await E(counter).add(3)

        async def order(self) -> list:
            for number in range(20):
                E(self.baggage["bob"]).note(number)
            return await E(self.baggage["bob"]).noted()

        async def relay_failure(self) -> str:
            return await E(self.baggage["bob"]).fail("the reason, word for word")

        async def send_to_data(self) -> object:
            return await E(E(self.baggage["bob"]).hello("x")).anything()

        async def same(self) -> bool:
            first = await E(self.baggage["bob"]).make_counter()
            return first is await E(self.baggage["bob"]).give_back(first)

        async def wait_for_ever(self) -> None:
            await E(self.baggage["bob"]).hang_on()

        async def call_hanging(self) -> None:
            await E(self.baggage["bob"]).spin()

        async def bootstrap_again(self) -> None:
            await E(self.baggage["bob"]).bootstrap({}, {})

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""
BOB = """
    from kernel.vat import E, Exo

    class Counter(Exo):
        def __init__(self):
            self.count = 0

        def add(self, n: int) -> int:
            self.count += n
            return self.count

    class Root(Exo):
        def __init__(self, greeting, baggage):
            self.greeting = greeting
            self.baggage = baggage
            self.notes = []

        def hello(self, name: str) -> str:
            return f"{self.greeting}, {name}"

        def make_counter(self) -> object:
            return Counter()

        def give_back(self, thing: object) -> object:
            return thing

        def note(self, number: int) -> None:
            self.notes.append(number)

        def noted(self) -> list:
            return self.notes

        def fail(self, message: str) -> None:
            raise LookupError(message)

        def spin(self) -> None:
            self.baggage["half"] = "done"
            while True:
                pass

        def half(self) -> object:
            return self.baggage.get("half")

        async def hang_on(self) -> None:
            self.baggage["hanging"] = True
            self.own = E(self).own_answer()
            await self.own

        async def own_answer(self) -> None:
            await self.own  # an answer that waits for itself never comes

    def build_root_object(vat_powers, parameters, baggage):
        return Root(parameters.get("greeting", "hello"), baggage)
"""


@pytest.fixture
def pair(bench: Bench) -> dict[str, Any]:
    """Launch Alice, who holds Bob; give her root and both vats' ids."""
    config = bench.config({"alice": bench.bundle("alice", ALICE), "bob": bench.bundle("bob", BOB)})
    config["vats"]["bob"]["parameters"] = {"greeting": "good day"}
    launched = bench.launch(config)
    vats = bench.subcluster(launched["subclusterId"])["vats"]
    bob = bench.store.connection.execute(
        "SELECT object FROM clist WHERE vat_id = ? AND vref = 'o+0'", (int(vats["bob"][1:]),)
    ).fetchone()[0]
    return {"alice": launched["rootKref"], "bob": f"ko{bob}", "vats": vats, "result": launched["bootstrapResult"]}


def test_bootstrap_runs_once_and_its_answer_is_the_launchs(bench: Bench, pair: dict[str, Any]) -> None:
    assert pair["result"] == {"body": '#"bootstrapped"', "slots": []}
    bench.reopen()
    assert bench.send(pair["alice"], "launches") == 1


def test_bootstrap_is_nobodys_to_send_but_the_kernels(bench: Bench, pair: dict[str, Any]) -> None:
    with pytest.raises(RejectedError, match="at launch"):
        bench.send(pair["alice"], "bootstrap", {}, {})
    with pytest.raises(RejectedError, match="at launch"):
        bench.send(pair["alice"], "bootstrap_again")


def test_a_message_crosses_vats_and_its_answer_comes_back(bench: Bench, pair: dict[str, Any]) -> None:
    assert bench.send(pair["alice"], "greet", "world") == "good day, world"


def test_references_in_baggage_survive_a_restart(bench: Bench, pair: dict[str, Any]) -> None:
    bench.reopen()
    assert bench.send(pair["alice"], "greet", "again") == "good day, again"


def test_messages_to_a_promise_follow_it_to_its_object(bench: Bench, pair: dict[str, Any]) -> None:
    assert bench.send(pair["alice"], "pipeline") == 6


def test_messages_between_two_vats_keep_their_order(bench: Bench, pair: dict[str, Any]) -> None:
    assert bench.send(pair["alice"], "order") == list(range(20))


def test_an_object_is_the_same_when_it_comes_back(bench: Bench, pair: dict[str, Any]) -> None:
    assert bench.send(pair["alice"], "same") is True


def test_an_exception_keeps_its_message_word_for_word_across_vats(bench: Bench, pair: dict[str, Any]) -> None:
    with pytest.raises(RejectedError) as caught:
        bench.send(pair["alice"], "relay_failure")
    assert caught.value.message == "the reason, word for word"
    assert caught.value.data["errorName"] == "LookupError"


def test_a_message_to_data_is_rejected_with_the_reason(bench: Bench, pair: dict[str, Any]) -> None:
    with pytest.raises(RejectedError, match="resolved to data"):
        bench.send(pair["alice"], "send_to_data")


@pytest.mark.parametrize(
    ("method", "arguments", "pattern"),
    [
        ("nothing_like_it", [], "no method 'nothing_like_it'"),
        ("hello", [], "name"),
        ("hello", [7], "name"),
        ("_private", [], "_private"),
    ],
)
def test_what_does_not_fit_is_rejected_and_named(
    bench: Bench, pair: dict[str, Any], method: str, arguments: list[Any], pattern: str
) -> None:
    with pytest.raises(RejectedError, match=pattern):
        bench.send(pair["bob"], method, *arguments)


@pytest.mark.parametrize(
    ("kref", "error"), [("ko999", NotFoundError), ("kp999", NotFoundError), ("ko", RefError), ("v1", RefError)]
)
def test_a_kref_that_is_none_is_refused_and_named(
    bench: Bench, pair: dict[str, Any], kref: str, error: type[Exception]
) -> None:
    before = bench.rows("promises")
    with pytest.raises(error, match=kref):
        bench.send(kref, "hello", "x")
    assert bench.rows("promises") == before


def test_an_object_answered_to_the_outside_can_be_sent_messages(bench: Bench, pair: dict[str, Any]) -> None:
    answer = bench.ask(pair["bob"], "make_counter")
    assert answer.body.startswith('#"$0')
    assert bench.send(answer.slots[0], "add", 5) == 5
    assert bench.send(answer.slots[0], "add", 5) == 10


def test_an_object_that_did_not_survive_its_incarnation_says_so(bench: Bench, pair: dict[str, Any]) -> None:
    counter = bench.ask(pair["bob"], "make_counter").slots[0]
    bench.reopen()
    with pytest.raises(NotFoundError, match="did not survive"):
        bench.send(counter, "add", 1)


def test_a_revoked_object_takes_no_messages_for_good(bench: Bench, pair: dict[str, Any]) -> None:
    assert bench.kernel.is_revoked(pair["bob"]) is False
    bench.kernel.revoke(pair["bob"])
    assert bench.kernel.is_revoked(pair["bob"]) is True
    with pytest.raises(RevokedError, match=pair["bob"]):
        bench.send(pair["bob"], "hello", "x")
    with pytest.raises(RejectedError, match="revoked"):
        bench.send(pair["alice"], "greet", "x")
    bench.reopen()
    assert bench.kernel.is_revoked(pair["bob"]) is True


def test_a_delivery_that_hangs_ends_the_vat_undoes_its_effects_and_cannot_loop(
    bench: Bench, pair: dict[str, Any]
) -> None:
    bench.reopen(delivery_timeout=0.7)
    with pytest.raises(VatTimeoutError, match=r"bob.*0\.7 s"):
        bench.send(pair["bob"], "spin")
    assert bench.send(pair["bob"], "half") is None, "the crank was undone"
    assert bench.send(pair["alice"], "greet", "world") == "good day, world"
    ended = bench.log.named("vat.ended")
    assert [(record["vat"], record["code"], record["method"]) for record in ended] == [("bob", "vat-timeout", "spin")]


def test_the_sender_in_another_vat_learns_why(bench: Bench, pair: dict[str, Any]) -> None:
    bench.reopen(delivery_timeout=0.7)
    with pytest.raises(RejectedError, match="did not finish a delivery"):
        bench.send(pair["alice"], "call_hanging")


def test_a_worker_that_is_killed_during_a_delivery_fails_that_delivery_and_comes_back(
    bench: Bench, pair: dict[str, Any]
) -> None:
    pending = bench.loop.spawn(bench.kernel.queue_message(pair["bob"], "spin", []))
    pending.add_done_callback(lambda _future: None)
    pids = bench.kernel.worker_pids()
    vat = pair["vats"]["bob"]
    bench.run_until(lambda: pids.get(vat) or pids.update(bench.kernel.worker_pids()))
    pid = pids[vat]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    bench.run_until(pending.done)
    assert isinstance(pending.exception(), VatDiedError)
    assert "SIGKILL" in str(pending.exception())
    assert bench.send(pair["bob"], "hello", "you") == "good day, you"


def test_a_promise_whose_vat_is_restarted_is_rejected_and_nobody_hangs(bench: Bench, pair: dict[str, Any]) -> None:
    pending = bench.loop.spawn(bench.kernel.queue_message(pair["alice"], "wait_for_ever", []))
    pending.add_done_callback(lambda _future: None)
    bench.run_until(lambda: bench.kernel.execute_query("SELECT 1 FROM baggage WHERE key = 'hanging'"))
    bench.run(bench.kernel.restart_vat(pair["vats"]["alice"]))
    bench.run_until(pending.done)
    assert "restarted before it answered" in str(pending.exception())
    assert bench.send(pair["alice"], "greet", "world") == "good day, world"


def test_a_restart_of_the_kernel_rejects_what_its_vats_were_to_answer(bench: Bench, pair: dict[str, Any]) -> None:
    bench.loop.spawn(bench.kernel.queue_message(pair["alice"], "wait_for_ever", [])).add_done_callback(lambda _f: None)
    bench.run_until(lambda: bench.kernel.execute_query("SELECT 1 FROM baggage WHERE key = 'hanging'"))
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.rows("promises") > 0
    bench.reopen()
    assert bench.kernel.execute_query("SELECT * FROM promises") == []
    assert bench.rows("deliveries") == 0
    assert bench.send(pair["alice"], "greet", "world") == "good day, world"


def test_pinging_starts_a_vat_and_gets_an_answer(bench: Bench, pair: dict[str, Any]) -> None:
    assert bench.run(bench.kernel.ping_vat(pair["vats"]["bob"])) == "pong"
    with pytest.raises(NotFoundError, match="v99"):
        bench.run(bench.kernel.ping_vat("v99"))


def test_a_terminated_vat_rejects_what_it_was_to_answer(bench: Bench, pair: dict[str, Any]) -> None:
    bench.run(bench.kernel.terminate_vat(pair["vats"]["bob"]))
    with pytest.raises((VatTerminatedError, NotFoundError)):
        bench.send(pair["bob"], "hello", "x")
    with pytest.raises(RejectedError, match="terminated"):
        bench.send(pair["alice"], "greet", "x")
    assert bench.reopen().quarantined == ()


def test_terminating_a_subcluster_leaves_no_row_behind(bench: Bench, pair: dict[str, Any]) -> None:
    bench.send(pair["alice"], "greet", "x")
    bench.run(bench.kernel.terminate_subcluster("s1"))
    tables = (
        "vats",
        "clist",
        "baggage",
        "baggage_slots",
        "objects",
        "promises",
        "deliveries",
        "bundles",
        "subclusters",
    )
    assert {table: bench.rows(table) for table in tables} == dict.fromkeys(tables, 0)


def test_clearing_removes_everything_and_ids_are_not_used_again(bench: Bench, pair: dict[str, Any]) -> None:
    bench.run(bench.kernel.clear_state())
    assert bench.kernel.status()["vats"] == []
    again = bench.launch_counter("c")
    assert again["subclusterId"] == "s2"
    assert again["rootKref"] != pair["alice"]
    assert bench.send(again["rootKref"], "increment") == 1


def test_promises_that_are_answered_do_not_stay(bench: Bench, pair: dict[str, Any]) -> None:
    for number in range(20):
        bench.send(pair["alice"], "greet", str(number))
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.rows("promises") == 0
    assert bench.kernel.execute_query("SELECT * FROM clist WHERE promise IS NOT NULL") == []


def test_many_messages_at_once_are_all_answered_and_counted_once(bench: Bench) -> None:
    counter = bench.launch_counter("c")

    async def all_at_once() -> list[str]:
        pending = [
            bench.loop.spawn(bench.kernel.queue_message(counter["rootKref"], "increment", [])) for _ in range(64)
        ]
        return [(await answer).body for answer in pending]

    assert bench.run(all_at_once()) == [f"#{number}" for number in range(1, 65)]
