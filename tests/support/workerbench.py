"""A worker pool, the loop that runs it, and vats in it that tests can talk to frame by frame."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from watching import eventually

from kernel.capdata import CapData, RemoteError, decode, encode
from kernel.events import ListLog
from kernel.loop import Loop
from kernel.workers import Limits, WorkerExit, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

DEADLINE_SECONDS = 30.0

ECHO = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def echo(self, value):
            return value

    def build_root_object(vat_powers, parameters, baggage):
        return Root()
"""


_OTHERS: set[int] = set()


def remember_others() -> None:
    """Note the children that this process has for other reasons, before a pool is made."""
    import psutil

    _OTHERS.clear()
    _OTHERS.update(child.pid for child in psutil.Process().children())


def children_of_the_pool() -> list[psutil.Process]:
    """Give this process's children, zombies too, but for those it had before."""
    import psutil

    return [child for child in psutil.Process().children() if child.pid not in _OTHERS]


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; whose parent is gone too may wait to be reaped by the system."""
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(pid: int) -> None:
    """Wait until a process has ended."""
    eventually(lambda: is_gone(pid))


def the_template() -> psutil.Process:
    """Give the process of the one pool's template."""
    [template] = children_of_the_pool()
    return template


class Bench:
    """A pool and its loop."""

    def __init__(self, limits: Limits | None = None, *, require_confinement: bool = False) -> None:
        self.loop = Loop()
        self.loop.on_unhandled = self._unhandled
        self.log = ListLog()
        self.limits = limits or Limits()
        self.pool = WorkerPool(self.loop, self.log, limits=self.limits, require_confinement=require_confinement)
        self.errors: list[BaseException] = []

    def _unhandled(self, error: BaseException) -> None:
        self.errors.append(error)
        self.loop.stop()

    def until(self, condition: Callable[[], object]) -> None:
        """Run the loop until a condition holds."""

        def look() -> None:
            if condition():
                self.loop.stop()
            else:
                self.loop.call_later(0.002, look)

        expired = self.loop.call_later(DEADLINE_SECONDS, self.loop.stop)
        self.loop.call_soon(look)
        self.loop.run_forever()
        expired.cancel()
        if self.errors:
            raise self.errors[0]
        assert condition(), "the condition did not come to hold"

    def vat(self, source: str = ECHO, *, name: str = "vat", start: bool = True, **fields: Any) -> Vat:
        """Start a worker, and a vat in it."""
        vat = Vat(self, name)
        if start:
            vat.begin(source, **fields)
        return vat

    def close(self) -> None:
        """End it all."""
        self.pool.close()
        self.loop.close()


class Vat:
    """A vat as a test sees it."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench = bench
        self.worker = bench.pool.start(name)
        self.frames: list[list[Any]] = []
        self.exits: list[WorkerExit] = []
        self.worker.on_frame = self.frames.append
        self.worker.on_exit = self.exits.append

    def begin(self, source: str, **fields: Any) -> None:
        """Send the start frame for a bundle of one module."""
        module = {"path": "main.py", "source": textwrap.dedent(source), "is_package": False}
        start = {
            "vatId": "v1",
            "name": self.worker.name,
            "bundle": {"entry": "main", "modules": {"main": module}},
            "parameters": None,
            "globals": [],
            "baggage": {},
            "nextExport": 1,
            "nextPromise": 1,
            "incarnation": 1,
            **fields,
        }
        self.worker.send(["start", start])

    def send(self, method: str, *args: object) -> None:
        """Send a message and do not wait."""
        message = {"target": "o+0", "method": method, "args": encode(list(args)).to_json(), "result": "p-9"}
        self.worker.send(["message", message])

    def call(self, method: str, *args: object) -> Any:
        """Send a message and give its answer; a rejection is given as the error."""
        before = len(self.of_kind("done"))
        self.send(method, *args)
        self.bench.until(lambda: len(self.of_kind("done")) > before or self.exits)
        assert not self.exits, self.exits
        for syscall in self.of_kind("done")[before][1]["syscalls"]:
            if syscall[0] == "resolve":
                [vref, rejected, value] = syscall[1][0]
                assert vref == "p-9"
                answer = decode(CapData.from_json(value))
                assert rejected is isinstance(answer, RemoteError)
                return answer
        raise AssertionError("the message was not answered")

    def of_kind(self, kind: str) -> list[list[Any]]:
        """Give the frames of one kind that came."""
        return [frame for frame in self.frames if frame[0] == kind]

    def wait_for(self, kind: str) -> list[Any]:
        """Wait for a frame of a kind and give the first."""
        self.bench.until(lambda: self.of_kind(kind) or self.exits)
        assert self.of_kind(kind), self.exits
        return self.of_kind(kind)[0]

    def wait_for_exit(self) -> WorkerExit:
        """Wait until the process has ended."""
        self.bench.until(lambda: self.exits)
        return self.exits[0]

    def log_texts(self) -> list[str]:
        """Give what the vat wrote to the log."""
        return [frame[1]["text"] for frame in self.of_kind("log")]
