"""A kernel in this process: the daemon's engine and its answers, without the daemon."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from clusters import ECHO, bundle, config
from coroutines import run

from kernel.api import CapData, Kernel, KernelOptions, RemoteError, Slot, Tagged
from kernel.daemon.ensure import daemon_status, ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.errors import (
    ConfigError,
    DaemonForeignError,
    DaemonRunningError,
    LaunchError,
    NotFoundError,
    NotRunningError,
    OcapError,
    QueryError,
    RejectedError,
    RevokedError,
    RpcError,
)
from kernel.events import ListLog


async def ask_for_ever(kernel: Kernel) -> None:
    while True:
        await kernel.ping()


def test_what_was_done_in_one_block_is_there_in_the_next(short_tmp: Path) -> None:
    async def first() -> str:
        async with Kernel.open(short_tmp / "h") as kernel:
            assert kernel.home == str(short_tmp / "h")
            launched = await kernel.launch_subcluster(config(main=bundle(short_tmp, "c")))
            assert launched.subcluster_id == "s1"
            assert launched.bootstrap_result == CapData("#null", ())
            assert await kernel.send(launched.root_kref, "increment") == 1
            return launched.root_kref

    async def second(root: str) -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            assert await kernel.send(root, "increment") == 2

    root = run(first())
    run(second(root))


def test_each_method_does_what_its_twin_on_the_wire_does(short_tmp: Path) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            assert await kernel.ping() == "pong"
            launched = await kernel.launch_subcluster(config(a=bundle(short_tmp, "a"), b=bundle(short_tmp, "b")))
            status = await kernel.get_status()
            assert [vat["id"] for vat in status["vats"]] == ["v1", "v2"]
            assert status["subclusters"][0]["rootKref"] == launched.root_kref
            assert status["daemon"]["pid"] == os.getpid()
            assert status["daemon"]["state"] == "ready"
            assert await kernel.queue_message(launched.root_kref, "increment") == CapData("#1", ())
            assert await kernel.ping_vat("v1") == "pong"
            await kernel.restart_vat("v1")
            assert await kernel.send(launched.root_kref, "read") == 1
            await kernel.collect_garbage()
            rows = await kernel.execute_db_query("SELECT count(*) AS n FROM vats")
            assert rows == [{"n": 2}]
            await kernel.terminate_vat("v2")
            assert await kernel.is_revoked(launched.root_kref) is False
            await kernel.revoke(launched.root_kref)
            assert await kernel.is_revoked(launched.root_kref) is True
            with pytest.raises(RevokedError):
                await kernel.send(launched.root_kref, "read")
            await kernel.terminate_subcluster("s1")
            await kernel.launch_subcluster(config(main=bundle(short_tmp, "d")))
            await kernel.terminate_all_vats()
            await kernel.launch_subcluster(config(main=bundle(short_tmp, "d")))
            await kernel.clear_state()
            assert (await kernel.get_status())["subclusters"] == []

    run(body())


def test_errors_are_the_wires_own(short_tmp: Path) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            launched = await kernel.launch_subcluster(config(main=bundle(short_tmp, "e", ECHO)))
            with pytest.raises(RejectedError, match=r"^so it is$") as rejected:
                await kernel.send(launched.root_kref, "fail", "so it is")
            assert rejected.value.data["errorName"] == "ValueError"
            with pytest.raises(NotFoundError, match="ko99"):
                await kernel.send("ko99", "echo")
            with pytest.raises(ConfigError, match="bootstrap"):
                await kernel.launch_subcluster({"vats": {}})
            with pytest.raises(LaunchError, match=r"none\.bundle does not exist"):
                await kernel.launch_subcluster(config(main=(short_tmp / "none.bundle").as_uri()))
            with pytest.raises(QueryError):
                await kernel.execute_db_query("DELETE FROM vats")
            with pytest.raises(RpcError, match="'id' of terminateVat has to be a string"):
                await kernel.terminate_vat(7)  # type: ignore[arg-type]  # what is tried
            with pytest.raises(RpcError, match="no method 'nonsense'"):
                await kernel.call("nonsense")

    run(body())


def test_anything_that_can_be_passed_can_be_sent_references_too(short_tmp: Path) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            echo = (await kernel.launch_subcluster(config(main=bundle(short_tmp, "e", ECHO)))).root_kref
            counter = (await kernel.launch_subcluster(config(main=bundle(short_tmp, "c")))).root_kref
            for value in (b"\x00\xff", 10**5000, Tagged("copySet", [1]), RemoteError("TypeError", "no"), "$0", -0.0):
                assert await kernel.send(echo, "echo", value) == value
            assert await kernel.send(echo, "ask", Slot(counter), "increment") == 1
            given = await kernel.send(echo, "echo", Slot(counter))
            assert given.id == counter
            with pytest.raises(NotFoundError, match="no object ko99"):
                await kernel.send(echo, "echo", Slot("ko99"))
            with pytest.raises(OcapError, match="cannot be passed"):
                await kernel.send(echo, "echo", object())

    run(body())


def test_calls_of_many_coroutines_and_threads_go_on_side_by_side(short_tmp: Path) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            root = (await kernel.launch_subcluster(config(main=bundle(short_tmp, "c")))).root_kref
            answers = await asyncio.gather(*(kernel.send(root, "increment") for _ in range(50)))
            assert sorted(answers) == list(range(1, 51))
            from_a_thread: list[int] = []

            def other_thread() -> None:
                from_a_thread.append(asyncio.run(kernel.send(root, "increment")))

            thread = threading.Thread(target=other_thread)
            thread.start()
            await asyncio.to_thread(thread.join)
            assert from_a_thread == [51]

    run(body())


def test_after_the_block_every_method_says_that_the_kernel_is_closed(short_tmp: Path) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            pass
        with pytest.raises(NotRunningError, match="has been closed"):
            await kernel.ping()
        async with Kernel.open(short_tmp / "h") as kernel:
            await kernel.shutdown()
            with pytest.raises(NotRunningError):
                await ask_for_ever(kernel)

    run(body())


def test_whoever_still_waits_when_the_block_ends_is_told(short_tmp: Path) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            root = (await kernel.launch_subcluster(config(main=bundle(short_tmp, "e", ECHO)))).root_kref
            waiting = asyncio.create_task(kernel.send(root, "never"))
            await kernel.ping()
        with pytest.raises(NotRunningError, match="has been closed"):
            await waiting

    run(body())


def test_a_cancelled_call_gives_up_waiting_and_nothing_else(short_tmp: Path) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            root = (await kernel.launch_subcluster(config(main=bundle(short_tmp, "c")))).root_kref
            call = asyncio.create_task(kernel.send(root, "increment"))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await kernel.send(root, "increment") == 2

    run(body())


def test_a_block_that_is_cancelled_leaves_the_home_to_the_next(short_tmp: Path) -> None:
    async def body() -> None:
        opened = asyncio.Event()

        async def hold() -> None:
            async with Kernel.open(short_tmp / "h"):
                opened.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await opened.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with Kernel.open(short_tmp / "h") as kernel:
            assert await kernel.ping() == "pong"

    run(body())


def test_a_home_has_one_kernel_in_whatever_process(short_tmp: Path) -> None:
    home = Home(short_tmp / "h")

    async def body() -> None:
        async with Kernel.open(home.path):
            with pytest.raises(DaemonRunningError, match=rf"pid {os.getpid()}.*already runs the kernel"):
                async with Kernel.open(home.path):
                    pytest.fail("two kernels on one home")
            for ask in (daemon_status, ensure_daemon, stop_daemon):
                with pytest.raises(DaemonForeignError, match=rf"runs inside pid {os.getpid()}"):
                    ask(home)

    run(body())
    state = ensure_daemon(home)
    try:

        async def beside_a_daemon() -> None:
            with pytest.raises(DaemonRunningError, match=f"pid {state.pid}"):
                async with Kernel.open(home.path):
                    pytest.fail("a kernel beside a daemon")

        run(beside_a_daemon())
    finally:
        stop_daemon(home)


def test_a_home_whose_program_was_killed_is_opened_as_if_nothing_had_been(short_tmp: Path) -> None:
    url = bundle(short_tmp, "c")
    program = f"""
