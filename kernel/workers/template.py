"""The template: a warm process that has imported all a vat may use, and forks a worker for each vat.

It serves its pool over one socket. Frames from the pool: ``["spawn", id, name, limits, confine]``, which comes with the
worker's own socket end, ``["kill", id]``; to it: ``["ready", confinement]``, ``["spawned", id, pid]``, ``["exited",
id, wait status]``, and ``["settled"]`` when all that vats may import has been executed. A worker is named by the pool's
own number, so nothing can be done to a process that merely has the same pid.

Invariants: the template is single-threaded and runs no vat code, so a fork of it is always sound; it ends, and with
it every worker, when its pool's end of the socket is closed, however that came about. A worker inherits its own
socket and /dev/null as descriptors 0 to 2, and nothing else.
"""

from __future__ import annotations

import contextlib
import gc
import os
import posix
import select
import signal
import sys
from collections import deque

from kernel.ending import end_process
from kernel.errors import OcapError, describe
from kernel.sockets import Socket, receive_with_descriptors
from kernel.vat.modules import preload
from kernel.vat.supervisor import Bounds, Supervisor
from kernel.vat.texts import with_utf8_form
from kernel.workers import confine
from kernel.workers.frames import FrameReader, pack, read_frame, write_frame
from kernel.workers.held import HeldModules, import_extensions
from kernel.workers.types import Confinement, Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from kernel.workers.confine import Filter

CONTROL_FD = 3
"""Where the template finds the socket to its pool, and a worker the one to its kernel."""

CONTROL_FRAME_BYTES = 64 * 1024
IDLE_SECONDS = 1.0
"""How long nothing has to happen until the template executes what it holds, for all workers from then on at once."""

STATUS_PROTOCOL = 70  # EX_SOFTWARE
STATUS_NOT_CONFINED = 71  # EX_OSERR


