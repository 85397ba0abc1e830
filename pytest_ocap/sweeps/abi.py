"""Which system calls are looked at, and what tells apart the calls of one name.

Invariant: names only; numbers come from libseccomp, which knows them for every architecture, so x86-64 and aarch64 have
one table.  A name that an architecture does not have is left out there.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from functools import cache
from typing import NamedTuple

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
RENAME_EXCHANGE = 2
FALLOC_KEEP_SIZE = 1
FALLOC_PUNCH_HOLE = 2
CLONE_VFORK = 0x4000
CLONE_THREAD = 0x10000
O_TMPFILE = os.O_TMPFILE
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
"""An open without any of these flags leaves the home as it is, and is not looked at."""
LOCKING = {
    fcntl.F_SETLK: "lock",
    fcntl.F_SETLKW: "lock, waiting",
    37: "open file lock",  # F_OFD_SETLK
    38: "open file lock, waiting",  # F_OFD_SETLKW
}
"""The commands of fcntl that lock."""


class Argument(NamedTuple):
    """A condition on an argument: under this mask it has this value."""

    place: int
    mask: int
    value: int


_WRITING = [(flag, flag) for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC)]
_SHARED_AND_WRITABLE = (
    Argument(2, mmap.PROT_WRITE, mmap.PROT_WRITE),
    Argument(3, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, mmap.MAP_SHARED),
)

CREDENTIALS = frozenset(
    ("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups")
    + ("capset", "chroot", "pivot_root", "unshare", "setns")
)
"""Calls after which a process may see or be allowed something else than its supervisor."""

_ALWAYS = """
    openat2 creat write pwrite64 writev pwritev pwritev2 sendfile copy_file_range splice
    ftruncate truncate fallocate fsync fdatasync sync_file_range sync syncfs msync
    rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat mkdir mkdirat rmdir
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
    flock bind listen accept accept4 connect sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg read readv close
    clone clone3 fork vfork execve execveat exit_group io_uring_setup
"""

CALLS: dict[str, tuple[tuple[Argument, ...], ...]] = {
    **dict.fromkeys(_ALWAYS.split(), ()),
    **dict.fromkeys(CREDENTIALS, ()),
    "open": tuple((Argument(1, mask, value),) for mask, value in _WRITING),
    "openat": tuple((Argument(2, mask, value),) for mask, value in _WRITING),
    "fcntl": tuple((Argument(1, 0xFFFFFFFF, command),) for command in LOCKING),
    "mmap": (_SHARED_AND_WRITABLE,),
}
"""The calls that are looked at, each with the conditions of which one must hold; no condition: always."""

READING = frozenset({"read", "readv"})
"""Calls that a program makes for every file it reads, and that say something only on a connection."""


@cache
def numbers() -> dict[int, str]:
    """Give the name of each call by its number here."""
    import pyseccomp

    found = {pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name): name for name in CALLS}
    return {number: name for number, name in found.items() if number >= 0}


@cache
def number_of(name: str) -> int:
    """Give a call's number here."""
    import pyseccomp

    return int(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name))


@cache
def filter_program(without: frozenset[str] = frozenset()) -> bytes:
    """Make the filter that notifies of these calls and allows all others, as instructions for the kernel.

    Calls of another architecture's table (32-bit programs on a 64-bit machine) are allowed: they are not seen.
    """
    import pyseccomp

    program = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.ALLOW)
    for number, name in numbers().items():
        if name in without:
            continue
        for conditions in CALLS[name] or ((),):
            arguments = [
                pyseccomp.Arg(condition.place, pyseccomp.MASKED_EQ, condition.mask, condition.value)
                for condition in conditions
            ]
            program.add_rule(pyseccomp.NOTIFY, number, *arguments)
    descriptor = os.memfd_create("filter")
    with open(descriptor, "r+b") as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()


def record_lock(command: int, kind: int, start: int, length: int) -> str:
    """Say in words what a lock of fcntl asks for."""
    words = {fcntl.F_RDLCK: "shared", fcntl.F_WRLCK: "exclusive", fcntl.F_UNLCK: "release"}
    return f"{LOCKING[command]}: {words.get(kind, kind)} {start}+{length}"


def file_lock(operation: int) -> str:
    """Say in words what flock asks for."""
    words = {fcntl.LOCK_SH: "shared", fcntl.LOCK_EX: "exclusive", fcntl.LOCK_UN: "release"}
    waiting = "" if operation & fcntl.LOCK_NB else ", waiting"
    return f"flock{waiting}: {words.get(operation & ~fcntl.LOCK_NB, operation)}"
