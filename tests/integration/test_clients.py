"""The clients of the daemon that strangers use: typed methods, kept connections, time-outs, and errors that say why."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clusters import ECHO, bundle, config
from coroutines import run

from kernel.api import AsyncClient, Client
from kernel.daemon.ensure import ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.errors import (
    ConnectionLostError,
    DaemonForeignError,
    NotFoundError,
    NotRunningError,
    OcapError,
    QuarantinedError,
    RequestTimeoutError,
    RpcError,
    SocketPathError,
)


@pytest.fixture
def daemon(home: Home) -> Home:
    ensure_daemon(home)
    return home


def connections_of(pid: int) -> int:
    """Count the sockets that a daemon's clients hold with it."""
    names = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    held = {name[len("socket:[") : -1] for name in names if name.startswith("socket:[")}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return sum(1 for fields in lines if fields[6] in held and fields[5] == "03" and fields[-1].endswith("daemon.sock"))


# --- both, on a real daemon ----------------------------------------------------------------------------------------


def test_a_blocking_client_does_what_there_is_to_do(daemon: Home, short_tmp: Path) -> None:
    with Client(daemon.socket) as client:
        assert client.ping() == "pong"
        launched = client.launch_subcluster(config(main=bundle(short_tmp, "c")))
        assert client.send(launched.root_kref, "increment") == 1
        assert client.queue_message(launched.root_kref, "read").body == "#1"
        assert client.execute_db_query("SELECT count(*) AS n FROM vats") == [{"n": 1}]
        assert client.get_status()["subclusters"][0]["rootKref"] == launched.root_kref
        client.restart_vat("v1")
        assert client.ping_vat("v1") == "pong"
        client.revoke(launched.root_kref)
        assert client.is_revoked(launched.root_kref)
        client.collect_garbage()
        client.terminate_subcluster(launched.subcluster_id)
        with pytest.raises(NotFoundError) as caught:
            client.terminate_vat("v1")
        assert caught.value.data["rpcCode"] == -32603
        client.clear_state()
        client.terminate_all_vats()
        client.shutdown()


def test_an_asyncio_client_does_what_there_is_to_do(daemon: Home, short_tmp: Path) -> None:
    async def body() -> None:
        async with AsyncClient(daemon.socket) as client:
            assert await client.ping() == "pong"
            launched = await client.launch_subcluster(config(main=bundle(short_tmp, "c")))
            assert await client.send(launched.root_kref, "increment") == 1
            assert (await client.queue_message(launched.root_kref, "read")).body == "#1"
            assert await client.ping_vat("v1") == "pong"
            assert (await client.get_status())["vats"][0]["subclusterId"] == launched.subcluster_id
            with pytest.raises(NotFoundError) as caught:
                await client.send("ko99", "read")
            assert caught.value.data["rpcCode"] == -32603
            with pytest.raises(RpcError, match="no method") as unknown:
                await client.call("nonsense")
            assert unknown.value.data["rpcCode"] == -32601
            await client.shutdown()

    run(body())


def test_a_quarantine_is_mended_through_a_client(home: Home, short_tmp: Path) -> None:
    ensure_daemon(home)
    path = short_tmp / "c.bundle"
    with Client(home.socket) as client:
        launched = client.launch_subcluster(config(main=bundle(short_tmp, "c")))
        client.launch_subcluster(config(main=path.as_uri()))
        stop_daemon(home)
        path.rename(short_tmp / "d.bundle")
        ensure_daemon(home)
        with pytest.raises(QuarantinedError):
            client.send(launched.root_kref, "increment")
        assert [one["id"] for one in client.get_status("quarantined")["subclusters"]] == ["s1", "s2"]
        assert client.get_status("running")["subclusters"] == []
        repaired = client.repair_subcluster("s1", {"main": str(short_tmp / "d.bundle")})
        assert repaired["state"] == "running"
        assert client.send(launched.root_kref, "increment") == 1
        assert [one["id"] for one in client.prune_subcluster(["s2"])] == ["s2"]


def test_a_client_of_a_home_starts_its_daemon_if_asked_to(home: Home) -> None:
    with Client.of_home(home.path) as client, pytest.raises(NotRunningError):
        client.ping()
    with Client.of_home(home.path, start=True) as client:
        pid = client.get_status()["daemon"]["pid"]

    async def body() -> None:
        async with await AsyncClient.of_home(home.path, start=True) as client:
            assert (await client.get_status())["daemon"]["pid"] == pid

    run(body())


def test_a_path_that_fits_no_socket_is_refused_at_once() -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(SocketPathError):
            kind("/tmp/" + "x" * 200)


# --- connections ---------------------------------------------------------------------------------------------------


def test_a_blocking_client_keeps_as_many_connections_as_it_had_calls_at_once(daemon: Home) -> None:
    with Client(daemon.socket) as client:
        pid = client.get_status()["daemon"]["pid"]
        for _ in range(20):
            client.ping()
        assert connections_of(pid) == 1
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(lambda _number: client.ping(), range(200))) == ["pong"] * 200
        assert connections_of(pid) <= 4


def test_an_asyncio_client_has_one_connection_for_any_number_of_calls(daemon: Home, short_tmp: Path) -> None:
    async def body() -> None:
        async with AsyncClient(daemon.socket) as client:
            root = (await client.launch_subcluster(config(main=bundle(short_tmp, "c")))).root_kref
            answers = await asyncio.gather(*(client.send(root, "increment") for _ in range(200)))
            assert sorted(answers) == list(range(1, 201))
            assert connections_of((await client.get_status())["daemon"]["pid"]) == 1

    run(body())


