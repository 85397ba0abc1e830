"""Liveslots: what a vat sends, awaits and is told of."""

from __future__ import annotations

from typing import Any

import pytest
from vatbench import RESULT, Cell, Vat, named, outcomes, result, sent

from kernel.capdata import CapData, Slot
from kernel.vat import E, Exo, Presence, Promise, RemoteError


class Client(Exo):
    def __init__(self) -> None:
        self.kept: list[Any] = []

    async def ask(self, peer: Presence) -> Any:
        return "got " + await E(peer).answer(1, "two")

    async def ask_twice(self, peer: Presence) -> list[Any]:
        first, second = E(peer).answer(1), E(peer).answer(2)
        return [await first, await second]

    async def recover(self, peer: Presence) -> str:
        try:
            await E(peer).answer()
        except RemoteError as error:
            return f"{error.name}: {error.message}"
        return "no error"

    def forward(self, peer: Presence) -> Promise:
        return E(peer).answer()

    def tell(self, peer: Presence) -> None:
        E(peer).hear()

    def chain(self, peer: Presence) -> Any:
        return E(E(peer).account("alice")).balance()

    def keep(self, thing: Any) -> None:
        self.kept.append(thing)

    def give(self) -> Any:
        return self.kept[-1]

    async def wait(self) -> Any:
        return await self.kept[-1]

    def wrap(self) -> Any:
        return {"later": self.kept[-1]}

    def send_kept(self, peer: Presence) -> None:
        E(peer).take(self.kept[-1])

    def pipeline(self) -> Any:
        return E(self.kept[-1]).poke()

    async def wrong(self) -> None:
        class Odd:
            def __await__(self) -> Any:
                yield 7

        await Odd()

    def later(self, peer: Presence) -> Any:
        return [self.ask(peer), 1]

    def local(self) -> Any:
        return E(Cell(3)).get()


PEER = Slot("o-1", "Alleged: Peer")


def test_an_async_method_answers_when_the_kernel_has_told_what_it_waits_for() -> None:
    vat = Vat(Client())
    syscalls = vat.message("ask", PEER)
    assert sent(syscalls) == [("o-1", "answer", [1, "two"], "p+1")]
    assert named(syscalls, "subscribe") == [["p+1"]]
    assert outcomes(syscalls) == {}
    assert result(vat.notify(("p+1", False, "it"))) == "got it"


def test_sends_are_eager_and_keep_their_order() -> None:
    vat = Vat(Client())
    syscalls = vat.message("ask_twice", PEER)
    assert [args for _, _, args, _ in sent(syscalls)] == [[1], [2]]
    assert outcomes(vat.notify(("p+2", False, "b"))) == {}
    assert result(vat.notify(("p+1", False, "a"))) == ["a", "b"]


def test_a_rejection_is_raised_where_the_promise_is_awaited() -> None:
    vat = Vat(Client())
    vat.message("recover", PEER)
    assert result(vat.notify(("p+1", True, RemoteError("KeyError", "#none")))) == "KeyError: #none"


def test_a_rejection_that_is_not_handled_passes_through_word_for_word() -> None:
    vat = Vat(Client())
    vat.message("ask", PEER)
    assert result(vat.notify(("p+1", True, RemoteError("KeyError", "#none")))) == ("KeyError", "#none")
    assert vat.logged == []


def test_a_rejection_with_something_else_than_an_error_is_raised_as_one() -> None:
    vat = Vat(Client())
    vat.message("ask", PEER)
    assert result(vat.notify(("p+1", True, "why"))) == ("Rejected", "the promise was rejected with 'why'")


def test_a_result_that_is_a_promise_is_followed() -> None:
    vat = Vat(Client())
    assert outcomes(vat.message("forward", PEER)) == {}
    assert result(vat.notify(("p+1", False, [1]))) == [1]


def test_a_result_that_is_a_promise_is_followed_to_its_rejection() -> None:
    vat = Vat(Client())
    vat.message("forward", PEER)
    assert result(vat.notify(("p+1", True, RemoteError("E", "m")))) == ("E", "m")


def test_a_message_whose_result_nobody_holds_asks_for_none() -> None:
    syscalls = Vat(Client()).message("tell", PEER)
    assert sent(syscalls) == [("o-1", "hear", [], None)]
    assert named(syscalls, "subscribe") == []


