"""A call that the kernel makes, and of which its caller is told that it failed.

Linux gives a descriptor back whatever close says of it: the locks of the file go, and so does the end of what it was.
So an error at close is not answered in the call's place: the thread is stopped on its way back from the call
(ptrace(2)), its result is written over, and it is let go again.

Invariant: when this is back, the thread is traced by nobody any more.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from typing import TYPE_CHECKING

from pytest_ocap.sweeps import tracee
from pytest_ocap.sweeps.notify import libc

if TYPE_CHECKING:
    from pytest_ocap.sweeps.notify import Listener

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_GET_REGISTERS, _SET_REGISTERS = 0x4204, 0x4205
_GENERAL = 1  # NT_PRSTATUS
_EVENT_STOP = 128  # PTRACE_EVENT_STOP
_ANY_THREAD = 0x40000000  # __WALL
_MOST_REGISTERS = 64
_RESULT = {"x86_64": 10, "aarch64": 0}
"""Which of the general registers, of eight bytes each, has a call's result: ``rax``, ``x0``."""

libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Registers(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def overrule(listener: Listener, identity: int, thread: int, result: int) -> None:
    """Let the kernel make a call, and give its caller another result.

    Args:
        listener: Where the call waits; signals do not wake it there, but for those that kill it.
        identity: Its identity there.
        thread: The thread that makes it.
        result: What the caller is told: ``-errno``.

    Raises:
        OSError: The thread cannot be traced, by us or because somebody else does.  Nothing has been done then.
    """
    _ptrace(_SEIZE, thread)
    with contextlib.suppress(OSError):  # it has been killed meanwhile
        try:
            _ptrace(_INTERRUPT, thread)
        finally:
            listener.go_on(identity)
        _, status = os.waitpid(thread, _ANY_THREAD)
        if os.WIFSTOPPED(status):
            _set_result(thread, result)
            stopped_for = 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status)
            _ptrace(_DETACH, thread, data=stopped_for)


def _set_result(thread: int, result: int) -> None:
    registers = (ctypes.c_int64 * _MOST_REGISTERS)()
    span = _Registers(ctypes.addressof(registers), ctypes.sizeof(registers))
    _ptrace(_GET_REGISTERS, thread, _GENERAL, ctypes.addressof(span))
    registers[_RESULT[platform.machine()]] = result
    _ptrace(_SET_REGISTERS, thread, _GENERAL, ctypes.addressof(span))


def _ptrace(request: int, thread: int, address: int = 0, data: int = 0) -> None:
    if libc.ptrace(request, thread, address, data) < 0:
        raise tracee.failure()
