"""The kernel's side of a system-call supervisor: notifications are received here, and answered.

Invariant: every notification that is received gets one answer, or its process is killed.  Nothing here knows what a
call means.  Numbers and layouts are those of ``linux/seccomp.h`` (seccomp_unotify(2)), which are the same on every
architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from typing import NamedTuple

_RECEIVE = 0xC0502100  # _IOWR('!', 0, struct seccomp_notif)
_SEND = 0xC0182101  # _IOWR('!', 1, struct seccomp_notif_resp)
_ID_VALID = 0x40082102  # _IOW('!', 2, __u64)
_ADD_DESCRIPTOR = 0x40182103  # _IOW('!', 3, struct seccomp_notif_addfd)

_SET_FLAGS = 0x40082104  # _IOW('!', 4, __u64)
_SYNCHRONOUS_WAKE_UP = 1  # SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP

_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_ADDITION = struct.Struct("=QIIII")
_ID = struct.Struct("=Q")

_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_ADD_AND_SEND = 2  # SECCOMP_ADDFD_FLAG_SEND
_RESTART = 512  # ERESTARTSYS: a signal is pending, and the call is made anew after it

SET_FILTER = 1  # SECCOMP_SET_MODE_FILTER
NEW_LISTENER = 1 << 3  # SECCOMP_FILTER_FLAG_NEW_LISTENER
WAIT_KILLABLE = 1 << 5  # SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19

libc = ctypes.CDLL(None, use_errno=True)


class Notification(NamedTuple):
    """A call that waits for an answer: which thread makes it, its number and its six arguments."""

    id: int
    thread: int
    number: int
    args: tuple[int, ...]


class Listener:
    """One filter's listener; every process under that filter is heard through it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        with contextlib.suppress(OSError):  # Linux 6.6: who waits for whom is known, and wakes it on the same core
            fcntl.ioctl(descriptor, _SET_FLAGS, _SYNCHRONOUS_WAKE_UP)

    def fileno(self) -> int:
        """The descriptor, to be polled."""
        return self._descriptor

    def close(self) -> None:
        """Stop listening: calls that are made from now on fail with ENOSYS."""
        os.close(self._descriptor)

    def receive(self) -> Notification | None:
        """Take the next notification; None when its thread has gone meanwhile."""
        buffer = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._descriptor, _RECEIVE, buffer)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        identity, thread, _flags, number, _architecture, _pointer, *args = _NOTIFICATION.unpack(buffer)
        return Notification(identity, thread, number, tuple(args))

    def is_valid(self, identity: int) -> bool:
        """Say whether the call still waits: if so, what was read of its process was its process's."""
        try:
            fcntl.ioctl(self._descriptor, _ID_VALID, _ID.pack(identity))
        except OSError:
            return False
        return True

    def go_on(self, identity: int) -> None:
        """Let the kernel carry out the call as it stands."""
        self._send(identity, 0, 0, _CONTINUE)

    def answer(self, identity: int, result: int) -> None:
        """Give the call's result, ``-errno`` for a failure, in the kernel's place."""
        self._send(identity, max(result, 0), min(result, 0), 0)

    def restart(self, identity: int) -> None:
        """Have the call made anew once the signal has been dealt with that was just sent to its thread."""
        self._send(identity, 0, -_RESTART, 0)

    def _send(self, identity: int, value: int, error: int, flags: int) -> None:
        try:
            fcntl.ioctl(self._descriptor, _SEND, bytearray(_RESPONSE.pack(identity, value, error, flags)))
        except OSError as problem:
            if problem.errno != errno.ENOENT:  # else the thread was killed meanwhile: nobody waits for the answer
                raise

    def give(self, identity: int, descriptor: int, *, close_on_exec: bool) -> int:
        """Answer the call with a copy of a descriptor of ours; give its number there, ``-errno`` when it got none."""
        flags = os.O_CLOEXEC if close_on_exec else 0
        message = _ADDITION.pack(identity, _ADD_AND_SEND, descriptor, 0, flags)
        try:
            return int(fcntl.ioctl(self._descriptor, _ADD_DESCRIPTOR, bytearray(message)))
        except OSError as problem:
            failure = -(problem.errno or errno.EIO)
            if failure != -errno.ENOENT:
                self.answer(identity, failure)
            return failure
