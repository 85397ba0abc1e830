"""Sockets of the home, and what goes over connections to them: requests and acknowledgements.

Invariant: a connection belongs to the home when the socket that it was accepted from, or that it was made to, is bound
below the home.  Whatever binds, listens, accepts or connects is left to the kernel, which writes the process's own
identity into what its peer can ask for; bytes are sent in the process's place only where that cannot block.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import struct
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ocap.sweeps import tracee
from pytest_ocap.sweeps.abi import AT_FDCWD
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.notify import libc
from pytest_ocap.sweeps.scene import Draft, NotSeenError

if TYPE_CHECKING:
    from pytest_ocap.sweeps.scene import Event, Scene

_UNIX = 1
_PEEK, _DONT_WAIT, _NO_SIGNAL = 0x2, 0x40, 0x4000  # MSG_PEEK, MSG_DONTWAIT, MSG_NOSIGNAL
_PEEKED_AT_MOST = 1 << 20
_PATH_IN_ADDRESS = 108
_HEADER = struct.Struct("=QI4xQQQQi")  # struct msghdr on 64-bit machines

libc.send.restype = libc.recv.restype = ctypes.c_ssize_t
libc.send.argtypes = libc.recv.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)


@dataclass(frozen=True)
class Channel:
    """One end of a connection: the recording's number for it, and the path of the socket it was made through."""

    number: int
    path: str


