"""Kernels for the model to drive: one in this process, and a daemon; both can die in the middle of anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psutil
from bench import Bench
from hosting import Program

from kernel.api import Client
from kernel.capdata import decode
from kernel.daemon.client import outcome
from kernel.daemon.ensure import ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.daemon.methods import call_method
from kernel.daemon.rpc import RpcFaultError, request_line
from kernel.errors import OcapError
from kernel.loop import sleep
from kernel.store.audit import audit as audit_records

PATIENCE_SECONDS = 30.0

UNDER_WAY = """
    SELECT count(*) AS n FROM deliveries WHERE vat_id IN (
        SELECT id FROM vats WHERE subcluster_id NOT IN (SELECT subcluster_id FROM quarantines))
"""
"""Counts what waits for a vat that can run; what waits for a promise is not under way."""


class Sent:
    """A message whose answer nobody waits for; ``state`` is ``pending``, ``done`` or ``failed``."""

    def __init__(self) -> None:
        self.state = "pending"
        self.kept = False
        """Whether it failed for now: the message waits until its subcluster is repaired."""

    def settle(self, error: BaseException | None) -> None:
        """Note what came of it."""
        self.state = "done" if error is None else "failed"
        self.kept = isinstance(error, OcapError) and bool(error.data.get("queued"))


class Kernel(Protocol):
    """What the model needs of a kernel."""

    takes_references: bool
    """Whether arguments of messages from outside may be references."""

    program: Program | None
    """The program that has the kernel, and services for its vats; a daemon has none."""

    @property
    def store(self) -> Path:
        """Where its store is."""

    def call(self, method: str, *params: Any) -> Any:
        """Call a method by its name on the wire and give its result."""

    def begin(self, kref: str, method: str, *args: Any) -> Sent:
        """Send a message and do not wait."""

    def go_on(self, rounds: int) -> None:
        """Let what is under way get on a little."""

    def worker(self, name: str) -> int | None:
        """Give the pid of a vat's process, if it has one."""

    def stop(self, *, crash: bool) -> None:
        """End the kernel, as it should be or in the middle of what it does."""

    def start(self) -> None:
        """Start it on what is there."""

    def remove(self) -> None:
        """End it, and remove what it has."""


def send(kernel: Kernel, kref: str, method: str, *args: Any) -> Any:
    """Send a message and give the answer, decoded."""
    from kernel.capdata import CapData

    return decode(CapData.from_json(kernel.call("queueMessage", kref, method, list(args))))


def audit(kernel: Kernel) -> list[str]:
    """Give what is wrong with the store, by SQLite's account and by the doctor's; what was done must be durable."""
    with closing(sqlite3.connect(f"file:{kernel.store}?mode=ro", uri=True)) as store:
        found = [str(row) for row in store.execute("PRAGMA integrity_check") if row != ("ok",)]
        found += [str(row) for row in store.execute("PRAGMA foreign_key_check")]
        return found + [str(finding) for finding in audit_records(store)]


