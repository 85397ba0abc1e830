"""How long a vat takes to start, in the processes that the kernel keeps for it, and a launch of three."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import FailedError, await_gone, bare_python, ocap
from benchmarks.table import Benchmark, Row, Sample
from kernel.bundle import build_bundle
from kernel.daemon.client import Client
from kernel.events import ListLog
from kernel.loop import Loop
from kernel.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCE = """\
from kernel.vat import Exo


class Root(Exo):
    def greet(self) -> str:
        return "hello"


def build_root_object(vat_powers, parameters, baggage):
    return Root()
"""

_DEADLINE = 30.0


def measure(place: Path) -> dict[str, Sample]:
    """Start vats in a pool of workers, then launch them in a daemon."""
    return {"python": bare_python(), **_in_a_pool(), **_in_a_daemon(place)}


def _in_a_pool() -> dict[str, Sample]:
    loop = Loop()
    pool = WorkerPool(loop, ListLog())
    try:
        first = _timed(lambda: _start_vat(loop, pool))  # which has to start the template as well
        return {
            "first vat": first,
            "vat": _timed(lambda: _start_vat(loop, pool)),
            "fork": _timed(_fork),
        }
    finally:
        pool.close()
        loop.close()


def _start_vat(loop: Loop, pool: WorkerPool) -> None:
    frames: list[list[Any]] = []

    def hear(frame: list[Any]) -> None:
        frames.append(frame)
        if frame[0] == "started":
            loop.stop()

    worker = pool.start("benchmark")
    worker.on_frame = hear
    worker.on_exit = lambda _how: loop.stop()
    module = {"path": "main.py", "source": SOURCE, "is_package": False}
    start: dict[str, Any] = {
        "vatId": "v1",
        "name": "benchmark",
        "bundle": {"entry": "main", "modules": {"main": module}},
        "parameters": None,
        "globals": [],
        "baggage": {},
        "nextExport": 1,
        "nextPromise": 1,
        "incarnation": 1,
    }
    worker.send(["start", start])
    expired = loop.call_later(_DEADLINE, loop.stop)
    loop.run_forever()
    expired.cancel()
    if not frames or frames[-1][0] != "started":
        raise FailedError(f"the vat did not start: {frames}")


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _timed(action: Callable[[], object]) -> Sample:
    began = time.perf_counter()
    action()
    return Sample(time.perf_counter() - began)


def _in_a_daemon(place: Path) -> dict[str, Sample]:
    home, source, bundle = place / "h", place / "main.py", place / "main.bundle"
    source.write_text(SOURCE)
    bundle.write_bytes(build_bundle(os.fspath(source)))
    vats = [{"bundleSpec": bundle.as_uri()}] * 3
    one = {"bootstrap": "a", "vats": {"a": vats[0]}}
    three = {"bootstrap": "a", "vats": dict(zip("abc", vats, strict=True))}
    ocap(home, "daemon", "start")
    pid = int((home / "daemon.pid").read_text())
    try:
        with Client(home / "daemon.sock") as client:
            client.call("launchSubcluster", {"config": one})  # the template comes with the first
            return {
                "launch of one": _timed(lambda: client.call("launchSubcluster", {"config": one})),
                "launch of three": _timed(lambda: client.call("launchSubcluster", {"config": three})),
            }
    finally:
        ocap(home, "daemon", "stop")
        await_gone(pid)


_FORK = "one `fork`, to the child's end"

BENCHMARK = Benchmark(
    "vats",
    (
        Row(7, "start of a vat", "vat", "fork", _FORK, seconds_at_most=0.01),
        Row(7, "start of the first vat, with the template", "first vat", "python", "one `python -c pass`"),
        Row(7, "launch of a subcluster of one vat, durable", "launch of one", "vat", "start of a vat"),
        Row(7, "launch of a subcluster of three vats, durable", "launch of three", "vat", "start of a vat"),
    ),
    measure,
)
