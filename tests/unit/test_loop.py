"""The event loop: order, timers on an injected clock, descriptors, coroutines, threads, and lost exceptions."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import pytest

from kernel.loop import Future, Loop, sleep


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def loop() -> Any:
    loop = Loop()
    yield loop
    loop.close()


def run_round(loop: Loop) -> None:
    """Let the loop do what is due now, and no more."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_calls_are_made_in_the_order_in_which_they_were_asked_for(loop: Loop) -> None:
    made: list[int] = []
    for number in range(5):
        loop.call_soon(made.append, number)
    run_round(loop)
    assert made == [0, 1, 2, 3, 4]


def test_a_call_asked_for_by_a_call_waits_for_the_next_round(loop: Loop) -> None:
    made: list[str] = []
    loop.call_soon(lambda: loop.call_soon(made.append, "later"))
    loop.call_soon(made.append, "first")
    run_round(loop)
    assert made == ["first"]
    run_round(loop)
    assert made == ["first", "later"]


def test_timers_fire_by_the_injected_clock_and_in_the_order_of_their_times() -> None:
    clock = Clock()
    loop = Loop(clock)
    made: list[str] = []
    loop.call_later(2.0, made.append, "second")
    loop.call_later(1.0, made.append, "first")
    run_round(loop)
    assert made == []
    clock.now = 3.0
    run_round(loop)
    run_round(loop)
    assert made == ["first", "second"]
    loop.close()


def test_a_cancelled_timer_never_fires() -> None:
    clock = Clock()
    loop = Loop(clock)
    made: list[str] = []
    loop.call_later(1.0, made.append, "never").cancel()
    clock.now = 2.0
    run_round(loop)
    run_round(loop)
    assert made == []
    loop.close()


def test_a_timer_cancelled_in_the_round_in_which_it_is_due_does_not_fire() -> None:
    clock = Clock()
    loop = Loop(clock)
    made: list[str] = []
    second = loop.call_later(2.0, made.append, "second")
    loop.call_later(1.0, second.cancel)
    clock.now = 3.0
    run_round(loop)
    run_round(loop)
    assert made == []
    loop.close()


def test_a_descriptor_is_watched_until_it_is_not(loop: Loop) -> None:
    reader, writer = os.pipe()
    seen: list[bytes] = []

    def on_readable() -> None:
        seen.append(os.read(reader, 10))
        loop.stop()

    loop.add_reader(reader, on_readable)
    os.write(writer, b"one")
    loop.run_forever()
    loop.remove_reader(reader)
    loop.remove_reader(reader)
    os.write(writer, b"two")
    run_round(loop)
    assert seen == [b"one"]
    os.close(reader)
    os.close(writer)


def test_an_event_whose_watcher_was_removed_in_the_same_round_is_skipped(loop: Loop) -> None:
    first, second = os.pipe(), os.pipe()
    seen: list[int] = []

    def on_readable(own: int, other: int) -> None:
        seen.append(own)
        loop.remove_reader(own)
        loop.remove_reader(other)

    loop.add_reader(first[0], on_readable, first[0], second[0])
    loop.add_reader(second[0], on_readable, second[0], first[0])
    os.write(first[1], b"x")
    os.write(second[1], b"x")
    run_round(loop)
    run_round(loop)
    assert len(seen) == 1
    for descriptor in (*first, *second):
        os.close(descriptor)


def test_a_descriptor_can_be_read_and_written_at_once(loop: Loop) -> None:
    reader, writer = os.pipe()
    loop.add_writer(writer, loop.stop)
    loop.run_forever()
    loop.remove_writer(writer)
    run_round(loop)
    os.close(reader)
    os.close(writer)


def test_a_coroutine_gives_its_result_and_its_exception(loop: Loop) -> None:
    async def answer() -> int:
        await sleep(loop, 0.001)
        return 42

    async def fail() -> None:
        await sleep(loop, 0.001)
        raise KeyError("k")

    assert loop.run_until_complete(answer()) == 42
    with pytest.raises(KeyError):
        loop.run_until_complete(fail())


def test_blocking_work_runs_beside_the_loop_and_gives_its_result_or_its_exception(loop: Loop) -> None:
    here = threading.get_ident()
    assert loop.run_until_complete(_await(loop.run_in_thread(threading.get_ident))) != here
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(_await(loop.run_in_thread(lambda: 1 // 0)))


async def _await(future: Future[Any]) -> Any:
    return await future


def test_an_exception_out_of_a_callback_reaches_on_unhandled_and_the_loop_goes_on(loop: Loop) -> None:
    seen: list[BaseException] = []
    made: list[str] = []
    loop.on_unhandled = seen.append
    loop.call_soon(lambda: 1 // 0)
    loop.call_soon(made.append, "after")
    run_round(loop)
    assert [type(error) for error in seen] == [ZeroDivisionError]
    assert made == ["after"]


def test_an_exception_of_a_coroutine_that_nobody_awaits_reaches_on_unhandled_at_once(loop: Loop) -> None:
    async def fail() -> None:
        raise ValueError("nobody looks")

    seen: list[BaseException] = []
    loop.on_unhandled = seen.append
    gc.disable()  # reference counting alone must do
    try:
        loop.spawn(fail())
        run_round(loop)
        run_round(loop)
    finally:
        gc.enable()
    assert [str(error) for error in seen] == ["nobody looks"]


def test_a_future_is_settled_once_and_read_only_when_it_is(loop: Loop) -> None:
    future: Future[int] = loop.create_future()
    with pytest.raises(RuntimeError):
        future.result()
    with pytest.raises(RuntimeError):
        future.exception()
    future.set_result(1)
    with pytest.raises(RuntimeError):
        future.set_result(2)
    assert future.result() == 1
    assert future.exception() is None


def test_many_coroutines_may_wait_for_one_future(loop: Loop) -> None:
    gate: Future[str] = loop.create_future()
    waiting = [loop.spawn(_await(gate)) for _ in range(10)]
    loop.call_soon(gate.set_result, "open")

    async def all_of_them() -> list[str]:
        return [await one for one in waiting]

    assert loop.run_until_complete(all_of_them()) == ["open"] * 10


def test_a_call_from_another_thread_wakes_the_loop(loop: Loop) -> None:
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(loop.stop))
    thread.start()
    loop.run_forever()
    thread.join()


def test_closing_twice_is_harmless_and_calls_after_it_are_dropped() -> None:
    loop = Loop()
    loop.close()
    loop.close()
    loop.call_soon_threadsafe(print, "never")
