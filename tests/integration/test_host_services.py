"""A program that embeds the kernel gives vats services of its own, and launches system subclusters."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clusters import bundle, config
from coroutines import run
from vat_sources import SERVICE_USER

from kernel.api import CapData, Client, Kernel, Slot
from kernel.daemon.ensure import ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.errors import ConfigError, NotFoundError, NotRunningError, RejectedError, SystemSubclusterError, UsageError

DEPTH: contextvars.ContextVar[str] = contextvars.ContextVar("DEPTH", default="nobody's")


class Host:
    """A service of this program's."""

    def __init__(self) -> None:
        self.kernel: Kernel | None = None
        self.began = asyncio.Event()
        self.cancelled = False
        self.notes = ["one"]
        self.thread = threading.current_thread()

    def where(self) -> list[Any]:
        return [threading.current_thread() is self.thread, DEPTH.get()]

    def all(self) -> list[str]:
        return self.notes

    async def later(self, value: Any) -> Any:
        await asyncio.sleep(0)
        return value

    async def use(self, reference: Slot) -> CapData:
        assert self.kernel is not None
        return await self.kernel.queue_message(reference.id, "read")

    def same(self, reference: Slot) -> Slot:
        return reference

    def fail(self) -> None:
        raise KeyError("no such thing")

    def leave(self) -> None:
        raise SystemExit(3)

    def unpassable(self) -> object:
        return object()

    def _secret(self) -> str:
        return "secret"

    async def never(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def with_services(folder: Path, *services: str) -> dict[str, Any]:
    return {**config(main=bundle(folder, "user", SERVICE_USER)), "services": list(services)}


def test_a_service_is_called_where_the_program_opened_the_kernel(short_tmp: Path) -> None:
    async def body() -> None:
        DEPTH.set("the program's")
        host = Host()
        async with Kernel.open(short_tmp / "h", services={"host": host}) as kernel:
            host.kernel = kernel
            root = (await kernel.launch_subcluster(with_services(short_tmp, "host"))).root_kref
            assert await kernel.send(root, "ask", "host", "where") == [True, "the program's"]
            assert await kernel.send(root, "ask", "host", "all") == ["one"]
            assert await kernel.send(root, "ask", "host", "later", {"a": [2**70, b"b"]}) == {"a": [2**70, b"b"]}
            assert await kernel.send(root, "lend", "host") == "read"
            assert (await kernel.send(root, "ask", "host", "same", Slot(root))).id == root

    run(body())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("fail", r"host\.fail\(\) failed: KeyError: 'no such thing'"),
        ("leave", r"host\.leave\(\) failed: SystemExit: 3"),
        ("unpassable", r"the result of host\.unpassable\(\) is of type object"),
        ("missing", "has no method 'missing'"),
        ("notes", "has no method 'notes'"),
        ("_secret", "cannot be called from outside: _secret"),
        ("same", r"host\.same\(\) failed: TypeError"),
    ],
)
def test_a_service_of_the_program_that_fails_rejects_and_goes_on(short_tmp: Path, method: str, message: str) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h", services={"host": Host()}) as kernel:
            root = (await kernel.launch_subcluster(with_services(short_tmp, "host"))).root_kref
            with pytest.raises(RejectedError, match=message):
                await kernel.send(root, "ask", "host", method)
            assert await kernel.send(root, "ask", "host", "all") == ["one"]

    run(body())


def test_a_call_under_way_when_the_block_ends_is_cancelled_and_rejected_at_the_next_start(short_tmp: Path) -> None:
    host = Host()

    async def body() -> None:
        host.began = asyncio.Event()
        async with Kernel.open(short_tmp / "h", services={"host": host}) as kernel:
            root = (await kernel.launch_subcluster(with_services(short_tmp, "host"))).root_kref
            waiting = asyncio.ensure_future(kernel.send(root, "ask", "host", "never"))
            await host.began.wait()
        assert host.cancelled
        assert asyncio.all_tasks() - {waiting} == {asyncio.current_task()}
        with pytest.raises(NotRunningError):
            await waiting
        async with Kernel.open(short_tmp / "h", services={"host": host}) as kernel:
            assert await kernel.execute_db_query("SELECT * FROM promises WHERE state = 'unresolved'") == []
            assert await kernel.send(root, "ask", "host", "all") == ["one"]

    run(body())


def test_services_may_be_registered_later_and_each_name_once(short_tmp: Path) -> None:
    async def body() -> None:
        async with Kernel.open(short_tmp / "h") as kernel:
            with pytest.raises(ConfigError, match="no kernel service named 'host'"):
                await kernel.launch_subcluster(with_services(short_tmp, "host"))
            await kernel.register_service("host", Host())
            for name in ("host", "timer"):
                with pytest.raises(UsageError, match=name):
                    await kernel.register_service(name, Host())
            root = (await kernel.launch_subcluster(with_services(short_tmp, "host"))).root_kref
        with pytest.raises(UsageError, match="kernelFacet"):
            async with Kernel.open(short_tmp / "h", services={"kernelFacet": Host()}):
                pytest.fail("two services of one name")
        async with Kernel.open(short_tmp / "h") as kernel:
            with pytest.raises(RejectedError, match="nobody has registered the kernel service 'host'"):
                await kernel.send(root, "ask", "host", "all")

    run(body())


