"""What a message costs: a ping, a durable message from outside, messages between vats."""

from __future__ import annotations

import json
import os
import select
import socket
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import FailedError, await_gone, ocap
from benchmarks.table import Benchmark, Row, Sample
from kernel.bundle import build_bundle
from kernel.daemon.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SOURCE = """\
from kernel.vat import E, Exo


class Counter(Exo):
    def __init__(self, baggage):
        self._baggage = baggage

    def increment(self) -> int:
        count = self._baggage["count"] = self._baggage.get("count", 0) + 1
        return count

    def nothing(self) -> None:
        pass


class Sender(Exo):
    def __init__(self, peers):
        self._peers = peers

    async def bootstrap(self, vats, services):
        self._peers.update({name: vats[name] for name in vats if name.startswith("peer")})

    async def one_by_one(self, rounds: int) -> None:
        for _ in range(rounds):
            for peer in self._peers.values():
                await E(peer).nothing()

    async def in_flight(self, rounds: int, width: int) -> None:
        for _ in range(rounds):
            sent = [E(peer).nothing() for peer in self._peers.values() for _ in range(width)]
            for promise in sent:
                await promise


def build_root_object(vat_powers, parameters, baggage):
    return Sender(baggage) if parameters.get("sends") else Counter(baggage)
"""

PINGS = 500
CONNECTIONS = 200
COMMITS = 200
IN_FLIGHT = 32
ROUND_TRIPS = 100
WIDTH = 100
MANY_VATS = 100

_DEADLINE = 60.0


def measure(place: Path) -> dict[str, Sample]:
    """Send messages of every kind to one daemon, and do what they need at the least without it."""
    with _daemon(place) as (client, config):
        launched = client.call("launchSubcluster", {"config": config("counter")})
        counter = launched["rootKref"]
        increment = [counter, "increment", []]
        client.call("queueMessage", increment)
        samples = {
            "ping": _each(PINGS, lambda: client.call("ping")),
            "ping, new connection": _each(CONNECTIONS, lambda: _ping_alone(client.path)),
            "echo": _echo(PINGS),
            "message": _each(COMMITS, lambda: client.call("queueMessage", increment)),
            "commit and round trip": _commits_and_round_trips(place / "floor.sqlite"),
            "in flight": _in_flight(client.path, increment),
        }
        two = client.call("launchSubcluster", {"config": config("sender", "peer")})["rootKref"]
        samples["vat to vat, one by one"] = _between_vats(client, [two, "one_by_one", [ROUND_TRIPS]], ROUND_TRIPS)
        samples["vat to vat"] = _between_vats(client, [two, "in_flight", [5, WIDTH]], 5 * WIDTH)
        peers = [f"peer{number}" for number in range(MANY_VATS - 1)]
        many = client.call("launchSubcluster", {"config": config("sender", *peers)})["rootKref"]
        samples["among many vats"] = _between_vats(client, [many, "in_flight", [1, 5]], 5 * len(peers))
        return samples


def in_sequence(client: Client, place: Path, commits: int, round_trips: int) -> tuple[float, float]:
    """Launch what sends in a daemon, and give the seconds of a durable message and of one from vat to vat."""
    config = _bundled(place)
    counter = client.call("launchSubcluster", {"config": config("counter")})["rootKref"]
    client.call("queueMessage", [counter, "increment", []])
    message = _each(commits, lambda: client.call("queueMessage", [counter, "increment", []]))
    two = client.call("launchSubcluster", {"config": config("sender", "peer")})["rootKref"]
    return message.amount, _between_vats(client, [two, "one_by_one", [round_trips]], round_trips).amount


def _bundled(place: Path) -> Callable[..., dict[str, Any]]:
    """Make the bundle of what sends; give what gives the configuration of vats of some names."""
    source, bundle = place / "main.py", place / "main.bundle"
    source.write_text(SOURCE)
    bundle.write_bytes(build_bundle(os.fspath(source)))

    def config(first: str, *others: str) -> dict[str, Any]:
        vats = {
            name: {"bundleSpec": bundle.as_uri(), "parameters": {"sends": name == "sender"}}
            for name in (first, *others)
        }
        return {"bootstrap": first, "vats": vats}

    return config


