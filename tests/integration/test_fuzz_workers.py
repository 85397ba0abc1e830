"""The worker pipes, fuzzed from their own schema: what a hostile or broken worker says costs its vat and nothing else.

A real kernel with real workers; the frames go in where the pipe's reader hands them to the engine, as if the vat's own
process had sent them in the middle of a delivery.
"""

from __future__ import annotations

from typing import Any

import pytest
from bench import Bench
from clusters import ECHO
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.errors import VatProtocolError
from kernel.workers.frames import FrameReader, pack

LIMIT = 1000

VREFS = st.sampled_from(
    ["o+0", "o+1", "o+7", "o-1", "o-2", "o-99", "p+1", "p+5", "p-1", "p-99", "o+00", "", "ko1", "d+1", "o+-1"]
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 2**70), st.floats(), st.text(max_size=8), VREFS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)
CAPDATA = st.fixed_dictionaries(
    {
        "body": st.sampled_from(["#[]", "#null", '#"$0"', '#["$0","&1"]', '#{"#error":"x","name":"E"}', "", "#", "#{"])
        | st.text(max_size=8),
        "slots": st.lists(VREFS, max_size=3),
    }
)
VALUES = CAPDATA | ANYTHING
SYSCALLS = st.one_of(
    st.tuples(
        st.just("send"), VREFS, st.sampled_from(["echo", "bootstrap", "x" * 2000, ""]), VALUES, VREFS | st.none()
    ),
    st.tuples(st.just("subscribe"), VREFS),
    st.tuples(st.just("resolve"), st.lists(st.tuples(VREFS, st.booleans(), VALUES), max_size=3) | ANYTHING),
    st.tuples(st.just("baggageSet"), st.text(max_size=5), VALUES),
    st.tuples(st.just("baggageDelete"), st.text(max_size=5) | ANYTHING),
    st.tuples(st.just("durableSet"), VREFS, st.text(max_size=5) | ANYTHING, VALUES),
    st.tuples(st.just("durableDelete"), VREFS | ANYTHING),
    st.tuples(
        st.sampled_from(["dropImports", "retireImports", "retireExports", "abandonExports", "exit"]),
        st.lists(VREFS, max_size=4) | ANYTHING,
    ),
    st.lists(ANYTHING, max_size=4),
)
DONE = st.fixed_dictionaries(
    {"syscalls": st.lists(SYSCALLS, max_size=5) | ANYTHING},
    optional={"nextExport": st.integers(-1, 2**63) | ANYTHING, "nextPromise": st.integers(-1, 2**63) | ANYTHING},
)
FRAMES = st.one_of(
    st.tuples(st.just("done"), DONE),
    st.tuples(st.sampled_from(["started", "failed", "log", "pong", "done", "start", "\0", "x" * 300]), ANYTHING),
    st.lists(ANYTHING, min_size=1, max_size=3),
)


def as_json(value: Any) -> Any:
    """Give what is left of a value when it has gone through the pipe."""
    if isinstance(value, (tuple, list)):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


@settings(
    max_examples=120,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(frames=st.lists(FRAMES, min_size=1, max_size=3))
def test_what_a_worker_says_costs_its_vat_and_nothing_else(hostile: tuple[Bench, str, str], frames: list[Any]) -> None:
    bench, bad, good = hostile
    vats = bench.kernel._vats
    answer = bench.loop.spawn(bench.kernel.queue_message(bad, "never", []))
    answer.add_done_callback(lambda done: done.exception())
    bench.run_until(lambda: any(process.delivery is not None for process in vats._processes.values()))
    (process,) = [process for process in vats._processes.values() if process.delivery is not None]
    for frame in frames:
        vats._on_frame(process, as_json(frame))
    assert bench.send(good, "echo", "still here") == "still here"
    if not process.ended:
        assert process.worker is not None
        process.worker.kill()
        vats.drop(process.vat_id)  # it still spins: whoever waits is answered by the next incarnation, or has been
    bench.kernel._incarnations.finish(process.vat_id)
    with bench.kernel._batch.unit():
        for delivery in bench.store.deliveries.waiting_for(process.vat_id):
            bench.store.deliveries.delete(delivery.id)
    assert bench.store.check() == []
    assert bench.send(bad, "echo", "anew") == "anew"


@pytest.fixture
def hostile(bench: Bench) -> tuple[Bench, str, str]:
    """Give a kernel and two roots: that of the vat whose worker breaks the rules, and that of another."""
    roots = [bench.launch(bench.config({name: bench.bundle(name, ECHO)}))["rootKref"] for name in ("bad", "good")]
    return bench, *roots


@settings(max_examples=300, deadline=None, database=None)
@given(data=st.data())
def test_frames_come_through_in_whatever_pieces(data: st.DataObject) -> None:
    names = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    frames = data.draw(st.lists(st.tuples(names, st.integers(), st.lists(names, max_size=3)).map(as_json), max_size=5))
    stream = b"".join(pack(frame, LIMIT) for frame in frames)
    reader, found = FrameReader(LIMIT), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += list(reader.feed(stream[:size]))
        stream = stream[size:]
    assert found == frames


@settings(max_examples=300, deadline=None, database=None)
@given(pieces=st.lists(st.binary(max_size=50), max_size=8))
def test_bytes_that_are_no_frames_are_a_breach_and_never_held_beyond_the_bound(pieces: list[bytes]) -> None:
    reader = FrameReader(LIMIT)
    try:
        for piece in pieces:
            for frame in reader.feed(piece):
                assert isinstance(frame[0], str)
            assert len(reader._buffer) <= LIMIT + 4
    except VatProtocolError:
        assert pieces  # the one error that there may be: whoever feeds it ends the worker