class Template:
    """Forks workers, reports how they end."""

    def __init__(self, control: Socket, confinement: Confinement, filter_: Filter | None) -> None:
        self._control = control
        self._confinement = confinement
        self._filter = filter_
        self._reader = FrameReader(CONTROL_FRAME_BYTES)
        self._sockets: deque[int] = deque()
        self._pids: dict[int, int] = {}
        self._wake_receiver, self._wake_sender = os.pipe()
        os.set_blocking(self._wake_receiver, False)
        os.set_blocking(self._wake_sender, False)
        signal.set_wakeup_fd(self._wake_sender, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def report(self, frame: list[Any]) -> None:
        """Send the pool a frame."""
        self._control.sendall(pack(frame, CONTROL_FRAME_BYTES))

    def serve(self) -> None:
        """Serve until the pool is gone, then end every worker."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_receiver, select.POLLIN)
        settled = False
        try:
            while True:
                ready = poll.poll(None if settled else IDLE_SECONDS * 1000)
                if not ready:
                    self._settle()
                    settled = True
                for fd, _ in ready:
                    if fd == self._wake_receiver:
                        os.read(self._wake_receiver, 4096)
                    elif not self._hear():
                        return
                self._reap()
        except (BrokenPipeError, ConnectionResetError):
            return  # the pool is gone
        finally:
            for pid in self._pids.values():
                os.kill(pid, signal.SIGKILL)
            for pid in self._pids.values():
                os.waitpid(pid, 0)

    def _settle(self) -> None:
        """Execute what is held: until now nobody may have needed it, but each worker would execute it for itself."""
        preload()
        gc.freeze()
        self.report(["settled"])

    def _hear(self) -> bool:
        data, descriptors = receive_with_descriptors(self._control, 65536, 16)
        self._sockets.extend(descriptors)
        if not data:
            return False
        for frame in self._reader.feed(data):
            if frame[0] == "spawn":
                self._spawn(frame, self._sockets.popleft())
            elif frame[0] == "kill" and frame[1] in self._pids:
                os.kill(self._pids[frame[1]], signal.SIGKILL)
        return True

    def _spawn(self, frame: list[Any], fd: int) -> None:
        _, worker, name, limits, required = frame
        refused = None
        if required and self._filter is None:
            refused = f"vat workers cannot be confined, and confinement is required: {self._confinement.reason}"
        parent = os.getpid()
        try:
            pid = _fork()
        except OSError as error:
            os.close(fd)
            self.report(["unspawned", worker, f"no process could be made for it: {error.strerror}"])
            return
        if pid == 0:
            _be_worker(name, Limits(*limits), fd, parent, self._filter, refused)
        os.close(fd)
        self._pids[worker] = pid
        self.report(["spawned", worker, pid])

    def _reap(self) -> None:
        for worker, pid in list(self._pids.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._pids[worker]
                self.report(["exited", worker, status])


def _fork() -> int:
    """Fork; whoever looks at the system's calls may have one interrupted by a child's end that never is otherwise."""
    while True:
        try:
            return os.fork()
        except InterruptedError:
            continue


def _be_worker(
    name: str, limits: Limits, fd: int, parent: int, filter_: Filter | None, refused: str | None
) -> NoReturn:
    """Be a worker for the rest of this process's life."""
    status = STATUS_PROTOCOL
    try:
        sys.settrace(None)  # a tracer could not write down what it saw
        confine.die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(0, 2)
        os.dup2(fd, CONTROL_FD)
        _close_above(CONTROL_FD)
        status = _serve_vat(name, limits, filter_, refused)
    finally:
        posix._exit(status)


def _serve_vat(name: str, limits: Limits, filter_: Filter | None, refused: str | None) -> int:
    def send(frame: list[Any]) -> None:
        write_frame(CONTROL_FD, frame, limits.frame_bytes)

    def give_up(reason: str, status: int) -> int:
        send(["exit", {"reason": with_utf8_form(reason)}])
        return status

    if refused is not None:
        return give_up(refused, STATUS_NOT_CONFINED)
    try:
        confine.name_process(f"vat {name}")
        confine.limit_resources(limits.memory_bytes)
        if filter_ is not None:
            filter_.install()
    except OSError as error:
        return give_up(f"the worker could not be confined: {error}", STATUS_NOT_CONFINED)
    gc.enable()
    supervisor = Supervisor(send, Bounds(limits.frame_bytes, limits.log_bytes_per_delivery))
    try:
        supervisor.run(lambda: read_frame(CONTROL_FD, limits.frame_bytes))
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the kernel is gone
    except OcapError as error:
        return give_up(error.message, STATUS_PROTOCOL)
    except MemoryError:
        return give_up(f"it used up its memory, {limits.memory_bytes} bytes", STATUS_PROTOCOL)
    except BaseException as error:  # noqa: BLE001  (the process ends, and whoever looks must learn why)
        return give_up(describe(error), STATUS_PROTOCOL)
    return 0


def _close_above(last: int) -> None:
    """Close every descriptor above one; only those that are open are tried, as the limit may be in the millions."""
    for name in os.listdir("/dev/fd"):
        if int(name) > last:
            with contextlib.suppress(OSError):  # the one that the listing itself used is closed already
                os.close(int(name))


def main(parent: int, die_with_parent: bool) -> NoReturn:
    """Be the template for the pool in process ``parent``, whose socket is descriptor 3.

    Args:
        parent: The process that the pool is in.
        die_with_parent: Have the operating system kill the template when the thread that started it ends; a template
            that was not started by a main thread sees only its socket closed.
    """
    if die_with_parent:
        confine.die_with_parent(parent)
    _close_above(CONTROL_FD)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the daemon, which ends the template in its own time
    os.chdir("/")
    confine.name_process("ocap template")
    held = HeldModules()
    sys.meta_path.insert(0, held)
    import_extensions()
    preload(but=held)
    filter_, confinement = confine.compile_filter()
    os.environ.clear()
    with contextlib.closing(Socket(fileno=CONTROL_FD)) as control:
        template = Template(control, confinement, filter_)
        template.report(["ready", list(confinement)])
        gc.freeze()  # keeps the pages that workers share from being written
        template.serve()
    end_process(0)
