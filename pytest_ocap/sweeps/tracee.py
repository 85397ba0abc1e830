"""A process under supervision, looked at from outside while one of its threads waits in a call.

Invariant: only reads, and borrows descriptors; nothing here changes the process.  A process that is gone raises
:class:`OSError`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_ocap.sweeps.notify import libc

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = resource.getpagesize()
PATH_MAX = 4096
LARGEST = 1 << 30
"""The most that is read of a process's memory at once, in bytes."""

_PIDFD_GETFD = 438  # pidfd_getfd, the same number on every architecture (it is younger than the common table)


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


libc.process_vm_readv.argtypes = (
    ctypes.c_int,
    ctypes.POINTER(_Span),
    ctypes.c_ulong,
    ctypes.POINTER(_Span),
    ctypes.c_ulong,
    ctypes.c_ulong,
)
libc.process_vm_readv.restype = ctypes.c_ssize_t


def failure() -> OSError:
    """Make the error of the C library's last call."""
    return _error(ctypes.get_errno())


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def read(thread: int, address: int, length: int) -> bytes:
    """Read a process's memory; what lies behind its end is left out."""
    if length == 0:
        return b""
    if length > LARGEST:
        raise _error(errno.ENOMEM)
    buffer = ctypes.create_string_buffer(length)
    here = _Span(ctypes.addressof(buffer), length)
    there = _Span(address, length)
    count = libc.process_vm_readv(thread, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    if count < 0:
        raise failure()
    return buffer.raw[:count]


def read_struct(thread: int, address: int, layout: struct.Struct) -> tuple[Any, ...]:
    """Read a structure, whole."""
    raw = read(thread, address, layout.size)
    if len(raw) < layout.size:
        raise _error(errno.EFAULT)
    return layout.unpack(raw)


def read_path(thread: int, address: int) -> str:
    """Read a path, page by page, since what follows its last one need not exist."""
    found = b""
    while len(found) <= PATH_MAX:
        chunk = read(thread, address, PAGE - address % PAGE)
        end = chunk.find(b"\0")
        if end >= 0:
            return os.fsdecode(found + chunk[:end])
        found += chunk
        address += len(chunk)
    raise _error(errno.ENAMETOOLONG)


def read_vector(thread: int, address: int, count: int) -> list[tuple[int, int]]:
    """Read an array of ``struct iovec``: addresses and lengths."""
    raw = read_struct(thread, address, struct.Struct(f"={2 * min(count, 1024)}Q"))
    return list(zip(raw[::2], raw[1::2], strict=True))


def gather(thread: int, vector: list[tuple[int, int]]) -> bytes:
    """Read what a vector points to, whole; :class:`OSError` when a part of it cannot be read."""
    parts = [read(thread, base, length) for base, length in vector]
    if [len(part) for part in parts] != [length for _base, length in vector]:
        raise _error(errno.EFAULT)
    return b"".join(parts)


def link(thread: int, descriptor: int) -> str:
    """Say what a descriptor is: a path, ``socket:[inode]``, ``pipe:[inode]`` or the like."""
    return os.readlink(f"/proc/{thread}/fd/{descriptor}")


def status(thread: int) -> dict[str, str]:
    """Read ``/proc/…/status``."""
    with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


def umask(thread: int) -> int:
    """Give the umask under which a thread makes files."""
    return int(status(thread)["Umask"], 8)


def start_time(pid: int) -> int:
    """Give when a process was created, in clock ticks since the machine's start: with the pid it names the process."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def lives(pid: int, started: int) -> bool:
    """Say whether a process that was created then still exists, as a zombie perhaps."""
    try:
        return start_time(pid) == started
    except OSError:
        return False


def file_size_limit(pid: int) -> int:
    """Give the most bytes that a file may grow to by this process; -1 when there is no limit."""
    return resource.prlimit(pid, resource.RLIMIT_FSIZE)[0]


def may_open_more(pid: int) -> bool:
    """Say whether the process may have one more descriptor."""
    return len(os.listdir(f"/proc/{pid}/fd")) < resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]


@contextmanager
def umask_of(thread: int) -> Iterator[int]:
    """Take over a thread's umask."""
    mask = umask(thread)
    before = os.umask(mask)
    try:
        yield mask
    finally:
        os.umask(before)


class Borrower:
    """Gives descriptors of this process for the open files of others: the same open file, not another of its name."""

    def __init__(self) -> None:
        self._processes: dict[int, int] = {}

    def borrow(self, pid: int, descriptor: int) -> int:
        """Borrow a descriptor; whoever asks closes it."""
        handle = self._processes.get(pid)
        if handle is None:
            handle = self._processes[pid] = os.pidfd_open(pid)
        found = int(libc.syscall(_PIDFD_GETFD, handle, descriptor, 0))
        if found < 0:
            raise failure()
        return found

    def forget(self, pid: int) -> None:
        """A process is gone."""
        handle = self._processes.pop(pid, None)
        if handle is not None:
            os.close(handle)

    def close(self) -> None:
        """Forget all of them."""
        for pid in list(self._processes):
            self.forget(pid)
