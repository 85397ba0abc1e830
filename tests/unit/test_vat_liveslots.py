from __future__ import annotations

from typing import Any

import pytest
from vatbench import RESULT, Vat, named, outcomes, result, sent

from kernel.capdata import CapData, Slot, encode
from kernel.vat import E, Exo, Presence, Promise, RemoteError

# --- messages ---


class Greeter(Exo):
    def greet(self, name: str) -> str:
        return f"hello {name}"

    def fail(self) -> None:
        raise ValueError("no, word for word")

    def leave(self) -> None:
        raise SystemExit(3)

    def recurse(self) -> object:
        return self.recurse()

    def exhaust(self) -> int:
        return len(bytearray(1 << 62))

    def unpassable(self) -> object:
        return {"file": object()}


def test_a_method_answers() -> None:
    assert result(Vat(Greeter()).message("greet", "bob")) == "hello bob"


def test_a_message_without_result_is_delivered_and_answered_to_nobody() -> None:
    assert Vat(Greeter()).message("greet", "bob", result=None) == []


def test_an_exception_rejects_with_its_name_and_message_word_for_word() -> None:
    vat = Vat(Greeter())
    assert result(vat.message("fail")) == ("ValueError", "no, word for word")
    [(level, text)] = vat.logged
    assert level == "debug"
    assert text.startswith("Traceback")
    assert "vat/liveslots.py" not in text  # what the vat's author reads is about the vat


@pytest.mark.parametrize(
    ("method", "name"), [("leave", "SystemExit"), ("recurse", "RecursionError"), ("exhaust", "MemoryError")]
)
def test_whatever_a_method_raises_answers_the_message(method: str, name: str) -> None:
    vat = Vat(Greeter())
    answer = result(vat.message(method))
    assert isinstance(answer, tuple)
    assert answer[0] == name
    assert result(vat.message("greet", "bob")) == "hello bob"


def test_a_result_that_cannot_be_passed_is_a_rejection_that_names_the_place() -> None:
    answer = result(Vat(Greeter()).message("unpassable"))
    assert isinstance(answer, tuple)
    assert answer[0] == "TypeError"
    assert answer[1].startswith('the result["file"] is of type object, which cannot be passed')


def test_an_object_that_does_not_exist_any_more_is_a_typed_rejection() -> None:
    answer = result(Vat(Greeter()).message("greet", "bob", target="o+7"))
    assert answer == (
        "NotFoundError",
        "the object does not exist any more: it did not survive the restart of the vat",
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (CapData("#7", ()), "the arguments of greet() are not a list"),
        (CapData("#[", ()), "the arguments of greet() cannot be read"),
        (CapData('#["$0"]', ()), "the arguments of greet() cannot be read: arguments[0] names slot 0"),
    ],
)
def test_arguments_that_cannot_be_read_are_rejected_and_harm_nobody(args: CapData, message: str) -> None:
    vat = Vat(Greeter())
    vat.liveslots.deliver_message("o+0", "greet", args, RESULT)
    answer = result(vat.finish())
    assert isinstance(answer, tuple)
    assert answer[0] == "TypeError"
    assert answer[1].startswith(message)
    assert result(vat.message("greet", "bob")) == "hello bob"


# --- references ---


class Cell(Exo):
    def __init__(self, value: int = 0) -> None:
        self.value = value

    def get(self) -> int:
        return self.value


class Maker(Exo):
    def __init__(self) -> None:
        self.cell = Cell(7)
        self.seen: list[object] = []

    def make(self) -> Cell:
        return self.cell

    def see(self, thing: Any) -> bool:
        self.seen.append(thing)
        return thing is self.cell

    def me(self) -> Exo:
        return self


def test_an_exo_that_is_passed_becomes_an_export_and_can_be_called() -> None:
    vat = Vat(Maker())
    assert result(vat.message("make")) == Slot("o+1", "Alleged: Cell")
    assert result(vat.message("get", target="o+1")) == 7
    assert result(vat.message("make")) == Slot("o+1", "Alleged: Cell")


def test_an_own_export_comes_back_as_the_same_object() -> None:
    vat = Vat(Maker())
    vat.message("make")
    assert result(vat.message("see", Slot("o+1"))) is True


def test_the_root_is_export_zero() -> None:
    assert result(Vat(Maker()).message("me")) == Slot("o+0", "Alleged: Maker")


def test_a_reference_is_one_presence_for_the_whole_incarnation() -> None:
    maker = Maker()
    vat = Vat(maker)
    vat.message("see", Slot("o-1", "Alleged: Bank"))
    vat.message("see", Slot("o-1"))
    vat.message("see", Slot("o-2"))
    first, second, other = maker.seen
    assert isinstance(first, Presence)
    assert first is second
    assert first is not other
    assert repr(first) == "<Presence Alleged: Bank>"


def test_a_presence_has_no_methods_of_its_own_and_says_how_to_send() -> None:
    with pytest.raises(AttributeError, match=r"send with E\(\.\.\.\)\.balance\(\.\.\.\) and await"):
        Presence("o-1", "Alleged: Bank").balance()


def test_the_counters_are_handed_over_with_the_crank() -> None:
    vat = Vat(Maker())
    vat.liveslots.deliver_message("o+0", "make", encode([]), RESULT)
    done = vat.liveslots.finish_crank()
    assert done["nextExport"] == 2
    assert done["nextPromise"] == 1


# --- sending and awaiting ---


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


# --- what E refuses ---


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


# --- bounds ---


class Flood(Exo):
    def __init__(self) -> None:
        self.sent = 0

    def flood(self, peer: Presence) -> None:
        while True:
            E(peer).take("x" * 1000)
            self.sent += 1

    def big(self, size: int) -> str:
        return '"' * size

    def small(self) -> int:
        return 1


def test_what_a_delivery_sends_is_bounded() -> None:
    flood = Flood()
    vat = Vat(flood, crank_bytes=10_000)
    syscalls = vat.message("flood", PEER)
    answer = result(syscalls)
    assert isinstance(answer, tuple)
    assert "would make this delivery send more than 10000 bytes" in answer[1]
    assert len(sent(syscalls)) == flood.sent < 10
    assert result(vat.message("small")) == 1


@pytest.mark.parametrize(("size", "fits"), [(2000, True), (4000, False)])
def test_a_result_counts_as_it_is_written_in_the_frame(size: int, fits: bool) -> None:
    answer = result(Vat(Flood(), crank_bytes=10_000).message("big", size))
    assert isinstance(answer, str) is fits
