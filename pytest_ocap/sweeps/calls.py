"""Recordings: what a process tree did to its home, call by call.

Invariant: a recording is data alone, and says of each call only what was seen.  It knows neither the means by which it
was made (there are two, and they are compared) nor what a point, a fault or a daemon is.

Paths are relative to the home (``""`` is the home itself); what lies elsewhere is not recorded, with the exception of
sockets that were accepted or connected below the home, since they carry what was acknowledged.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Kind(enum.StrEnum):
    """What a call does; each name stands for all system calls that do it."""

    OPEN = "open"
    """A file is opened to be written, made or emptied; ``created`` and ``truncated`` say what that did besides.  A file
    without a name (O_TMPFILE) has no ``path``; ``text`` is the directory that it is made in."""
    WRITE = "write"
    """Bytes are written to a file: ``offset`` and ``data``."""
    TRUNCATE = "truncate"
    """A file gets the length ``size``: ftruncate, truncate, fallocate that may extend it.  (A hole that is punched is
    a write of zeros.)"""
    SYNC = "sync"
    """A file or a directory becomes durable: fsync; ``data_only`` for fdatasync."""
    FLUSH = "flush"
    """Writing out is begun or awaited without any promise: sync_file_range, msync with MS_ASYNC."""
    SYNC_ALL = "sync-all"
    """A whole file system becomes durable: sync, syncfs."""
    RENAME = "rename"
    """``path`` becomes ``target``, over what was there; ``text`` is ``exchange`` when both names change places."""
    LINK = "link"
    """``target`` becomes another name of the file at ``path``; of the file ``file`` when that had no name."""
    SYMLINK = "symlink"
    """``path`` becomes a symbolic link to ``text``."""
    UNLINK = "unlink"
    """The name ``path`` goes."""
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    CHMOD = "chmod"
    """Mode, owner or times of ``path`` change."""
    MMAP = "mmap"
    """A file is mapped shared and writable: what is written through it cannot be seen."""
    LOCK = "lock"
    """flock, or a lock of fcntl; ``operation`` says which."""
    BIND = "bind"
    """A socket gets the name ``path``."""
    LISTEN = "listen"
    ACCEPT = "accept"
    """A connection is taken; ``channel`` names it."""
    CONNECT = "connect"
    """A connection to a socket of the home is made; ``channel`` names it."""
    SEND = "send"
    """``data`` leaves through a connection: ``channel``."""
    RECEIVE = "receive"
    """``data`` came through a connection: ``channel``."""
    CLOSE = "close"
    """A descriptor of a file that may be written, or of a connection, is given back by close (not by dup2 or exit)."""
    SPAWN = "spawn"
    """A process is made; ``text`` is its name in the tree, or ``thread`` when it is a thread of the same process."""
    EXEC = "exec"
    """``text`` is the program."""
    EXIT = "exit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call.

    Attributes:
        number: Its place in the recording, from 0, in the order in which calls began.
        process: The process's name in the tree, stable from run to run: ``0`` is the first, ``0.2`` its second child,
            ``0.2.1`` that one's first.
        pid: Its number in that run.
        thread: The thread's number in that run.
        name: The system call's name.
        kind: What it does.
        path: What it is done to; None when it has no name in the home.
        target: The second path, where there is one.
        fd: The descriptor it was made on, or that it gave.
        file: The identity of the open file (a number of the recording's own): the same for every descriptor and name
            of one file while it exists, another for a file made later at the same path.
        offset: Where a write began, in bytes.
        size: A new length, in bytes.
        data: What was written, sent or received, whole.
        text: See the kinds.
        operation: The operation of a lock.
        channel: The connection.
        mode: The permission bits of what was made.
        created: Whether the call made the file.
        truncated: Whether the call emptied the file.
        append: Whether the file was opened to append.
        data_only: Whether only data need be durable (fdatasync).
        durable: Whether a write is durable when it comes back: the file was opened with O_SYNC or O_DSYNC, or the call
            had RWF_SYNC or RWF_DSYNC.
        result: What it returned, ``-errno`` when it failed; None when that was not seen, or it never came back.
        injected: The fault that was injected at this call, in its text form; None when none was.
        began: When it began, in seconds of the monotonic clock since the recording's beginning.
        ended: When it came back; None when that was not seen.
    """

    number: int
    process: str
    pid: int
    thread: int
    name: str
    kind: Kind
    began: float
    path: str | None = None
    target: str | None = None
    fd: int | None = None
    file: int | None = None
    offset: int | None = None
    size: int | None = None
    data: bytes | None = None
    text: str | None = None
    operation: str | None = None
    channel: int | None = None
    mode: int | None = None
    created: bool = False
    truncated: bool = False
    append: bool = False
    data_only: bool = False
    durable: bool = False
    result: int | None = None
    injected: str | None = None
    ended: float | None = None

    @property
    def gives_up_a_lock(self) -> bool:
        """Whether it is a lock that is given up, and not one that is taken."""
        return self.operation is not None and ": release" in self.operation


@dataclass(frozen=True, slots=True)
class Recording:
    """All calls of one run of a workload.

    Attributes:
        means: By which means it was made.
        calls: The calls, by number.
        notes: What could not be followed, in words: shared mappings, calls of unknown kinds, what was cut.
    """

    means: str
    calls: tuple[Call, ...]
    notes: tuple[str, ...] = field(default=())
