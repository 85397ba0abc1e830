"""The pool: has the template fork workers, carries their frames, and tells how each of them ended.

Invariants: nothing here waits, except :meth:`WorkerPool.close`; each worker's ``on_exit`` is called once, after its
last frame, and only when its process is gone; a worker that breaks the framing or floods its log is ended; no
descriptor of this process reaches the template or a worker, and neither outlives this process.

The template is killed by the operating system when this process ends, provided that the pool was first used on the main
thread; otherwise (the kernel counts threads as parents) it sees its socket closed, and ends itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from kernel.errors import ConfinementError, VatProtocolError
from kernel.sockets import socketpair
from kernel.workers.channel import Channel
from kernel.workers.confinement import expected_confinement
from kernel.workers.frames import FrameReader, pack
from kernel.workers.launch import TemplateProcess, signal_name
from kernel.workers.types import Confinement, Limits, WorkerExit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernel.events import Log
    from kernel.loop import Loop
    from kernel.sockets import Socket

DEFAULT_LIMITS = Limits()

_CONTROL_BYTES = 64 * 1024
_LOG_ENTRY_BYTES = 64
_TRY_WORKER = "See the daemon's log, and try again."

READY_SECONDS = 20.0
"""How long the template may take to start."""
_DELIVERIES = frozenset({"start", "message", "notify"})


class Worker:
    """One worker process.

    Set ``on_frame`` and ``on_exit`` right after :meth:`WorkerPool.start`: both are called from the loop, never from
    inside a method of the worker.
    """

    def __init__(self, pool: WorkerPool, number: int, name: str, limits: Limits) -> None:
        self.name = name
        self.pid: int | None = None
        self.on_frame: Callable[[list[Any]], None] = _ignore
        self.on_exit: Callable[[WorkerExit], None] = _ignore
        self.number = number
        self._pool = pool
        self._limits = limits
        self._channel: Channel | None = None
        self._reader = FrameReader(limits.frame_bytes)
        self._log_bytes = 0
        self._killed = False
        self._reason: str | None = None
        self._wait_status: int | None = None
        self._process_gone = False
        self._unavailable = False
        self._finished = False

    def send(self, frame: list[Any]) -> None:
        """Send a frame; it waits until the worker lives and reads it.

        A worker that has ended gets none; one for which a frame is too long cannot go on, and is ended.
        """
        try:
            data = pack(frame, self._limits.frame_bytes)
        except VatProtocolError as error:
            self.kill(error.message)
            return
        if frame[0] in _DELIVERIES:
            self._log_bytes = 0
        if self._channel is not None and not self._killed:
            self._channel.write(data)

    def kill(self, reason: str = "the kernel ended it") -> None:
        """End the process; its frames that are under way are dropped, and ``on_exit`` follows."""
        if self._killed or self._finished:
            return
        self._killed = True
        self._reason = self._reason or reason
        self._pool.end(self)

    # --- what the pool tells ---

    def attach(self, channel: Channel) -> None:
        """Carry frames over a channel from now on."""
        self._channel = channel

    def hear(self, data: bytes) -> None:
        """Take what the process wrote."""
        try:
            for frame in self._reader.feed(data):
                if frame[0] == "exit":
                    self._note_exit(frame)
                    continue
                if frame[0] == "log":
                    self._log_bytes += _log_size(frame)
                    if self._log_bytes > 2 * self._limits.log_bytes_per_delivery + 65536:
                        raise VatProtocolError("it flooded the log")
                self._pool.loop.call_soon(self._deliver, frame)
        except VatProtocolError as error:
            self.kill(f"it broke the protocol between worker and kernel: {error.message}")

    def stream_ended(self) -> None:
        """Take that nothing more will come from the process."""
        self._channel = None
        if not self._process_gone:
            self._pool.end(self)  # a worker without its pipe is no use, and may be running still
        self._finish_if_gone()

    def unavailable(self, reason: str) -> None:
        """Take that there is no process for this worker, or none any more, for a reason that is not its own."""
        self._unavailable = True
        self.process_ended(None, reason)

    def process_ended(self, wait_status: int | None, reason: str | None = None) -> None:
        """Take how the process ended; ``wait_status`` as of ``waitpid``, None when nobody saw."""
        self._process_gone = True
        self._wait_status = wait_status
        self._reason = self._reason or reason
        self._finish_if_gone()

    def abandon(self) -> None:
        """Let go of the process: the pool closes, and ends it."""
        self._killed = self._finished = True
        if self._channel is not None:
            self._channel.close()

    def lose_template(self, reason: str) -> None:
        """Take that the template is gone, and with it whoever could tell how the process ended."""
        if self._channel is not None and self.pid is not None:
            # Linux has killed it; elsewhere it may run on.  Its end of the socket is open, so the pid is still its own.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.unavailable(reason)

    def _note_exit(self, frame: list[Any]) -> None:
        reason = frame[1].get("reason") if len(frame) == 2 and isinstance(frame[1], dict) else None
        if isinstance(reason, str) and self._reason is None:
            self._reason = reason[:4096]

    def _deliver(self, frame: list[Any]) -> None:
        if not self._killed:
            self.on_frame(frame)

    def _finish_if_gone(self) -> None:
        if self._process_gone and self._channel is None and not self._finished:
            self._finished = True
            self._pool.forget(self)
            self._pool.loop.call_soon(self._tell_exit)

    def _tell_exit(self) -> None:
        exit_ = _exit_of(self.pid, self._wait_status, self._reason)
        self.on_exit(exit_._replace(unavailable=self._unavailable))


class WorkerPool:
    """Starts and ends workers; see the head of this module."""

    def __init__(
        self, loop: Loop, log: Log, *, limits: Limits = DEFAULT_LIMITS, require_confinement: bool = False
    ) -> None:
        """Make a pool.  Nothing is started yet, unless confinement is required: then it is tried out first.

        Args:
            loop: Runs everything here.
            log: Hears of the template and of missing confinement.
            limits: Bounds for each worker.
            require_confinement: Run no vat that is not confined.

        Raises:
            ConfinementError: Confinement is required, and this machine lacks the means.
        """
        self.loop = loop
        self._log = log
        self._limits = limits
        self._require_confinement = require_confinement
        self._confinement = expected_confinement()
        self._template: TemplateLink | None = None
        self._workers: dict[int, Worker] = {}
        self._count = 0
        self._closed = False
        self.settled = False
        """Whether the template has executed all that vats may import."""
        if require_confinement:
            self._insist_on_confinement()

    def _insist_on_confinement(self) -> None:
        try:
            if self._confinement.state == "full":
                self._running_template().wait_until_ready()
        except OSError as error:
            self._confinement = Confinement("none", f"whether they can was not found out: {error}", _TRY_WORKER)
        if self._confinement.state != "full":
            self.close()
            raise ConfinementError(
                f"vat workers cannot be confined: {self._confinement.reason}", remedy=self._confinement.remedy
            )

    def confinement(self) -> Confinement:
        """Say whether workers are confined: an expectation at first, and a fact once the template has tried."""
        return self._confinement

    def start(self, name: str) -> Worker:
        """Start a worker; ``name`` shows in process listings.  What goes wrong is told by its ``on_exit``."""
        if self._closed:
            raise RuntimeError("the worker pool is closed")
        self._count += 1
        worker = self._workers[self._count] = Worker(self, self._count, name, self._limits)
        try:
            template = self._running_template()
            ours, theirs = socketpair()
        except OSError as error:
            worker.unavailable(f"no worker process could be started: {error.strerror or error}")
            return worker
        worker.attach(Channel(self.loop, ours, worker.hear, worker.stream_ended))
        template.write(["spawn", worker.number, name[:64], list(self._limits), self._require_confinement], theirs)
        return worker

    def close(self) -> None:
        """End the template and every worker and wait until they are gone; nobody is told any more.  Idempotent."""
        self._closed = True
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.abandon()
        template, self._template = self._template, None
        if template is not None:
            template.close()

    # --- what workers and the template tell ---

    def end(self, worker: Worker) -> None:
        """Have the template kill a worker's process."""
        if self._template is not None:
            self._template.write(["kill", worker.number])

    def forget(self, worker: Worker) -> None:
        """Drop a worker that has ended."""
        self._workers.pop(worker.number, None)

    def _running_template(self) -> TemplateLink:
        if self._template is None:
            self._template = TemplateLink(self.loop, self._hear_template, self._template_ended)
        return self._template

    def _hear_template(self, frame: list[Any]) -> None:
        if frame[0] == "ready":
            self._note_confinement(Confinement(*frame[1]))
            return
        if frame[0] == "settled":
            self.settled = True
            return
        worker = self._workers.get(frame[1])
        if worker is None:
            return
        if frame[0] == "spawned":
            worker.pid = frame[2]
        elif frame[0] == "exited":
            worker.process_ended(frame[2])
        else:
            worker.unavailable(frame[2])

    def _note_confinement(self, confinement: Confinement) -> None:
        self._confinement = confinement
        seconds = round(self.loop.time() - self._template.started, 3) if self._template is not None else None
        self._log.debug("workers.ready", seconds=seconds, confinement=confinement.state)
        if confinement.state != "full":
            self._log.warning("workers.unconfined", reason=confinement.reason, remedy=confinement.remedy)

    def _template_ended(self, how: str) -> None:
        self._template = None
        self._log.error("workers.template-ended", how=how, workers=len(self._workers))
        for worker in list(self._workers.values()):
            worker.lose_template(f"the process that workers are forked from is gone: {how}")