def settle(kernel: Kernel) -> None:
    """Wait until nothing is under way, and what was done is durable."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while kernel.call("executeDBQuery", UNDER_WAY) != [{"n": 0}]:
        assert time.monotonic() < deadline, "the kernel does not come to rest"
        kernel.go_on(3)


class InProcess:
    """The engine in this process; a crash leaves the files as they are at that moment."""

    takes_references = True
    is_host = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._homes = 0
        self._bench = Bench(self._next_home())
        self.program: Program | None = Program()
        self.start()

    def _next_home(self) -> Path:
        self._homes += 1
        home = self._folder / f"h{self._homes}"
        home.mkdir()
        return home

    @property
    def store(self) -> Path:
        """Where its store is."""
        return self._bench.directory / "kernel.sqlite"

    def daemon_facts(self) -> dict[str, Any]:
        """Be a service of the methods."""
        return {}

    def request_stop(self) -> None:
        """Be a service of the methods."""

    def call(self, method: str, *params: Any) -> Any:
        """Call a method as the daemon would."""
        return self._bench.run(self._calling(method, list(params)))

    async def _calling(self, method: str, params: list[Any]) -> Any:
        try:
            return await call_method(self, method, params)
        except RpcFaultError as fault:
            raise fault.error from fault

    def begin(self, kref: str, method: str, *args: Any) -> Sent:
        """Send a message and do not wait."""
        sent = Sent()
        sending = self._bench.loop.spawn(self._calling("queueMessage", [kref, method, list(args)]))
        sending.add_done_callback(lambda done: sent.settle(done.exception()))
        return sent

    def go_on(self, rounds: int) -> None:
        """Let the loop make some rounds."""
        self._bench.run(self._rounds(rounds))

    async def _rounds(self, rounds: int) -> None:
        for _ in range(rounds):
            await sleep(self._bench.loop, 0.0003)

    def worker(self, name: str) -> int | None:
        """Give the pid of a vat's process."""
        rows = self._bench.store.connection.execute("SELECT id FROM vats WHERE name = ?", (name,)).fetchall()
        return self._bench.kernel.worker_pids().get(f"v{rows[0][0]}") if rows else None

    def stop(self, *, crash: bool) -> None:
        """End the kernel."""
        old = new = self._bench.directory
        if crash:
            new = self._next_home()
            for path in old.iterdir():
                shutil.copy(path, new / path.name)
            assert self.program is not None
            self.program.host.is_dead = True
        self._bench.close()
        if crash:
            shutil.rmtree(old)
            self._bench = Bench(new)

    def start(self) -> None:
        """Start a kernel on the home."""
        assert self.program is not None
        self._bench.open(self.program.serving(self._bench))
        self.kernel = self._bench.kernel

    def remove(self) -> None:
        """End it, and remove what it has."""
        self._bench.close()
        shutil.rmtree(self._folder)


class _Line:
    """A connection on which messages are sent without waiting for the answers, which a thread reads."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._sent: list[Sent] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def send(self, params: list[Any]) -> Sent:
        """Send a message."""
        self._sent.append(Sent())
        self._socket.sendall(request_line(len(self._sent) - 1, "queueMessage", params))
        return self._sent[-1]

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines:
            try:
                for line in lines:
                    self._take(json.loads(line))
            except (OSError, ValueError):
                return  # the daemon died in the middle of it

    def _take(self, answer: dict[str, Any]) -> None:
        try:
            outcome(answer)
        except OcapError as error:
            self._sent[answer["id"]].settle(error)
        else:
            self._sent[answer["id"]].settle(None)

    def close(self) -> None:
        """Part; called when the daemon has gone."""
        self._reader.join()
        self._socket.close()


class Daemon:
    """A daemon, killed by SIGKILL when it is to crash."""

    takes_references = False

    def __init__(self, folder: Path) -> None:
        self.program: Program | None = None
        self._folder = folder
        self._home = Home(folder / "h")
        self._line: _Line | None = None
        self._client = Client(self._home.socket, timeout=PATIENCE_SECONDS)
        self.start()

    @property
    def store(self) -> Path:
        """Where its store is."""
        return Path(self._home.store)

    def call(self, method: str, *params: Any) -> Any:
        """Call a method."""
        return self._client.call(method, list(params))

    def begin(self, kref: str, method: str, *args: Any) -> Sent:
        """Send a message; those of one burst go over one connection, which keeps their order."""
        if self._line is None:
            self._line = _Line(self._home.socket)
        return self._line.send([kref, method, list(args)])

    def go_on(self, rounds: int) -> None:
        """Let time pass."""
        time.sleep(rounds * 0.0003)

    def worker(self, name: str) -> int | None:
        """Give the pid of a vat's process."""
        for child in psutil.Process(self._pid).children(recursive=True):
            try:
                if Path(f"/proc/{child.pid}/comm").read_text().strip() == f"vat {name}":
                    return child.pid
            except OSError:
                continue
        return None

    def stop(self, *, crash: bool) -> None:
        """End the daemon."""
        if crash:
            os.kill(self._pid, signal.SIGKILL)
        else:
            stop_daemon(self._home)
        self._close_connections()

    def _close_connections(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        self._client.close()

    def start(self) -> None:
        """Start a daemon on the home."""
        self._pid = ensure_daemon(self._home).pid

    def remove(self) -> None:
        """End it, and remove what it has."""
        stop_daemon(self._home, force=True)
        self._close_connections()
        shutil.rmtree(self._folder)
