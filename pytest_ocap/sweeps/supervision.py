"""The supervisor's own process: hears every call that is looked at, records it, and injects faults.

Invariant: it works on one call at a time, so that the order of the recording is the order of what happened; it never
waits for anything but the next call.  When whoever started it goes away, it kills the tree and ends.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import pickle
import select
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from pytest_ocap.sweeps import abi, tracee
from pytest_ocap.sweeps.notify import NEW_LISTENER, SET_FILTER, WAIT_KILLABLE, Listener
from pytest_ocap.sweeps.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH = struct.Struct("=Q")
_KILL_AGAIN_SECONDS = 0.02
_DEATH_SECONDS = 20.0


def send(link: socket.socket, message: object) -> None:
    """Send a message to the other side of a supervisor's control connection."""
    raw = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    link.sendall(_LENGTH.pack(len(raw)) + raw)


def receive(link: socket.socket) -> Any:
    """Receive a message; :class:`EOFError` when the other side has gone."""
    (length,) = _LENGTH.unpack(_exactly(link, _LENGTH.size))
    return pickle.loads(_exactly(link, length))


def _exactly(link: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = link.recv(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Supervision:
    """The loop."""

    def __init__(self, control: socket.socket, guard: int) -> None:
        self._control = control
        self._guard = guard
        self._poll = select.poll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._listeners: dict[int, Listener] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = itertools.count()
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.bind("")  # an address of the kernel's choice, without a name in the file system
        self._door.listen(64)
        self._run: Run | None = None
        self._waiting: float | None = None
        self._watch(self._door.fileno(), self._opens)
        self._watch(control.fileno(), self._commanded)

    def serve(self) -> None:
        """Serve until the other side closes the control connection."""
        try:
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    self._step()
        finally:
            self._end_tree()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _watch(self, descriptor: int, react: Callable[[int], None]) -> None:
        self._ready[descriptor] = react
        self._poll.register(descriptor, select.POLLIN)

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._ready[descriptor]

    def later(self, seconds: float, react: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._ticket), react))

    def _step(self) -> None:
        timeout = None
        if self._timers:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) * 1000
        for descriptor, what in self._poll.poll(timeout):
            react = self._ready.get(descriptor)
            if react is not None:
                react(what)
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    # --- launchers ---------------------------------------------------------------------------------------------------

    def _opens(self, _what: int) -> None:
        """A launcher knocks: it gets the filter."""
        link, _ = self._door.accept()
        pid, uid, _gid = struct.unpack("=iii", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if self._run is None or uid not in (0, os.getuid()):
            link.close()
            return
        program = abi.filter_program(self._run.without)
        flags = NEW_LISTENER | WAIT_KILLABLE
        self._watch(link.fileno(), lambda _what: self._takes(link, pid))
        with contextlib.suppress(ConnectionError):  # it was killed meanwhile; then it is heard that it has gone
            link.sendall(struct.pack("=IIII", abi.number_of("seccomp"), SET_FILTER, flags, len(program)) + program)

    def _takes(self, link: socket.socket, pid: int) -> None:
        """A launcher hands its listener over, or has failed."""
        self._forget(link.fileno())
        run = self._run
        with link, contextlib.suppress(ConnectionError):
            _, descriptors, _, _ = socket.recv_fds(link, 1, 1)
            if not descriptors or run is None:
                return
            listener = Listener(descriptors[0])
            self._listeners[listener.fileno()] = listener
            self._watch(listener.fileno(), lambda what: self._hears(listener, run, what))
            with contextlib.suppress(OSError):  # it was killed while it handed the listener over
                run.tree.add_root(pid)
            self._tell_guard(run)
            link.sendall(b"k")

    def _hears(self, listener: Listener, run: Run, what: int) -> None:
        if what & select.POLLIN:
            notification = listener.receive()
            if notification is not None:
                run.handle(listener, notification)
                if run.tree.new:
                    self._tell_guard(run)
        else:  # everybody under this filter has gone
            self._forget(listener.fileno())
            del self._listeners[listener.fileno()]
            listener.close()
            if self._waiting is not None and not self._listeners:
                self._reply_to_wait()

    def _tell_guard(self, run: Run) -> None:
        """Name new processes to whoever kills them when this process is killed."""
        new, run.tree.new = run.tree.new, []
        text = "".join(f"{process.pid} {process.started}\n" for process in new)
        with contextlib.suppress(BrokenPipeError):  # nobody is there; the end of the control connection follows
            os.write(self._guard, text.encode())

    # --- the other side ----------------------------------------------------------------------------------------------

    def _commanded(self, _what: int) -> None:
        word, *arguments = receive(self._control)
        commands: dict[str, Callable[..., object]] = {
            "begin": self._begin,
            "ask": self._ask,
            "wait": self._wait,
            "end": self._end,
        }
        reply = commands[word](*arguments)
        if reply is not None:  # else it comes later
            send(self._control, reply)

    def _begin(self, home: str, settings: dict[str, Any]) -> tuple[str, float]:
        self._end_tree()
        self._run = Run(home, later=self.later, **settings)
        address: bytes = self._door.getsockname()
        return address[1:].decode(), self._run.began

    def _ask(self, what: str) -> object:
        assert self._run is not None
        answers: dict[str, Callable[[], object]] = {
            "recording": self._run.recording,
            "reached": self._run.reached,
            "running": self._run.running,
        }
        return self._run.heard if what == "heard" else answers[what]()

    def _wait(self, seconds: float) -> bool | None:
        if not self._listeners:
            return True
        self._waiting = time.monotonic() + seconds
        self.later(seconds, self._give_up_waiting)
        return None

    def _give_up_waiting(self) -> None:
        if self._waiting is not None and time.monotonic() >= self._waiting:
            self._reply_to_wait()

    def _reply_to_wait(self) -> None:
        self._waiting = None
        send(self._control, not self._listeners)

    def _end(self) -> bool:
        self._end_tree()
        return True

    def _end_tree(self) -> None:
        """Kill what is left, and hear what it still says until all of it has gone."""
        deadline = time.monotonic() + _DEATH_SECONDS
        while self._run is not None and self._listeners:
            if time.monotonic() > deadline:
                raise RuntimeError(f"supervised processes would not die: {self._run.tree.living()}")
            kill_all((process.pid, process.started) for process in self._run.tree.living())
            for descriptor, what in self._poll.poll(_KILL_AGAIN_SECONDS * 1000):
                if descriptor in self._listeners:
                    self._ready[descriptor](what)
        if self._run is not None:
            self._run.close()


def kill_all(processes: Any) -> None:
    """Kill processes, each named by its pid and its start time, and all that descend from them."""
    from pytest_ocap.sweeps.tree import children

    wanted = list(processes)
    seen: set[int] = set()
    while wanted:
        pid, started = wanted.pop()
        if pid in seen:
            continue
        seen.add(pid)
        try:
            if tracee.start_time(pid) != started:
                continue
            wanted += [(child, tracee.start_time(child)) for child in children(pid)]
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue


def main(control: int, guard: int) -> None:
    """Be the supervisor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for who started it, and that one's end is heard
    Supervision(socket.socket(fileno=control), guard).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