@contextmanager
def _daemon(place: Path) -> Iterator[tuple[Client, Callable[..., dict[str, Any]]]]:
    home, config = place / "h", _bundled(place)
    ocap(home, "daemon", "start")
    pid = int((home / "daemon.pid").read_text())
    try:
        with Client(home / "daemon.sock", timeout=_DEADLINE) as client:
            yield client, config
    finally:
        ocap(home, "daemon", "stop")
        await_gone(pid)


def _each(times: int, action: Callable[[], object]) -> Sample:
    """Measure what one of many takes."""
    began = time.perf_counter()
    for _ in range(times):
        action()
    return Sample((time.perf_counter() - began) / times)


def _ping_alone(path: str) -> None:
    with Client(path, timeout=_DEADLINE) as client:
        client.call("ping")


def _between_vats(client: Client, message: list[Any], messages: int) -> Sample:
    began = time.perf_counter()
    client.call("queueMessage", message)
    return Sample((time.perf_counter() - began) / messages)


def _in_flight(path: str, message: list[Any]) -> Sample:
    """Send a daemon a message whenever one is answered, so that it always has as many to do."""
    total = COMMITS * 5
    sent = answered = 0
    pending = b""

    def line() -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": sent, "method": "queueMessage", "params": message}).encode() + b"\n"

    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(_DEADLINE)
        connection.connect(path)
        began = time.perf_counter()
        while answered < total:
            while sent < total and sent - answered < IN_FLIGHT:
                connection.sendall(line())
                sent += 1
            pending += connection.recv(65536)
            *lines, pending = pending.split(b"\n")
            for answer in lines:
                if "result" not in json.loads(answer):
                    raise FailedError(f"a message in flight was answered with {answer.decode()}")
            answered += len(lines)
    return Sample((time.perf_counter() - began) / total)


@contextmanager
def _echoing_child() -> Iterator[Callable[[], None]]:
    """Give what sends a line the length of a ping to another process, which sends it back."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        while data := theirs.recv(4096):
            theirs.sendall(data)
        os._exit(0)
    theirs.close()
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}\n'

    def round_trip() -> None:
        ours.sendall(line)
        if not select.select([ours], [], [], _DEADLINE)[0]:
            raise FailedError("the echo does not answer")
        ours.recv(4096)

    try:
        yield round_trip
    finally:
        ours.close()
        os.waitpid(pid, 0)


def _echo(times: int) -> Sample:
    with _echoing_child() as round_trip:
        return _each(times, round_trip)


def _commits_and_round_trips(file: Path) -> Sample:
    """Measure one commit to a database of ours, written through to the disk, and two round trips over a pipe."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database, _echoing_child() as round_trip:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE baggage (key TEXT PRIMARY KEY, body TEXT NOT NULL)")

        def once() -> None:
            round_trip()
            database.execute("BEGIN")
            database.execute("REPLACE INTO baggage VALUES ('count', ?)", (str(time.perf_counter_ns()),))
            database.execute("COMMIT")
            round_trip()

        return _each(COMMITS, once)


_ECHO = "the same line, echoed over a socket pair"
_COMMIT = "one FULL commit, two round trips over a pipe"

BENCHMARK = Benchmark(
    "messages",
    (
        Row(4, "`ping`, over one connection", "ping", "echo", _ECHO, at_most=3),
        Row(4, "`ping`, over a new connection each", "ping, new connection", "echo", _ECHO),
        Row(5, "`queueMessage`, one after another, durable", "message", "commit and round trip", _COMMIT, at_most=2),
        Row(5, "`queueMessage`, 32 in flight, durable", "in flight", "message", "one after another", at_most=0.2),
        Row(6, "a message from vat to vat and its answer, one after another", "vat to vat, one by one", "echo", _ECHO),
        Row(6, "a message between 2 vats, 100 in flight", "vat to vat", "echo", _ECHO, seconds_at_most=1 / 5000),
        Row(
            6, "a message among 100 vats, 5 in flight each", "among many vats", "echo", _ECHO, seconds_at_most=1 / 5000
        ),
    ),
    measure,
)
