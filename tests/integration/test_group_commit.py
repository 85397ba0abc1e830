"""When the kernel commits: messages that are under way together share a commit, and none waits for long."""

from __future__ import annotations

from typing import Any

import pytest
from bench import Bench

from kernel.capdata import decode

SPINNING = """
    from kernel.vat import Exo

    class Root(Exo):
        def spin(self) -> None:
            while True:
                pass

    def build_root_object(vat_powers, parameters, baggage):
        return Root()
"""


def commits(bench: Bench) -> list[str]:
    """Give the list in which every commit from now on is noted."""
    noted: list[str] = []

    def note(statement: str) -> None:
        if statement == "COMMIT":
            noted.append(statement)

    bench.store.connection.set_trace_callback(note)
    return noted


def test_messages_that_are_under_way_together_share_a_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = bench.launch_counter("c1")["rootKref"]
    bench.send(counter, "increment")  # its worker is there
    monkeypatch.setattr(bench.loop, "_clock", lambda: 0.0)  # however busy the machine is, nothing takes any time
    noted = commits(bench)

    async def answers() -> list[Any]:
        sent = [bench.loop.spawn(bench.kernel.queue_message(counter, "increment", [])) for _ in range(64)]
        return [decode(await answer) for answer in sent]

    assert bench.run(answers()) == list(range(2, 66))
    assert len(noted) == 1


def test_answers_are_held_back_for_a_few_milliseconds_only(bench: Bench) -> None:
    counter = bench.launch_counter("c1")["rootKref"]
    first = bench.loop.spawn(bench.kernel.queue_message(counter, "increment", []))
    others = [bench.loop.spawn(bench.kernel.queue_message(counter, "increment", [])) for _ in range(500)]

    bench.run_until(first.done)

    assert not others[-1].done()
    bench.run_until(others[-1].done)


def test_a_message_alone_is_committed_before_it_is_answered(bench: Bench) -> None:
    counter = bench.launch_counter("c1")["rootKref"]
    bench.send(counter, "increment")
    for _ in range(3):
        noted = commits(bench)

        bench.send(counter, "increment")

        assert noted
        assert not bench.store.dirty


def test_an_answer_does_not_wait_for_another_vat_that_works_for_long(bench: Bench) -> None:
    counter = bench.launch_counter("c1")["rootKref"]
    spinner = bench.launch(bench.config({"main": bench.bundle("spinner", SPINNING)}))["rootKref"]
    bench.send(counter, "increment")
    spinning = bench.loop.spawn(bench.kernel.queue_message(spinner, "spin", []))

    for expected in (2, 3, 4):
        assert bench.send(counter, "increment") == expected

    assert not spinning.done()
