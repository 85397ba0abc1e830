"""Bad input: clients and vats that misbehave, stores edited by hand.  Each is answered, and the rest goes on."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from bench import Bench
from clusters import ECHO, bundle, config
from coroutines import run

from kernel.api import Client
from kernel.daemon.ensure import ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.errors import OcapError, RejectedError, VatError, VatProtocolError

# --- clients -------------------------------------------------------------------------------------------------------


@pytest.fixture
def daemon(home: Home) -> Home:
    ensure_daemon(home)
    return home


def test_clients_that_leave_in_the_middle_of_a_line_cost_nothing(daemon: Home) -> None:
    for _ in range(300):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(daemon.socket)
            client.sendall(b'{"id": 1, "method": "getSta')
    with Client(daemon.socket) as other:
        assert other.ping() == "pong"


def test_clients_that_never_read_are_left_to_themselves(daemon: Home) -> None:
    deaf = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for client in deaf:
        client.connect(daemon.socket)
        client.setblocking(False)
        request = b'{"id": 1, "method": "executeDBQuery", "params": ["SELECT hex(zeroblob(100000)) AS z"]}\n'
        try:
            while True:
                client.send(request * 100)
        except BlockingIOError:
            pass
    with Client(daemon.socket, timeout=60) as other:
        status = other.get_status()
        assert psutil.Process(status["daemon"]["pid"]).memory_info().rss < 400 * 1024 * 1024
    for client in deaf:
        client.close()


async def _ask(path: str, outcomes: Counter[str]) -> None:
    """Ask for a sign of life until there is one, and count what came instead."""
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        while (code := connection.connect_ex(path)) == errno.EAGAIN:  # noqa: ASYNC110 - no event tells of a backlog
            await asyncio.sleep(0.01)
        assert code == 0, errno.errorcode[code]
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            writer.write(b'{"id": 1, "method": "ping"}\n')
            line = await reader.readline()
        except ConnectionError:
            line = b""
        finally:
            writer.transport.abort()
        answer = json.loads(line) if line else {}
        if answer.get("result") == "pong":
            outcomes["pong"] += 1
            return
        outcomes[answer["error"]["message"] if answer else "parted"] += 1
        await asyncio.sleep(0.05)


async def _ask_all(path: str, count: int) -> Counter[str]:
    outcomes = Counter[str]()
    await asyncio.gather(*(_ask(path, outcomes) for _ in range(count)))
    return outcomes


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_however_many_come_at_once_all_are_answered_in_the_end(daemon: Home, count: int) -> None:
    outcomes = run(_ask_all(daemon.socket, count))
    assert outcomes.pop("pong") == count
    assert all(words == "parted" or "connections already" in words for words in outcomes), outcomes
    with Client(daemon.socket) as other:
        pid = other.get_status()["daemon"]["pid"]
    assert psutil.Process(pid).memory_info().rss < 400 * 1024 * 1024


# --- vats ----------------------------------------------------------------------------------------------------------

FLOODS = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def flood_the_log(self):
            for number in range(2_000_000):
                print("x" * 1000)

        def flood_the_queue(self):
            for number in range(20_000):
                E(self).echo(number)

        def flood_the_store(self):
            self.baggage["much"] = "x" * 50_000_000

        def flood_the_caller(self):
            return "x" * 50_000_000

        def flood_with_promises(self):
            return [E(self).echo(number) for number in range(20_000)]

        def echo(self, value):
            return value

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""


@pytest.mark.parametrize(
    "flood", ["flood_the_log", "flood_the_queue", "flood_the_store", "flood_the_caller", "flood_with_promises"]
)
def test_a_vat_that_floods_is_stopped_and_the_others_go_on(bench: Bench, flood: str) -> None:
    bench.reopen(delivery_timeout=5.0)
    bad = bench.launch(bench.config({"bad": bench.bundle("bad", FLOODS)}))["rootKref"]
    good = bench.launch(bench.config({"good": bench.bundle("good", ECHO)}))["rootKref"]
    flooding = bench.loop.spawn(bench.kernel.queue_message(bad, flood, []))
    flooding.add_done_callback(lambda done: done.exception())
    assert bench.send(good, "echo", "meanwhile") == "meanwhile"
    bench.run_until(flooding.done)
    error = flooding.exception()
    assert error is None or isinstance(error, (VatError, RejectedError)), repr(error)
    if flood != "flood_the_log":
        assert error is not None
    assert bench.send(bad, "echo", "after") == "after"
    assert sum(len(str(record)) for record in bench.log.records) < 4_000_000
    assert bench.rows("deliveries") == 0


def test_a_worker_that_answers_twice_is_ended_and_its_first_answer_counts(bench: Bench) -> None:
    root = bench.launch(bench.config({"main": bench.bundle("main", ECHO)}))["rootKref"]
    assert bench.send(root, "echo", 1) == 1
    vats = bench.kernel._vats
    (process,) = vats._processes.values()
    vats._on_frame(process, ["done", {"syscalls": [], "nextExport": 1, "nextPromise": 1}])
    assert process.ended
    assert bench.log.named("vat.ended")[-1]["code"] == VatProtocolError.code
    assert bench.send(root, "echo", 2) == 2


def test_what_a_worker_says_after_its_end_is_nobodys(bench: Bench) -> None:
    bench.reopen(delivery_timeout=0.3)
    root = bench.launch(bench.config({"main": bench.bundle("main", ECHO)}))["rootKref"]
    answer = bench.loop.spawn(bench.kernel.queue_message(root, "never", []))
    answer.add_done_callback(lambda done: done.exception())
    bench.run_until(lambda: any(one.delivery is not None for one in bench.kernel._vats._processes.values()))
    (process,) = bench.kernel._vats._processes.values()
    bench.run_until(answer.done)
    assert isinstance(answer.exception(), VatError)
    late = ["done", {"syscalls": [["baggageSet", "late", {"body": "#1", "slots": []}]], "nextExport": 1}]
    bench.kernel._vats._on_frame(process, late)
    assert bench.rows("baggage") == 0
    assert bench.send(root, "echo", 2) == 2


# --- a store edited by hand ----------------------------------------------------------------------------------------

EDITS = {
    "a configuration that is no JSON": "UPDATE subclusters SET config = '{' WHERE id = 1",
    "a configuration of another form": "UPDATE subclusters SET config = '[]' WHERE id = 1",
    "a vat without its subcluster": "DELETE FROM subclusters WHERE id = 1",
    "a subcluster without its vat": "DELETE FROM vats WHERE id = 1",
    "a vat of another name": "UPDATE vats SET name = 'other' WHERE id = 1",
    "a vat without its bundle": "DELETE FROM bundles WHERE vat_id = 1",
    "a bundle with another digest": "UPDATE bundles SET sha256 = 'x' WHERE vat_id = 1",
    "a bundle elsewhere": "UPDATE bundles SET spec = 'file:///nowhere' WHERE vat_id = 1",
    "an object without its owner": "UPDATE objects SET owner = NULL WHERE id = 1",
    "an object that is gone": "DELETE FROM objects WHERE id = 1",
    "a c-list that is empty": "DELETE FROM clist WHERE vat_id = 1",
    "a c-list with a name that is none": "UPDATE clist SET vref = 'nonsense' WHERE vat_id = 1",
    "baggage that is no CapData": "UPDATE baggage SET body = 'nonsense' WHERE vat_id = 1",
    "baggage that names a slot that is not there": """UPDATE baggage SET body = '#"$7"' WHERE vat_id = 1""",
    "counters that go back": "UPDATE vats SET next_export = 0, next_import = 1, next_promise = 0 WHERE id = 1",
    "a delivery to nobody": "INSERT INTO deliveries (kind, vat_id, object, method, body)"
    " VALUES ('message', 77, 88, 'echo', '#[]')",
    "a delivery that cannot be read": "INSERT INTO deliveries (kind, vat_id, object, method, body)"
    " VALUES ('message', 1, 1, 'increment', 'nonsense')",
    "news of a promise that is not there": "INSERT INTO deliveries (kind, vat_id, promise) VALUES ('notify', 1, 99)",
    "a quarantine of nobody": "INSERT INTO quarantines (subcluster_id, code, message, since)"
    " VALUES (99, 'x', 'y', 'z')",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_a_store_edited_by_hand_costs_what_was_edited_and_nothing_else(bench: Bench, edit: str) -> None:
    first = bench.launch_counter("first")["rootKref"]
    second = bench.launch_counter("second")["rootKref"]
    for root in (first, second):
        assert bench.send(root, "increment") == 1
    bench.close()
    _edit(bench.directory / "kernel.sqlite", edit)
    bench.open()
    assert bench.send(second, "increment") == 2
    assert _outcome(bench, first) in {1, 2, *OcapError.by_code} - {OcapError.code}
    bench.kernel.status()
    bench.reopen()
    assert bench.send(second, "increment") == 3


def _outcome(bench: Bench, root: str) -> Any:
    """Send a message; give the answer, or the code of the error."""
    try:
        return bench.send(root, "increment")
    except OcapError as error:
        return error.code


def _edit(store: Path, edit: str) -> None:
    connection = sqlite3.connect(store, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = OFF")
    assert connection.execute(edit).rowcount > 0
    connection.close()


def test_a_daemon_with_an_edited_store_starts_and_says_what_it_set_aside(home: Home, short_tmp: Path) -> None:
    ensure_daemon(home)
    with Client(home.socket) as client:
        roots = [client.launch_subcluster(config(main=bundle(short_tmp, name))).root_kref for name in ("a", "b")]
        client.shutdown()
    stop_daemon(home)
    _edit(Path(home.store), EDITS["a configuration that is no JSON"])
    assert ensure_daemon(home).state == "degraded"
    with Client(home.socket) as client:
        assert [entry["state"] for entry in client.get_status()["subclusters"]] == ["quarantined", "running"]
        assert client.send(roots[1], "increment") == 1