def test_calls_can_be_chained_without_waiting() -> None:
    vat = Vat(Client())
    syscalls = vat.message("chain", PEER)
    assert sent(syscalls) == [("o-1", "account", ["alice"], "p+1"), ("p+1", "balance", [], "p+2")]
    assert result(vat.notify(("p+1", False, Slot("o-2")), ("p+2", False, 12))) == 12


def test_a_received_promise_can_be_awaited() -> None:
    vat = Vat(Client())
    assert named(vat.message("keep", Slot("p-3")), "subscribe") == []
    assert named(vat.message("wait"), "subscribe") == [["p-3"]]
    assert result(vat.notify(("p-3", False, "now"))) == "now"


def test_a_promise_is_subscribed_to_once() -> None:
    vat = Vat(Client())
    vat.message("keep", Slot("p-3"))
    vat.message("wait", result="p-101")
    assert named(vat.message("wait"), "subscribe") == []
    assert outcomes(vat.notify(("p-3", False, 1))) == {"p-101": 1, RESULT: 1}


def test_an_unresolved_promise_is_passed_on_by_its_name() -> None:
    vat = Vat(Client())
    vat.message("keep", Slot("p-3"))
    assert result(vat.message("wrap")) == {"later": Slot("p-3")}
    assert sent(vat.message("pipeline")) == [("p-3", "poke", [], "p+1")]


def test_an_own_unresolved_result_is_passed_on_by_its_name() -> None:
    client = Client()
    vat = Vat(client)
    vat.message("keep", PEER)
    client.kept.append(E(client.kept[0]).answer())
    vat.finish()
    assert result(vat.message("wrap")) == {"later": Slot("p+1")}


def test_a_settled_promise_goes_out_as_a_new_one_that_is_settled_at_once() -> None:
    vat = Vat(Client())
    vat.message("keep", Slot("p-3"))
    vat.message("wait")
    vat.notify(("p-3", False, ["x"]))
    syscalls = vat.message("wrap")
    assert outcomes(syscalls) == {RESULT: {"later": Slot("p+1")}, "p+1": ["x"]}
    syscalls = vat.message("send_kept", PEER)
    assert sent(syscalls) == [("o-1", "take", [Slot("p+2")], None)]
    assert outcomes(syscalls)["p+2"] == ["x"]


def test_sends_to_a_settled_promise_go_to_what_it_became() -> None:
    vat = Vat(Client())
    vat.message("keep", Slot("p-3"))
    vat.message("wait")
    vat.notify(("p-3", False, Slot("o-9")))
    assert sent(vat.message("pipeline")) == [("o-9", "poke", [], "p+1")]


@pytest.mark.parametrize(
    ("rejected", "value", "answer"),
    [
        (False, 7, ("TypeError", "cannot send poke() to a int: it is data")),
        (True, RemoteError("E", "m"), ("E", "m")),
    ],
)
def test_a_send_to_what_is_no_reference_is_rejected(rejected: bool, value: object, answer: object) -> None:
    vat = Vat(Client())
    vat.message("keep", Slot("p-3"))
    vat.message("wait")
    vat.notify(("p-3", rejected, value))
    assert result(vat.message("pipeline")) == answer


def test_a_coroutine_that_is_passed_on_becomes_a_promise_of_its_outcome() -> None:
    vat = Vat(Client())
    syscalls = vat.message("later", PEER)
    assert result(syscalls) == [Slot("p+1"), 1]
    assert sent(syscalls) == [("o-1", "answer", [1, "two"], "p+2")]
    assert outcomes(vat.notify(("p+2", False, "it"))) == {"p+1": "got it"}


def test_messages_to_an_own_object_go_by_way_of_the_kernel() -> None:
    vat = Vat(Client())
    syscalls = vat.message("local")
    assert sent(syscalls) == [("o+1", "get", [], "p+1")]
    assert outcomes(vat.message("get", target="o+1", result="p+1")) == {"p+1": 3, RESULT: 3}


def test_a_result_promise_that_comes_in_as_an_argument_settles_with_its_delivery() -> None:
    vat = Vat(Client())
    vat.message("keep", Slot("p-3"))
    vat.message("wait")
    syscalls = vat.message("keep", 5, result="p-3")  # the kernel makes this vat the decider of what it waits for
    assert outcomes(syscalls) == {"p-3": None, RESULT: None}