class TemplateLink:
    """The template, as the pool talks to it."""

    def __init__(self, loop: Loop, on_frame: Callable[[list[Any]], None], on_end: Callable[[str], None]) -> None:
        self.started = loop.time()
        self._on_frame = on_frame
        self._on_end = on_end
        self._process = TemplateProcess()
        self._reader = FrameReader(_CONTROL_BYTES)
        self._ready = False
        self._how_ended: str | None = None
        self._channel = Channel(loop, self._process.socket, self._hear, self._ended)

    def write(self, frame: list[Any], descriptor: Socket | None = None) -> None:
        """Send a frame, and with it a descriptor."""
        self._channel.write(pack(frame, _CONTROL_BYTES), descriptor)

    def wait_until_ready(self) -> None:
        """Wait until the template has said what it can do.

        Raises:
            OSError: It ended instead, or said nothing for too long.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready:
            if self._how_ended is not None:
                raise OSError(self._how_ended)
            if not self._channel.wait(max(0.0, deadline - time.monotonic())):
                raise OSError(f"the process that workers are forked from was not ready within {READY_SECONDS:g} s")

    def close(self) -> None:
        """End the process, and its workers, and wait until they are gone."""
        self._channel.close()
        self._process.end()

    def _hear(self, data: bytes) -> None:
        self._ready = True  # that it is so is the first thing that it says
        for frame in self._reader.feed(data):
            self._on_frame(frame)

    def _ended(self) -> None:
        self._how_ended = self._process.end()
        self._on_end(self._how_ended)


def _log_size(frame: list[Any]) -> int:
    text = frame[1].get("text") if len(frame) == 2 and isinstance(frame[1], dict) else None
    if not isinstance(text, str):
        raise VatProtocolError("a 'log' frame has no text")
    return _LOG_ENTRY_BYTES + len(text)


def _exit_of(pid: int | None, wait_status: int | None, reason: str | None) -> WorkerExit:
    if wait_status is None:
        return WorkerExit(pid, None, None, reason or "its process is gone, and nobody saw how it ended")
    code = os.waitstatus_to_exitcode(wait_status)
    if code >= 0:
        return WorkerExit(pid, code, None, reason or f"it ended itself with exit status {code}")
    name = signal_name(-code)
    if reason is not None:
        return WorkerExit(pid, None, name, reason)
    reason = f"it was killed by {name}{_WHY.get(name, '')}"
    return WorkerExit(pid, None, name, reason, from_outside=name == "SIGKILL")


_WHY = {
    "SIGKILL": ", from outside the kernel: by the system because memory ran out, or by a person",
    "SIGSEGV": ", a crash of the interpreter; recursion that is too deep for its stack is the usual cause",
    "SIGABRT": ", a crash of the interpreter",
}


def _ignore(_told: object) -> None:
    return