def test_clients_go_on_with_the_next_daemon(daemon: Home) -> None:
    async def body() -> None:
        async with AsyncClient(daemon.socket) as client:
            first = (await client.get_status())["daemon"]["pid"]
            await asyncio.to_thread(stop_daemon, daemon)
            with pytest.raises(NotRunningError):
                await client.ping()
            await asyncio.to_thread(ensure_daemon, daemon)
            assert (await client.get_status())["daemon"]["pid"] != first

    run(body())
    with Client(daemon.socket) as blocking:
        assert blocking.ping() == "pong"
        stop_daemon(daemon)
        with pytest.raises(NotRunningError):
            blocking.ping()
        ensure_daemon(daemon)
        assert blocking.ping() == "pong"


def test_an_asyncio_client_may_be_used_from_one_event_loop_after_another(daemon: Home) -> None:
    client = AsyncClient(daemon.socket)

    async def ping_and_close() -> None:
        assert await client.ping() == "pong"
        await client.close()

    run(ping_and_close())
    run(ping_and_close())


def test_an_asyncio_call_that_is_cancelled_leaves_the_others_alone(daemon: Home, short_tmp: Path) -> None:
    async def body() -> None:
        async with AsyncClient(daemon.socket) as client:
            sleeper = (await client.launch_subcluster(config(main=bundle(short_tmp, "s", ECHO)))).root_kref
            call = asyncio.create_task(client.send(sleeper, "never"))
            assert await client.ping() == "pong"
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await client.ping() == "pong"

    run(body())


# --- time-outs and other ends --------------------------------------------------------------------------------------


def test_what_takes_too_long_is_given_up_after_so_many_seconds(daemon: Home, short_tmp: Path) -> None:
    with Client(daemon.socket) as client:
        root = client.launch_subcluster(config(main=bundle(short_tmp, "s", ECHO))).root_kref
        client.timeout = 0.2
        began = time.monotonic()
        with pytest.raises(RequestTimeoutError, match=r"queueMessage within 0\.2 s"):
            client.send(root, "never")
        assert 0.2 <= time.monotonic() - began < 5
        client.timeout = 20
        assert client.ping() == "pong"

    async def body() -> None:
        async with AsyncClient(daemon.socket, timeout=0.2) as client:
            late = asyncio.create_task(client.send(root, "never"))
            assert await client.ping() == "pong"
            with pytest.raises(RequestTimeoutError, match=r"queueMessage within 0\.2 s"):
                await late

    run(body())


@contextmanager
def listener(path: str, said: bytes) -> Iterator[None]:
    """Have somebody listen who says the same to everybody, and then parts."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def answer() -> None:
            for _ in range(2):
                client, _address = listening.accept()
                with client:
                    client.recv(65536)
                    client.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join(20)


@pytest.mark.parametrize(
    ("said", "expected", "words"),
    [
        (b"220 smtp ready\n", DaemonForeignError, "220 smtp"),
        (b"{}\n", DaemonForeignError, "is not a daemon"),
        (b"", ConnectionLostError, "closed the connection before it answered ping"),
        (b'{"id": 1, "resu', ConnectionLostError, "closed the connection"),
        (b'{"id": null, "error": {"code": -32600, "message": "one at a time"}}\n', RpcError, "one at a time"),
    ],
)
def test_whoever_is_no_daemon_is_told_apart(
    short_tmp: Path, said: bytes, expected: type[OcapError], words: str
) -> None:
    path = str(short_tmp / "s.sock")
    with listener(path, said):
        with Client(path) as client, pytest.raises(expected, match=words):
            client.ping()

        async def body() -> None:
            async with AsyncClient(path) as client:
                with pytest.raises(expected, match=words):
                    await client.ping()

        run(body())


def test_a_listener_whose_backlog_is_full_takes_no_more_connections(short_tmp: Path) -> None:
    path = str(short_tmp / "s.sock")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(path)
        listening.listen(0)
        first.connect(path)
        with Client(path, timeout=0.1) as client, pytest.raises(RequestTimeoutError, match="takes no more connections"):
            client.ping()

        async def body() -> None:
            async with AsyncClient(path, timeout=0.1) as client:
                with pytest.raises(RequestTimeoutError, match="takes no more connections"):
                    await client.ping()

        run(body())


def test_what_json_cannot_carry_is_refused_and_nothing_is_sent(daemon: Home) -> None:
    unsendable: list[Any] = [b"bytes", float("nan"), object()]
    with Client(daemon.socket) as client:
        for value in unsendable:
            with pytest.raises(RpcError, match="queueMessage are not JSON"):
                client.send("ko1", "echo", value)
        assert client.ping() == "pong"

    async def body() -> None:
        async with AsyncClient(daemon.socket) as client:
            for value in unsendable:
                with pytest.raises(RpcError, match="queueMessage are not JSON"):
                    await client.send("ko1", "echo", value)

    run(body())


def test_closing_tells_those_who_wait(daemon: Home, short_tmp: Path) -> None:
    async def body() -> None:
        client = AsyncClient(daemon.socket)
        root = (await client.launch_subcluster(config(main=bundle(short_tmp, "s", ECHO)))).root_kref
        call = asyncio.create_task(client.send(root, "never"))
        await client.ping()
        await client.close()
        with pytest.raises(ConnectionLostError):
            await call

    run(body())