def test_a_method_cannot_answer_with_the_promise_of_its_own_answer() -> None:
    vat = Vat(Client())
    vat.message("keep", Slot("p-3"))
    answer = outcomes(vat.message("give", result="p-3"))
    assert answer == {"p-3": ("TypeError", "a promise cannot be resolved to itself")}


def test_awaiting_something_else_than_a_promise_is_an_error_in_words() -> None:
    answer = result(Vat(Client()).message("wrong"))
    assert answer == ("TypeError", "a vat can await promises only, and a int is none")


def test_news_of_promises_that_the_vat_has_forgotten_are_ignored() -> None:
    assert Vat(Client()).notify(("p-77", False, 1)) == []


def test_news_may_mention_promises_of_the_same_news() -> None:
    client = Client()
    vat = Vat(client)
    vat.message("keep", [Slot("p-3"), Slot("p-4")])
    first, second = client.kept[0]
    vat.notify(("p-3", False, [Slot("p-4")]), ("p-4", False, [Slot("p-3")]))
    assert first.outcome == [second]
    assert second.outcome == [first]


def test_a_promise_resolved_to_another_follows_it() -> None:
    vat = Vat(Client())
    vat.message("keep", Slot("p-3"))
    vat.message("wait")
    assert named(vat.notify(("p-3", False, Slot("p-4"))), "subscribe") == [["p-4"]]
    assert result(vat.notify(("p-4", False, "end"))) == "end"


def test_a_promise_resolved_to_itself_is_rejected() -> None:
    client = Client()
    vat = Vat(client)
    vat.message("keep", Slot("p-3"))
    vat.message("wait")
    assert result(vat.notify(("p-3", False, Slot("p-3")))) == ("TypeError", "a promise cannot be resolved to itself")


def test_promises_that_contain_each_other_can_be_passed_on() -> None:
    client = Client()
    vat = Vat(client)
    vat.message("keep", [Slot("p-3"), Slot("p-4")])
    vat.notify(("p-3", False, [Slot("p-4")]), ("p-4", False, [Slot("p-3")]))
    client.kept.append(client.kept[0][0])
    assert outcomes(vat.message("wrap")) == {
        RESULT: {"later": Slot("p+1")},
        "p+1": [Slot("p+2")],
        "p+2": [Slot("p+1")],
    }


def test_a_value_that_cannot_be_read_rejects_the_promise() -> None:
    vat = Vat(Client())
    vat.message("ask", PEER)
    vat.liveslots.deliver_notify([("p+1", False, CapData("#[", ()))])
    answer = result(vat.finish())
    assert isinstance(answer, tuple)
    assert answer[1].startswith("what a promise was resolved to cannot be read")


def test_a_chain_of_promises_may_have_any_length() -> None:
    class Chain(Exo):
        async def link(self, length: int, peer: Any) -> Any:
            return self.link(length - 1, peer) if length else E(peer).answer()

    vat = Vat(Chain())
    syscalls = vat.message("link", 5000, PEER)
    assert outcomes(syscalls) == {}
    assert result(vat.notify(("p+1", False, "end"))) == "end"


# --- what E refuses ---------------------------------------------------------------------------------------------------


def test_e_refuses_data() -> None:
    with pytest.raises(TypeError, match="a int is neither"):
        E(7)


def test_e_refuses_private_methods_and_named_arguments() -> None:
    vat = Vat(Client())
    peer = Presence("o-1", None)
    with pytest.raises(AttributeError, match="begins with an underscore"):
        E(peer)._secret()
    for name in ("m" * 1001, "\ud800"):
        with pytest.raises(AttributeError, match="no method can have the name"):
            getattr(E(peer), name)()
    with pytest.raises(TypeError, match="positional arguments only: pass amount of"):
        E(peer).pay(amount=7)
    assert vat.finish() == []


def test_arguments_that_cannot_be_passed_are_an_error_of_the_caller() -> None:
    vat = Vat(Client())
    with pytest.raises(TypeError, match=r"the arguments of pay\(\):\[1\] is of type object"):
        E(Presence("o-1", None)).pay(1, object())
    assert vat.finish() == []
