"""Promises, references and errors between real vats, by way of the real kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kernel.errors import RejectedError

if TYPE_CHECKING:
    from bench import Bench

ALICE = """
    from kernel.vat import E, Exo, RemoteError

    class Receiver(Exo):
        def __init__(self):
            self.got = []

        def take(self, thing: object) -> int:
            self.got.append(thing)
            return len(self.got)

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage
            self.receiver = Receiver()

        def bootstrap(self, vats, services):
            self.baggage["bob"] = vats["bob"]

        @property
        def bob(self):
            return E(self.baggage["bob"])

        async def relay(self, value):
            return await self.bob.echo(value)

        def forward(self, value):
            return self.bob.echo(value)

        async def twice(self):
            first, second = self.bob.echo(1), self.bob.echo(2)
            return [await second, await first]

        async def pipelined(self):
            return await E(E(self.bob.make(5)).again()).read()

        async def pipelined_into_data(self):
            return await E(self.bob.echo(5)).read()

        async def caught(self):
            try:
                await self.bob.fail("no, #word for 'word'")
            except RemoteError as error:
                return [error.name, error.message]

        async def caught_code(self):
            try:
                return await self.bob.echo("here")
            except RemoteError as error:
                return [error.name, error.code]

        def failing(self):
            return self.bob.fail("no, #word for 'word'")

        async def promise_as_argument(self):
            return await self.bob.wait_for(self.bob.echo("late"))

        async def promise_in_an_answer(self):
            answer = await self.bob.later("there")
            return await answer["promise"]

        async def identity(self):
            returned = await self.bob.echo(self.receiver)
            first, second = await self.bob.make(1), await self.bob.give_last()
            return [returned is self.receiver, first is second, await E(returned).take(3)]

        async def settled_promises_passed_on(self):
            inner = self.bob.echo("x")
            await inner
            outer = self.bob.echo([inner, 1])
            await outer
            return await self.bob.unwrap({"inner": inner, "outer": outer})

        async def promises_in_a_circle(self):
            from_first, from_second = self.bob.open(0), self.bob.open(1)
            self.bob.settle(0, [from_second])
            self.bob.settle(1, [from_first])
            [second] = await from_first
            [first] = await from_second
            [second_again] = await first
            [first_again] = await second
            return "round"

        async def circle_passed_on(self):
            first, second = self.bob.open(0), self.bob.open(1)
            self.bob.settle(0, [second])
            self.bob.settle(1, [first])
            await first
            await second
            return await self.bob.walk(first, 6)

        async def to_itself(self):
            return await E(self).twice_as_much(4)

        async def caught_from_itself(self):
            try:
                await E(self).refuse()
            except RemoteError as error:
                return [error.name, error.message]

        def refuse(self):
            raise ValueError("no, #word for 'word'")

        def twice_as_much(self, value: int) -> int:
            return 2 * value

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""

BOB = """
    from kernel.vat import E, Exo

    class Cell(Exo):
        def __init__(self, value):
            self.value = value

        def again(self):
            return Cell(self.value + 1)

        def read(self):
            return self.value

    class Root(Exo):
        def __init__(self):
            self.last = None
            self.values = {}

        def echo(self, value):
            return value

        def fail(self, text: str):
            raise KeyError(text) if text == "key" else ValueError(text)

        def make(self, value: int):
            self.last = Cell(value)
            return self.last

        def give_last(self):
            return self.last

        async def wait_for(self, promise: object):
            return "got " + await promise

        def later(self, value):
            return {"promise": E(self).echo(value)}

        async def unwrap(self, value):
            inner, [inner_again, one] = await value["inner"], await value["outer"]
            return [inner, await inner_again, one]

        async def open(self, number: int):
            while number not in self.values:
                await E(self).echo(None)
            return self.values[number]

        def settle(self, number: int, value):
            self.values[number] = value

        async def walk(self, promise: object, steps: int):
            for step in range(steps):
                [promise] = await promise
            return "walked"

    def build_root_object(vat_powers, parameters, baggage):
        return Root()
"""


@pytest.fixture
def alice(bench: Bench) -> str:
    launched = bench.launch(bench.config({"alice": bench.bundle("alice", ALICE), "bob": bench.bundle("bob", BOB)}))
    return str(launched["rootKref"])


@pytest.mark.parametrize("value", [None, True, 7, 2**70, -0.5, float("inf"), "#text", b"\x00", [1, {"a": []}]])
def test_values_pass_through_two_vats(bench: Bench, alice: str, value: object) -> None:
    assert bench.send(alice, "relay", value) == value
    assert bench.send(alice, "forward", value) == value


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("twice", [2, 1]),
        ("pipelined", 6),
        ("caught", ["ValueError", "no, #word for 'word'"]),
        ("promise_as_argument", "got late"),
        ("promise_in_an_answer", "there"),
        ("identity", [True, True, 1]),
        ("settled_promises_passed_on", ["x", "x", 1]),
        ("promises_in_a_circle", "round"),
        ("circle_passed_on", "walked"),
        ("to_itself", 8),
        ("caught_from_itself", ["ValueError", "no, #word for 'word'"]),
    ],
)
def test_an_exchange_between_vats(bench: Bench, alice: str, method: str, answer: Any) -> None:
    assert bench.send(alice, method) == answer
    assert bench.send(alice, "relay", "and then") == "and then"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("failing", "no, #word for 'word'"),
        ("pipelined_into_data", "messages can be sent to objects only"),
        ("missing", "Root has no method 'missing'"),
        ("_private", "Root has no method '_private'"),
    ],
)
def test_a_failure_reaches_the_caller_word_for_word(bench: Bench, alice: str, method: str, message: str) -> None:
    with pytest.raises(RejectedError) as caught:
        bench.send(alice, method)
    assert message in caught.value.message


def test_a_vat_can_tell_by_its_code_why_the_kernel_rejected_a_message(bench: Bench, alice: str) -> None:
    assert bench.send(alice, "caught_code") == "here"
    bench.run(bench.kernel.terminate_vat(bench.subcluster("s1")["vats"]["bob"]))
    assert bench.send(alice, "caught_code") == ["VatTerminatedError", "vat-terminated"]


def test_arguments_are_checked_before_the_method_runs(bench: Bench, alice: str) -> None:
    with pytest.raises(RejectedError, match="takes int as argument 'value', not str"):
        bench.send(alice, "twice_as_much", "4")


EXCHANGES = ("twice", "pipelined", "caught", "promise_in_an_answer", "to_itself", "caught_from_itself")


def test_nothing_is_left_over_when_all_is_answered(bench: Bench, alice: str) -> None:
    for method in EXCHANGES:
        bench.send(alice, method)
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    before = bench.rows("promises")
    for method in EXCHANGES:
        bench.send(alice, method)
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.rows("promises") == before