def test_a_system_subcluster_has_what_is_for_system_subclusters_only(short_tmp: Path) -> None:
    async def body() -> None:
        wanted = with_services(short_tmp, "vault", "kernelFacet")
        async with Kernel.open(short_tmp / "h", system_services={"vault": Host()}) as kernel:
            with pytest.raises(ConfigError, match="'vault' is for system subclusters only"):
                await kernel.launch_subcluster(wanted)
            with pytest.raises(ConfigError, match="bootstrap"):
                await kernel.launch_system_subcluster("shell", {"vats": {}})
            shell = await kernel.launch_system_subcluster("shell", wanted)
            assert shell["system"] == "shell"
            root = str(shell["rootKref"])
            assert await kernel.send(root, "ask", "vault", "all") == ["one"]
            counter = config(main=bundle(short_tmp, "c"))
            launched = await kernel.send(root, "ask", "kernelFacet", "launchSubcluster", counter)
            assert await kernel.send(launched["rootKref"], "increment") == 1
        async with Kernel.open(short_tmp / "h", system_services={"vault": Host()}) as kernel:
            assert await kernel.launch_system_subcluster("shell", wanted) == shell
            assert [entry["system"] for entry in (await kernel.get_status())["subclusters"]] == ["shell", None]
            await kernel.terminate_system_subcluster("shell")
            with pytest.raises(NotFoundError, match="no system subcluster 'shell'"):
                await kernel.terminate_system_subcluster("shell")
            assert [entry["id"] for entry in (await kernel.get_status())["subclusters"]] == ["s2"]

    run(body())


def test_a_daemon_goes_on_without_the_services_of_the_program(short_tmp: Path) -> None:
    home = Home(short_tmp / "h")

    async def body() -> str:
        async with Kernel.open(home.path, services={"host": Host()}) as kernel:
            return (await kernel.launch_subcluster(with_services(short_tmp, "host"))).root_kref

    root = run(body())
    ensure_daemon(home)
    try:
        with Client.of_home(home.path) as client, pytest.raises(RejectedError, match="nobody has registered"):
            client.send(root, "ask", "host", "all")
    finally:
        stop_daemon(home)


def test_clients_cannot_revoke_or_let_go_of_what_the_program_launched_or_what_that_was_given(short_tmp: Path) -> None:
    home = Home(short_tmp / "h")
    shell = with_services(short_tmp, "host", "line")
    shell["io"] = {"line": {"type": "socket", "path": str(short_tmp / "line")}}

    async def launch() -> tuple[str, str]:
        async with Kernel.open(home.path, services={"host": Host()}) as kernel:
            other = await kernel.launch_subcluster(with_services(short_tmp, "timer"))
            return other.root_kref, str((await kernel.launch_system_subcluster("shell", shell))["rootKref"])

    other, root = run(launch())
    ensure_daemon(home)
    try:
        with Client.of_home(home.path) as client:
            cell = client.send(root, "make").id
            sql = "SELECT object_id FROM channels UNION SELECT object_id FROM services WHERE name = 'host'"
            given = [f"ko{row['object_id']}" for row in client.execute_db_query(sql)]
            assert len(given) == 2
            for kref in (root, cell, *given):
                with pytest.raises(SystemSubclusterError, match=r"s2.*'shell'") as caught:
                    client.revoke(kref)
                assert caught.value.data["subclusterId"] == "s2"
                assert not client.is_revoked(kref)
                client.pin(kref)
                with pytest.raises(SystemSubclusterError, match=r"s2.*'shell'"):
                    client.unpin(kref)
            client.pin(other)
            client.unpin(other)
            client.revoke(other)
            with pytest.raises(NotFoundError):
                client.revoke("ko99")
    finally:
        stop_daemon(home)

    async def revoke() -> None:
        async with Kernel.open(home.path) as kernel:
            await kernel.revoke(root)
            assert await kernel.is_revoked(root)

    run(revoke())


def test_clients_cannot_end_or_replace_what_the_program_launched(short_tmp: Path) -> None:
    home = Home(short_tmp / "h")
    counter = bundle(short_tmp, "c")

    async def launch() -> str:
        async with Kernel.open(home.path) as kernel:
            shell = {**config(main=counter, other=counter), "services": ["kernelFacet"]}
            await kernel.launch_subcluster(config(main=counter))
            return str((await kernel.launch_system_subcluster("shell", shell))["rootKref"])

    root = run(launch())
    ensure_daemon(home)
    try:
        with Client.of_home(home.path) as client:
            refusals: list[Callable[[], object]] = [
                lambda: client.terminate_subcluster("s2"),
                lambda: client.terminate_vat("v3"),
                client.clear_state,
            ]
            for refused in refusals:
                with pytest.raises(SystemSubclusterError, match=r"s2.*'shell'") as caught:
                    refused()
                assert caught.value.data["subclusterId"] == "s2"
                assert [entry["id"] for entry in client.get_status()["subclusters"]] == ["s1", "s2"]
            client.terminate_all_vats()
            assert [entry["id"] for entry in client.get_status()["subclusters"]] == ["s2"]
            assert client.send(root, "increment") == 1
    finally:
        stop_daemon(home)
    (short_tmp / "c.bundle").rename(short_tmp / "d.bundle")
    ensure_daemon(home)
    try:
        with Client.of_home(home.path) as client:
            with pytest.raises(SystemSubclusterError, match="bundles of system subcluster s2"):
                client.repair_subcluster("s2", {"main": str(short_tmp / "d.bundle")})
            with pytest.raises(SystemSubclusterError, match="s2"):
                client.prune_subcluster(["s2"])
            assert client.prune_subcluster(quarantined=True) == []
            (short_tmp / "d.bundle").rename(short_tmp / "c.bundle")
            assert client.repair_subcluster("s2")["state"] == "running"
            assert client.send(root, "read") == 1
    finally:
        stop_daemon(home)

    async def end() -> None:
        async with Kernel.open(home.path) as kernel:
            await kernel.terminate_vat("v3")
            await kernel.clear_state()
            assert (await kernel.get_status())["subclusters"] == []

    run(end())