import asyncio, os, signal
from kernel.api import Kernel

async def main():
    async with Kernel.open({str(short_tmp / "h")!r}) as kernel:
        launched = await kernel.launch_subcluster({config(main=url)!r})
        print(await kernel.send(launched.root_kref, "increment"), launched.root_kref, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    answered, root = done.stdout.split()
    assert answered == "1"

    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            assert await kernel.send(root, "increment") == 2

    run(body())


def test_what_cannot_be_restored_is_quarantined_repaired_and_pruned(short_tmp: Path) -> None:
    url = bundle(short_tmp, "c")
    path = short_tmp / "c.bundle"

    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            root = (await kernel.launch_subcluster(config(main=url))).root_kref
            await kernel.send(root, "increment")
            await kernel.launch_subcluster(config(main=url))
        path.rename(short_tmp / "elsewhere.bundle")
        async with Kernel.open(short_tmp / "h") as kernel:
            status = await kernel.get_status()
            assert status["daemon"]["state"] == "degraded"
            assert [entry["state"] for entry in status["subclusters"]] == ["quarantined"] * 2
            repaired = await kernel.repair_subcluster("s1", {"main": str(short_tmp / "elsewhere.bundle")})
            assert repaired["state"] == "running"
            assert await kernel.send(root, "increment") == 2
            (pruned,) = await kernel.prune_subcluster(quarantined=True)
            assert pruned["id"] == "s2"
            assert pruned["names"] == {"main": "v2"}

    run(body())


def test_a_store_that_cannot_be_opened_is_the_blocks_error_and_the_home_is_let_go(short_tmp: Path) -> None:
    home = short_tmp / "h"
    home.mkdir(mode=0o700)
    (home / "kernel.sqlite").write_bytes(b"this is no database, and it is long enough to be looked at as one " * 20)

    async def body() -> None:
        for _ in range(2):
            with pytest.raises(OcapError) as caught:
                async with Kernel.open(home):
                    pytest.fail("opened a store that is none")
            assert str(home / "kernel.sqlite") in caught.value.message

    run(body())


def test_the_kernel_reports_to_the_standard_library_or_wherever_it_is_told(
    short_tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = ListLog()

    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            await kernel.launch_subcluster(config(main=bundle(short_tmp, "c")))
        (short_tmp / "c.bundle").unlink()
        async with Kernel.open(short_tmp / "h"):
            pass
        async with Kernel.open(short_tmp / "h", log=log):
            pass

    with caplog.at_level(logging.INFO, logger="kernel"):
        run(body())
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "subcluster.quarantined"]
    assert record.levelno == logging.WARNING
    assert "c.bundle" in record.getMessage()
    assert len(log.named("subcluster.quarantined")) == 1


def test_bounds_are_the_programs_to_choose(short_tmp: Path) -> None:
    async def body() -> None:
        options = KernelOptions(delivery_timeout=0.3)
        async with Kernel.open(short_tmp / "h", options=options) as kernel:
            root = (await kernel.launch_subcluster(config(main=bundle(short_tmp, "e", ECHO)))).root_kref
            with pytest.raises(OcapError, match=r"0\.3 s"):
                await kernel.send(root, "never")

    run(body())


def test_a_defect_of_the_engine_reaches_whoever_runs_it(short_tmp: Path) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            engine = kernel._engine
            engine._loop.call_soon_threadsafe(_defect)
            with pytest.raises(NotRunningError) as caught:
                await ask_for_ever(kernel)
            assert isinstance(caught.value.__cause__, ZeroDivisionError)

    with pytest.raises(ZeroDivisionError):
        run(body())


def _defect() -> None:
    raise ZeroDivisionError("a defect of ours")