class Channels:
    """The sockets and connections of the home, by what ``/proc`` calls them (``socket:[inode]``)."""

    def __init__(self) -> None:
        self._bound: dict[str, str] = {}
        self._spelt: dict[str, str] = {}
        self._known: dict[str, Channel | None] = {}
        self._accepted: defaultdict[str, deque[Channel]] = defaultdict(deque)
        self._last = 0

    def _new(self, path: str) -> Channel:
        self._last += 1
        return Channel(self._last, path)

    def binds(self, scene: Scene, event: Event) -> Draft | None:
        """``bind`` to a path of the home."""
        name = self._name(event)
        path = None if name is None else self._located(scene, event, name)
        if name is None or path is None:
            return None
        descriptor = event.signed(0)
        self._spelt[name] = path  # accepted sockets are shown under the name as it was spelt, a relative one too
        self._bound[tracee.link(event.thread, descriptor)] = path
        mode = 0o777 & ~tracee.umask(event.thread)
        return Draft(Kind.BIND, {"path": path, "fd": descriptor, "mode": mode})

    def listens(self, scene: Scene, event: Event) -> Draft | None:
        """``listen`` on a socket of the home."""
        path = self._bound.get(tracee.link(event.thread, event.signed(0)))
        return None if path is None else Draft(Kind.LISTEN, {"path": path, "fd": event.signed(0)})

    def accepts(self, scene: Scene, event: Event) -> Draft | None:
        """``accept`` and accept4; an attempt that finds nobody waiting is not worth a word."""
        descriptor = event.signed(0)
        path = self._bound.get(tracee.link(event.thread, descriptor))
        if path is None:
            return None
        draft = Draft(Kind.ACCEPT, {"path": path, "fd": descriptor})
        here = scene.borrow(event, descriptor)
        if not _is_readable(here) and fcntl.fcntl(here, fcntl.F_GETFL) & os.O_NONBLOCK:
            return None
        channel = self._new(path)
        self._accepted[path].append(channel)
        draft.fields["channel"] = channel.number
        return draft

    def connects(self, scene: Scene, event: Event) -> Draft | None:
        """``connect`` to a socket of the home."""
        name = self._name(event)
        path = None if name is None else self._located(scene, event, name)
        if path is None:
            return None
        descriptor = event.signed(0)
        channel = self._known[tracee.link(event.thread, descriptor)] = self._new(path)
        return Draft(Kind.CONNECT, {"path": path, "fd": descriptor, "channel": channel.number})

    def _name(self, event: Event) -> str | None:
        """Read a socket address; give its name when it is one in the file system."""
        raw = tracee.read(event.thread, event.args[1], min(event.args[2], _PATH_IN_ADDRESS + 2))
        if len(raw) < 3 or struct.unpack_from("=H", raw)[0] != _UNIX or raw[2] == 0:
            return None
        return os.fsdecode(raw[2:].split(b"\0", 1)[0])

    def _located(self, scene: Scene, event: Event, name: str) -> str | None:
        head, tail = os.path.split(name)
        directory = scene.usable(event, AT_FDCWD, head) if head else f"/proc/{event.thread}/cwd"
        return scene.relative(os.path.join(os.path.realpath(directory), tail))

    def of(self, scene: Scene, event: Event, described: str) -> Channel | None:
        """Find the channel of a connected socket."""
        if described not in self._known:
            path = None
            for line in _unix_sockets(event.process.pid):
                fields = line.split(maxsplit=7)
                if len(fields) == 8 and described == f"socket:[{fields[6]}]":
                    name = fields[7].rstrip("\n")
                    path = self._spelt.get(name) or scene.relative(os.path.realpath(name))
            if path is None or described in self._bound:
                self._known[described] = None
            else:
                waiting = self._accepted[path]
                self._known[described] = waiting.popleft() if waiting else self._new(path)
        return self._known[described]

    def sends(self, scene: Scene, event: Event, described: str) -> Draft | None:
        """``send*``, or a write to a socket."""
        channel = self.of(scene, event, described)
        if channel is None:
            return None
        descriptor = event.signed(0)
        flags, control, simple = 0, 0, True
        if event.name in ("write", "sendto"):
            flags = event.signed(3) if event.name == "sendto" else 0
            data = tracee.gather(event.thread, [(event.args[1], event.args[2])])
        elif event.name == "writev":
            data = tracee.gather(event.thread, tracee.read_vector(event.thread, event.args[1], event.args[2]))
        elif event.name == "sendmsg":
            flags = event.signed(2)
            vector, count, control = _message(event, event.args[1])
            data = tracee.gather(event.thread, tracee.read_vector(event.thread, vector, count))
        else:
            scene.note(f"{event.name} on a connection of {channel.path}: what it sent was not seen")
            data, simple = b"", False
        if control:
            scene.note(f"a message with ancillary data (a descriptor, say) on a connection of {channel.path}")
            simple = False
        draft = Draft(Kind.SEND, {"path": channel.path, "fd": descriptor, "channel": channel.number, "data": data})
        here = scene.borrow(event, descriptor)

        def perform() -> int:
            wanted = draft.fields["data"]
            if not simple:
                raise NotSeenError
            count = int(libc.send(here, wanted, len(wanted), flags | _DONT_WAIT | _NO_SIGNAL))
            if count >= 0:
                return count
            problem = tracee.failure()
            blocks = not (flags & _DONT_WAIT or fcntl.fcntl(here, fcntl.F_GETFL) & os.O_NONBLOCK)
            if problem.errno == errno.EPIPE or (problem.errno == errno.EAGAIN and blocks):
                raise NotSeenError  # a signal comes with it, or it waits: the kernel's part
            raise problem

        draft.perform = perform
        return draft

    def receives(self, scene: Scene, event: Event) -> Draft | None:
        """``recv*`` and read on a connection: what is there to be taken is looked at before it is."""
        descriptor = event.signed(0)
        described = tracee.link(event.thread, descriptor)
        channel = self.of(scene, event, described) if described.startswith("socket:") else None
        if channel is None:
            return None
        draft = Draft(Kind.RECEIVE, {"path": channel.path, "fd": descriptor, "channel": channel.number})
        here = scene.borrow(event, descriptor)
        room = _room(event)
        buffer = ctypes.create_string_buffer(min(room, _PEEKED_AT_MOST) or 1)
        count = libc.recv(here, ctypes.cast(buffer, ctypes.c_char_p), len(buffer), _PEEK | _DONT_WAIT)
        if count >= 0:
            draft.fields["data"] = buffer.raw[:count]
        elif fcntl.fcntl(here, fcntl.F_GETFL) & os.O_NONBLOCK:
            return None  # nothing is there, and nothing is waited for
        return draft

    def closes(self, scene: Scene, event: Event) -> Draft | None:
        """``close`` of a file of the home that may be written, or of a connection."""
        descriptor = event.signed(0)
        described = tracee.link(event.thread, descriptor)
        if described.startswith("socket:"):
            channel = self._known.get(described)
            if channel is None:
                return None
            return Draft(Kind.CLOSE, {"path": channel.path, "fd": descriptor, "channel": channel.number})
        path = scene.relative(described.removesuffix(" (deleted)"))
        if path is None:
            return None
        found = os.stat(f"/proc/{event.thread}/fd/{descriptor}")
        with open(f"/proc/{event.thread}/fdinfo/{descriptor}", encoding="ascii") as file:
            flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
        if not flags & os.O_ACCMODE or flags & os.O_PATH:
            return None
        path = scene.name_of(described, found)
        return Draft(Kind.CLOSE, {"path": path, "fd": descriptor, "file": scene.files.of(found)})


def _unix_sockets(pid: int) -> list[str]:
    with open(f"/proc/{pid}/net/unix", encoding="utf-8", errors="surrogateescape") as file:
        return file.readlines()


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _message(event: Event, address: int) -> tuple[int, int, int]:
    """Read a ``struct msghdr``: where its vector lies, its length, and the length of its ancillary data."""
    _name, _name_length, vector, count, _control, control_length, _flags = tracee.read_struct(
        event.thread, address, _HEADER
    )
    return vector, count, control_length


def _room(event: Event) -> int:
    """Say how many bytes a receiving call has room for."""
    if event.name in ("read", "recvfrom"):
        return event.args[2]
    if event.name == "readv":
        vector = tracee.read_vector(event.thread, event.args[1], event.args[2])
    else:
        begin, count, _control = _message(event, event.args[1])
        vector = tracee.read_vector(event.thread, begin, count)
    return sum(length for _base, length in vector)
