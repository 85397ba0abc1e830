"""One run of a workload under supervision: each call is recorded, and may suffer a fault.

Invariant: every call that comes in is answered, unless its process is killed.  A fault is matched by its point's name,
which depends on what came before, never on pids or numbers of this run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from pytest_ocap.sweeps import abi, tracee
from pytest_ocap.sweeps.calls import Call, Kind, Recording
from pytest_ocap.sweeps.connections import Channels
from pytest_ocap.sweeps.handlers import handlers
from pytest_ocap.sweeps.injection import ERRORS, LEAST_TO_HALVE, Firing, How, Injection, Reached
from pytest_ocap.sweeps.lives import Lives
from pytest_ocap.sweeps.notify import Listener, Notification, libc
from pytest_ocap.sweeps.overruling import overrule
from pytest_ocap.sweeps.points import Namer
from pytest_ocap.sweeps.scene import Event, NotSeenError, Scene
from pytest_ocap.sweeps.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_ocap.sweeps.points import Point
    from pytest_ocap.sweeps.scene import Draft
    from pytest_ocap.sweeps.tree import Process

MEANS = "seccomp"
_GONE = frozenset({errno.ENOENT, errno.ESRCH, errno.EBADF, errno.EFAULT, errno.EINVAL})
"""What it looks like when a process ends while it is looked at, or its call is going to fail."""
_LOOK_AGAIN_SECONDS = 0.002


class Run:
    """The state of one run."""

    def __init__(
        self,
        home: str,
        *,
        later: Callable[[float, Callable[[], None]], None],
        workload: str,
        injections: Sequence[Injection] = (),
        reads: bool = True,
    ) -> None:
        self.tree = Tree()
        self.without = frozenset() if reads else abi.READING
        self._later = later
        channels = Channels()
        self._scene = Scene(home, channels)
        self._lives = Lives(self.tree)
        self._handlers = handlers(channels, self._lives)
        self._names = abi.numbers()
        self._namer = Namer(workload)
        self._armed = {injection.point: injection for injection in injections}
        self._missed: dict[Injection, str] = {}
        self._fired: dict[Injection, Firing] = {}
        self._lasting: list[Injection] = []
        self._stopped: dict[int, int] = {}
        self._doomed: dict[int, Injection] = {}
        self._calls: list[Call] = []
        self.heard = 0
        self.began = time.monotonic()
        """When the recording began, by the monotonic clock that all processes of the machine share."""

    def close(self) -> None:
        """Everybody has gone: let go of what was kept of them."""
        self._scene.borrower.close()

    def recording(self) -> Recording:
        """Give what has been recorded so far."""
        return Recording(MEANS, tuple(self._calls), tuple(self._scene.notes))

    def reached(self) -> Reached:
        """Say which faults have fired so far."""
        missed = dict.fromkeys(self._armed.values(), "its point was not reached") | self._missed
        return Reached(tuple(self._fired.values()), tuple(missed.items()))

    def running(self) -> list[int]:
        """Give the pids of the processes that have not ended by themselves, if they are alive."""
        return [process.pid for process in self.tree.living() if tracee.lives(process.pid, process.started)]

    def handle(self, listener: Listener, notification: Notification) -> None:
        """Deal with one call."""
        self.heard += 1
        name = self._names[notification.number]
        if name == "io_uring_setup":
            self._scene.note("io_uring was refused (ENOSYS), since what is done through it cannot be seen")
            listener.answer(notification.id, -errno.ENOSYS)
            return
        try:
            process = self.tree.of(notification.thread)
        except OSError:  # it has been killed meanwhile
            listener.go_on(notification.id)
            return
        if notification.thread in self._doomed:
            self._kill(process)
            return
        event = Event(listener, notification.id, notification.thread, process, name, notification.args)
        try:
            draft = self._handlers[name](self._scene, event)
        except OSError as error:
            if error.errno not in _GONE:
                self._scene.note(f"{name} was not looked at: {error}")
            draft = None
        if draft is None:
            event.close()
            listener.go_on(notification.id)
        else:
            self._decide(event, draft)

    # --- one call ----------------------------------------------------------------------------------------------------

    def _decide(self, event: Event, draft: Draft) -> None:
        hung = self._stopped.pop(event.thread, None)
        if hung is not None and self._calls[hung].name == event.name:  # it was continued, and makes the call anew
            self._make(event, draft, hung)
            return
        number = len(self._calls)
        began = time.monotonic() - self.began
        draft.fields |= {
            "number": number,
            "process": event.process.name,
            "pid": event.process.pid,
            "thread": event.thread,
            "name": event.name,
            "kind": draft.kind,
            "began": began,
        }
        point = self._namer.name(draft.kind, draft.fields.get("path"))
        self._calls.append(Call(**draft.fields))
        if not self._lives.may_act_for(self._scene, event):
            draft.perform = None
        injection = None if point is None else self._strikes(point, draft)
        if injection is None:
            self._make(event, draft, number)
            return
        draft.fields["injected"] = str(injection.fault)
        if injection not in self._fired:
            self._fired[injection] = Firing(injection, number, event.name, event.process.name)
        self._inject(event, draft, number, injection)

    def _strikes(self, point: Point, draft: Draft) -> Injection | None:
        """Find the injection for this call."""
        for lasting in self._lasting:
            assert lasting.fault.error is not None
            if draft.kind in ERRORS[lasting.fault.error] and not _cannot_fail(draft):
                return lasting
        injection = self._armed.pop(point, None)
        if injection is None:
            return None
        reason = injection.reason_against()
        if reason is None and injection.fault.how is How.ERRNO and _cannot_fail(draft):
            reason = f"{injection.fault} cannot strike the close of a connection"
        if reason is not None:
            self._missed[injection] = reason
            return None
        if injection.fault.how is How.SHORT and (
            draft.perform is None or len(draft.fields.get("data") or b"") < LEAST_TO_HALVE
        ):
            self._missed[injection] = "there was less than two bytes to cut, or it could not be cut"
            return None
        if injection.fault.persistent:
            self._lasting.append(injection)
        return injection

    def _inject(self, event: Event, draft: Draft, number: int, injection: Injection) -> None:
        fault = injection.fault
        match fault.how:
            case How.KILL:
                self._finish(event, draft, number, None)
                self._kill(event.process)
            case How.KILL_AFTER:
                self._make(event, draft, number, doom=injection)
            case How.HANG:
                self._finish(event, draft, number, None)
                self._stopped[event.thread] = number
                libc.tgkill(event.process.pid, event.thread, signal.SIGSTOP)
                event.listener.restart(event.identity)
            case How.ERRNO if draft.kind is Kind.CLOSE:
                self._close(event, draft, number, injection)
            case How.ERRNO:
                assert fault.error is not None
                self._finish(event, draft, number, -fault.error)
                event.listener.answer(event.identity, -fault.error)
            case How.SHORT:
                data = draft.fields["data"]
                draft.fields["data"] = data[: len(data) // 2]
                self._make(event, draft, number)
            case How.SLOW:
                self._later(fault.seconds, lambda: self._make(event, draft, number))

    def _close(self, event: Event, draft: Draft, number: int, injection: Injection) -> None:
        """Have a descriptor closed, and its process told that this failed."""
        assert injection.fault.error is not None
        result = -injection.fault.error
        try:
            overrule(event.listener, event.identity, event.thread, result)
        except OSError as error:
            del draft.fields["injected"]
            if self._fired[injection].call == number:
                del self._fired[injection]
                self._missed[injection] = f"the result of a call that was made could not be overruled: {error}"
            self._leave(event, draft, number, None)
        else:
            self._finish(event, draft, number, result)

    def _make(self, event: Event, draft: Draft, number: int, doom: Injection | None = None) -> None:
        """Make a call in its process's place, or let the kernel make it."""
        if draft.perform is None or not event.listener.is_valid(event.identity):
            self._leave(event, draft, number, doom)
            return
        try:
            result = draft.perform()
        except NotSeenError:
            self._leave(event, draft, number, doom)
            return
        except OSError as error:
            result = -(error.errno or errno.EIO)
        if doom is not None:
            self._finish(event, draft, number, result)
            self._kill(event.process)
        elif draft.deliver is not None and result >= 0:
            result = draft.deliver(result)
            self._finish(event, draft, number, result)
        else:
            self._finish(event, draft, number, result)
            event.listener.answer(event.identity, result)

    def _leave(self, event: Event, draft: Draft, number: int, doom: Injection | None) -> None:
        """Leave a call to the kernel: what it returns is not seen."""
        self._finish(event, draft, number, draft.fields.get("result"), ended=False)
        event.listener.go_on(event.identity)
        if doom is not None:
            self._doomed[event.thread] = doom
            self._later(_LOOK_AGAIN_SECONDS, lambda: self._overtake(event))

    def _overtake(self, event: Event) -> None:
        """Kill the process of a call that the kernel made, once it has made it: its thread waits elsewhere."""
        try:
            with open(f"/proc/{event.thread}/syscall", encoding="ascii") as file:
                where = file.read().split()[0]
        except OSError:
            return  # it is gone already
        if where == "running" or int(where) == abi.number_of(event.name):
            self._later(_LOOK_AGAIN_SECONDS, lambda: self._overtake(event))
        else:
            self._kill(event.process)

    def _finish(self, event: Event, draft: Draft, number: int, result: int | None, *, ended: bool = True) -> None:
        fields: dict[str, Any] = draft.fields
        fields["result"] = result
        if ended and result is not None:
            fields["ended"] = time.monotonic() - self.began
        first = self._calls[number]
        fields = {**fields, "number": number, "began": first.began}
        if first.injected is not None:
            fields["injected"] = first.injected
        fields |= {
            "process": first.process,
            "pid": first.pid,
            "thread": first.thread,
            "name": first.name,
            "kind": draft.kind,
        }
        self._calls[number] = Call(**fields)
        event.close()

    def _kill(self, process: Process) -> None:
        self.tree.discover(process)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _cannot_fail(draft: Draft) -> bool:
    """Say whether it is a call that does not fail, whatever others of its kind do: the close of a connection."""
    return draft.kind is Kind.CLOSE and draft.fields.get("channel") is not None
