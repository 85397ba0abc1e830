"""Nothing grows with use: neither the daemon's memory, nor its workers', nor what lies in the home."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kernel.bundle import build_bundle
from kernel.daemon.client import Client
from kernel.daemon.ensure import ensure_daemon, stop_daemon
from kernel.daemon.home import Home

PAIR = """
    from kernel.vat import E, Exo

    class Token(Exo):
        pass

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        async def bootstrap(self, vats, services):
            self.baggage["peer"] = vats["peer"]

        async def pass_on(self, number: int) -> int:
            return await E(self.baggage["peer"]).count(Token(), number)

        def count(self, token, number: int) -> int:
            self.baggage["last"] = number
            return number

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""

ALLOWANCE = 2 * 1024 * 1024
"""How many bytes a process may have more after ten times as many messages: what allocators keep for themselves."""

SETTLING = 4 * 1024 * 1024
"""How many bytes the template takes once, when it executes what it holds: see ``kernel.workers.held``."""


@pytest.fixture
def home(short_tmp: Path) -> Iterator[Home]:
    home = Home(str(short_tmp / "h"))
    yield home
    stop_daemon(home)


def launch(home: Home, folder: Path) -> str:
    (folder / "pair.py").write_text(textwrap.dedent(PAIR))
    bundle = folder / "pair.bundle"
    bundle.write_bytes(build_bundle(str(folder / "pair.py")))
    vat = {"bundleSpec": bundle.as_uri()}
    with Client(home.socket) as client:
        launched = client.call(
            "launchSubcluster", {"config": {"bootstrap": "root", "vats": {"root": vat, "peer": vat}}}
        )
    return str(launched["rootKref"])


def memory(pid: int) -> dict[str, int]:
    """Give the bytes of memory of the daemon, its template and its workers, each by name."""
    daemon = psutil.Process(pid)
    return {
        f"{number} {process.name()}": process.memory_info().rss
        for number, process in enumerate([daemon, *daemon.children(recursive=True)])
    }


@pytest.mark.parametrize("messages", [100, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])])
def test_messages_that_pass_fresh_objects_leave_nothing_in_memory_or_store(
    home: Home, short_tmp: Path, messages: int
) -> None:
    pid = ensure_daemon(home).pid
    root = launch(home, short_tmp)
    with Client(home.socket) as client:

        def send(count: int) -> tuple[dict[str, int], int]:
            for number in range(count):
                answer = client.call("queueMessage", [root, "pass_on", [number]])
                assert answer["body"] == f"#{number}"
            rows = client.call(
                "executeDBQuery",
                ["SELECT (SELECT count(*) FROM objects) + (SELECT count(*) FROM promises) AS n"],
            )
            return memory(pid), rows[0]["n"]

        early, rows_early = send(messages)
        late, rows_late = send(messages * 9)

    assert abs(rows_late - rows_early) <= 100
    assert late.keys() == early.keys()
    allowed = {name: ALLOWANCE + SETTLING * name.endswith("template") for name in late}
    assert {name: late[name] - early[name] for name in late if late[name] - early[name] > allowed[name]} == {}


@pytest.mark.parametrize("starts", [3, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])])
def test_a_home_that_was_started_ten_times_as_often_is_no_larger(
    home: Home, short_tmp: Path, monkeypatch: pytest.MonkeyPatch, starts: int
) -> None:
    monkeypatch.setenv("OCAP_LOG_BYTES", "300")
    ensure_daemon(home)
    root = launch(home, short_tmp)
    stop_daemon(home)

    def live(count: int) -> tuple[dict[str, int], int]:
        used = 0
        for number in range(count):
            pid = ensure_daemon(home).pid
            with Client(home.socket) as client:
                assert client.call("queueMessage", [root, "pass_on", [number]])["body"] == f"#{number}"
            used = memory(pid)[f"0 {psutil.Process(pid).name()}"]
            stop_daemon(home)
        return {path.name: path.stat().st_size for path in Path(home.path).rglob("*")}, used

    early, used_early = live(starts)
    late, used_late = live(starts * 9)

    assert late.keys() == early.keys()
    page = os.sysconf("SC_PAGE_SIZE")
    logs = {name for name in late if name.startswith("daemon.log")}
    assert len(logs) == 4
    assert {name: (early[name], late[name]) for name in late.keys() - logs if late[name] > early[name] + page} == {}
    assert all(late[name] < 10_000 for name in logs)
    assert used_late < used_early + ALLOWANCE
