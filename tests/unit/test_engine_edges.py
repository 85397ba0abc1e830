"""Edges of the engine's parts, each by itself."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.engine.starts import MAX_STARTING, Starts
from kernel.engine.vat_process import VatProcess
from kernel.errors import IoChannelError, QueryError
from kernel.events import ListLog
from kernel.io import LineChannel
from kernel.loop import Loop
from kernel.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(str(tmp_path / "kernel.sqlite"))
    yield store
    store.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_a_channel_for_which_no_descriptor_is_left_says_so(loop: Loop, short_tmp: Path) -> None:
    channel = LineChannel("line", str(short_tmp / "line.sock"), "inout", loop=loop, log=ListLog())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(IoChannelError, match=r"line\.sock"):
            channel.open()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_channel_whose_path_no_socket_can_have_says_so(loop: Loop) -> None:
    for path in ("/tmp/with\0nul", "/tmp/" + "x" * 200):
        with pytest.raises(IoChannelError):
            LineChannel("line", path, "inout", loop=loop, log=ListLog()).open()


def test_a_query_that_never_ends_is_ended(store: Store) -> None:
    started = time.monotonic()
    with pytest.raises(QueryError, match="seconds"):
        store.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
    assert time.monotonic() - started < 20


def test_only_so_many_vats_start_at_once_and_the_others_have_their_turn() -> None:
    begun: list[VatProcess] = []
    starts = Starts(begun.append)
    processes = [VatProcess(number, "main") for number in range(MAX_STARTING + 3)]
    for process in processes:
        starts.add(process)
    assert begun == processes[:MAX_STARTING]
    processes[MAX_STARTING].ended = True
    starts.over(processes[0])
    starts.over(processes[0])
    assert begun == [*processes[:MAX_STARTING], processes[MAX_STARTING + 1]]
    starts.over(processes[1])
    assert begun[-1] is processes[-1]
