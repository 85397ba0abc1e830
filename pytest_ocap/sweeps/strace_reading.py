"""A recording, made from what strace wrote.

Invariant: it says the same as the supervisor's recording of the same run, in the same words, where both can know it; it
knows the results of all calls, and neither the identity of files nor where a plain write began.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_ocap.sweeps import strace_lines as notation
from pytest_ocap.sweeps.abi import (
    AT_REMOVEDIR,
    CLONE_THREAD,
    FALLOC_PUNCH_HOLE,
    LOCKING,
    O_TMPFILE,
    RENAME_EXCHANGE,
    WRITES,
    file_lock,
    record_lock,
)
from pytest_ocap.sweeps.calls import Call, Kind, Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_ocap.sweeps.strace_lines import Line

MEANS = "strace"
_MAP_ANONYMOUS, _MAP_SHARED, _PROT_WRITE, _MS_SYNC = 0x20, 0x1, 0x2, 0x4
_DUPLICATE = (fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC)
_UNREAD = frozenset({"sendfile", "copy_file_range", "splice", "sendmmsg", "recvmmsg"})
_IS_DESCRIPTOR = re.compile(r"\d+<")
Found = dict[str, Any]


@dataclass
class _Process:
    """A process as far as strace's lines tell."""

    name: str
    pid: int
    directory: str = "/"
    children: int = 0
    writable: dict[int, bool] = field(default_factory=dict)


class Reading:
    """Reads the lines of one run."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._threads: dict[int, _Process] = {}
        self._roots = 0
        self._names: dict[str, str] = {}  # the name by which a socket was bound, as it was spelt: its path in the home
        self._channels: dict[str, tuple[int, str]] = {}
        self._notes: dict[str, None] = {}
        self._handlers: dict[str, Callable[[Line, _Process], Found | None]] = {
            name: handler
            for handler, words in (
                (self._opens, "open openat creat openat2"),
                (self._writes, "write pwrite64 writev pwritev pwritev2 sendto sendmsg"),
                (self._truncates, "truncate ftruncate fallocate"),
                (self._syncs, "fsync fdatasync sync_file_range sync syncfs"),
                (self._renames, "rename renameat renameat2 link linkat"),
                (self._names_one, "symlink symlinkat unlink unlinkat rmdir mkdir mkdirat"),
                (self._maps, "mmap"),
                (self._locks, "flock fcntl"),
                (self._sockets, "bind listen connect accept accept4"),
                (self._receives, "read readv recvfrom recvmsg"),
                (self._closes, "close"),
                (self._spawns, "clone clone3 fork vfork"),
                (self._lives, "execve execveat exit_group"),
                (self._changes_modes, "chmod fchmod fchmodat chown fchown lchown fchownat utimensat"),
            )
            for name in words.split()
        }

    def reads(self) -> frozenset[str]:
        """Give the names of the calls that it reads."""
        return frozenset(self._handlers)

    def recording(self, lines: Sequence[Line]) -> tuple[Recording, list[Line]]:
        """Make the recording; the lines of its calls are given with it, in the same order."""
        calls: list[Call] = []
        kept: list[Line] = []
        began = lines[0].began if lines else 0.0
        for line in lines:
            process = self._process(line.thread)
            self._follow(line, process)
            handler = self._handlers.get(line.name)
            found = None if handler is None else handler(line, process)
            if line.name in _UNREAD:
                self._note_unread(line)
            if found is None:
                continue
            found.setdefault("result", line.result)
            if line.result is not None and line.seconds is not None:
                found["ended"] = line.began - began + line.seconds
            calls.append(
                Call(
                    number=len(calls),
                    process=process.name,
                    pid=process.pid,
                    thread=line.thread,
                    name=line.name,
                    began=line.began - began,
                    **found,
                )
            )
            kept.append(line)
        return Recording(MEANS, tuple(calls), tuple(self._notes)), kept

    def _note_unread(self, line: Line) -> None:
        """Say of a call that is not understood that it had to do with the home."""
        for word in line.args:
            path = self._relative(notation.described(word)[1]) if _IS_DESCRIPTOR.match(word) else None
            if path is not None:
                self._notes[f"{line.name} on {path}: what it did was not seen"] = None

    # --- processes and paths -----------------------------------------------------------------------------------------

    def _process(self, thread: int) -> _Process:
        process = self._threads.get(thread)
        if process is None:
            process = self._threads[thread] = _Process(str(self._roots), thread)
            self._roots += 1
        return process

    def _follow(self, line: Line, process: _Process) -> None:
        """Learn the working directory, which strace shows beside AT_FDCWD, and which descriptors are copies."""
        for word in line.args:
            if word.startswith("-100<"):
                process.directory = notation.described(word)[1]
        if line.name in ("chdir", "fchdir") and line.result == 0:
            if line.name == "chdir":
                process.directory = self._absolute(os.fsdecode(line.text(0)), process.directory)
            else:
                process.directory = notation.described(line.args[0])[1]

        duplicates = line.name in ("dup", "dup2", "dup3") or (line.name == "fcntl" and line.number(1) in _DUPLICATE)
        if duplicates and line.result is not None and line.result >= 0:
            process.writable[line.result] = process.writable.get(line.number(0), False)

    def _absolute(self, path: str, directory: str) -> str:
        whole = os.path.normpath(os.path.join(directory, path))
        return (
            os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole)) if whole != "/" else whole
        )

    def _relative(self, path: str) -> str | None:
        if path == self._home:
            return ""
        return path[len(self._home) + 1 :] if path.startswith(self._home + "/") else None

    def _path(self, line: Line, process: _Process, place: int, at: int | None = None) -> str | None:
        directory = process.directory if at is None else notation.described(line.args[at])[1]
        return self._relative(self._absolute(os.fsdecode(line.text(place)), directory or process.directory))

    def _file(self, line: Line, place: int = 0) -> tuple[int, str | None, bool] | None:
        """Give descriptor, path and whether it is in the home at all; None when it is elsewhere."""
        if not line.args[place].startswith(tuple("0123456789")):
            return None
        descriptor, what, deleted = notation.described(line.args[place])
        path = self._relative(what)
        return None if path is None else (descriptor, None if deleted else path, deleted)

    # --- calls -------------------------------------------------------------------------------------------------------

    def _opens(self, line: Line, process: _Process) -> Found | None:
        at = None if line.name in ("open", "creat") else 0
        place = 0 if at is None else 1
        if line.name == "creat":
            flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
        elif line.name == "openat2":
            flags = notation.number(notation.fields(line.args[2])["flags"])
        else:
            flags = line.number(place + 1)
        if not flags & WRITES or flags & os.O_PATH:
            return None
        path = self._path(line, process, place, at)
        unnamed = flags & O_TMPFILE == O_TMPFILE
        if line.result is not None and line.result >= 0 and not unnamed:
            path = self._relative(notation.described(f"{line.result}{line.returned}")[1])
        if path is None:
            return None
        found: Found = {"kind": Kind.OPEN, "append": bool(flags & os.O_APPEND)}
        found["text" if unnamed else "path"] = path
        if line.result is not None and line.result >= 0:
            found["fd"] = line.result
            process.writable[line.result] = bool(flags & os.O_ACCMODE)
        return found

    def _data(self, line: Line) -> bytes:
        if line.name == "sendmsg":
            message = notation.fields(line.args[1])
            return notation.vector(message["msg_iov"])
        return notation.vector(line.args[1]) if "writev" in line.name else line.text(1)

    def _writes(self, line: Line, _process: _Process) -> Found | None:
        file = self._file(line)
        if file is not None:
            found: Found = {"kind": Kind.WRITE, "fd": file[0], "path": file[1], "data": self._data(line)}
            if line.name.startswith("p"):
                found["offset"] = line.number(3)
            return found
        channel = self._channel(line)
        if channel is None:
            return None
        return {"kind": Kind.SEND, **channel, "data": self._data(line)}

    def _truncates(self, line: Line, process: _Process) -> Found | None:
        if line.name == "truncate":
            path = self._path(line, process, 0)
            return None if path is None else {"kind": Kind.TRUNCATE, "path": path, "size": line.number(1)}
        file = self._file(line)
        if file is None:
            return None
        if line.name == "ftruncate":
            return {"kind": Kind.TRUNCATE, "fd": file[0], "path": file[1], "size": line.number(1)}
        kind = Kind.WRITE if line.number(1) & FALLOC_PUNCH_HOLE else Kind.TRUNCATE
        return {"kind": kind, "fd": file[0], "path": file[1]}

    def _syncs(self, line: Line, _process: _Process) -> Found | None:
        if line.name in ("sync", "syncfs"):
            return {"kind": Kind.SYNC_ALL}
        file = self._file(line)
        if file is None:
            return None
        kind = Kind.FLUSH if line.name == "sync_file_range" else Kind.SYNC
        return {"kind": kind, "fd": file[0], "path": file[1], "data_only": line.name == "fdatasync"}

    def _renames(self, line: Line, process: _Process) -> Found | None:
        if line.name in ("rename", "link"):
            old, new = self._path(line, process, 0), self._path(line, process, 1)
        else:
            old, new = self._path(line, process, 1, 0), self._path(line, process, 3, 2)
        if line.name in ("link", "linkat"):
            return None if new is None else {"kind": Kind.LINK, "path": old, "target": new}
        if old is None and new is None:
            return None
        exchange = line.name == "renameat2" and line.number(4) & RENAME_EXCHANGE
        return {"kind": Kind.RENAME, "path": old, "target": new, "text": "exchange" if exchange else None}

    def _names_one(self, line: Line, process: _Process) -> Found | None:
        if line.name.startswith("symlink"):
            place, at = (1, None) if line.name == "symlink" else (2, 1)
            path = self._path(line, process, place, at)
            return None if path is None else {"kind": Kind.SYMLINK, "path": path, "text": os.fsdecode(line.text(0))}
        at_place = 0 if line.name.endswith("at") else None
        path = self._path(line, process, 0 if at_place is None else 1, at_place)
        if path is None:
            return None
        if line.name.startswith("mkdir"):
            return {"kind": Kind.MKDIR, "path": path}
        is_directory = line.name == "rmdir" or (line.name == "unlinkat" and line.number(2) & AT_REMOVEDIR)
        return {"kind": Kind.RMDIR if is_directory else Kind.UNLINK, "path": path}

    def _maps(self, line: Line, _process: _Process) -> Found | None:
        flags = line.number(3)
        file = self._file(line, 4)
        if file is None or not flags & _MAP_SHARED or flags & _MAP_ANONYMOUS or not line.number(2) & _PROT_WRITE:
            return None
        path = self._relative(notation.described(line.args[4])[1])
        self._notes[f"{path} is mapped shared and writable: what is written through the mapping cannot be seen"] = None
        return {"kind": Kind.MMAP, "path": path, "fd": file[0], "size": line.number(1), "result": None}

    def _locks(self, line: Line, _process: _Process) -> Found | None:
        file = self._file(line)
        if file is None or (line.name == "fcntl" and line.number(1) not in LOCKING):
            return None
        if line.name == "flock":
            operation = file_lock(line.number(1))
        else:
            lock = {name: notation.number(value) for name, value in notation.fields(line.args[2]).items()}
            operation = record_lock(line.number(1), lock["l_type"], lock["l_start"], lock["l_len"])
        return {"kind": Kind.LOCK, "fd": file[0], "path": file[1], "operation": operation}

    # --- sockets -----------------------------------------------------------------------------------------------------

    def _channel(self, line: Line) -> Found | None:
        """Find the connection that a descriptor is."""
        descriptor, what, _ = notation.described(line.args[0])
        socket = notation.socket(what)
        if socket is None:
            return None
        known = self._channels.get(socket[0])
        return None if known is None else {"fd": descriptor, "channel": known[0], "path": known[1]}

    def _sockets(self, line: Line, process: _Process) -> Found | None:
        if line.name in ("bind", "connect"):
            address = notation.fields(line.args[1])
            spelt = address.get("sun_path", "")
            if not spelt.startswith('"'):
                return None
            path = self._relative(self._absolute(os.fsdecode(notation.text(spelt)), process.directory))
            if path is None:
                return None
            if line.name == "bind":
                self._names[spelt.strip('"')] = path
                return {"kind": Kind.BIND, "path": path, "fd": line.number(0)}
            return {"kind": Kind.CONNECT, **self._open(line.args[0], path, line.number(0))}
        bound = notation.socket(notation.described(line.args[0])[1].replace("\n", ""))
        spelt_name = _bound_name(line.args[0])
        path = None if bound is None or spelt_name is None else self._names.get(spelt_name)
        if path is None:
            return None
        if line.name == "listen":
            return {"kind": Kind.LISTEN, "path": path, "fd": line.number(0)}
        if line.result is None or line.result < 0:
            return None if line.result is not None else {"kind": Kind.ACCEPT, "path": path, "fd": line.number(0)}
        return {"kind": Kind.ACCEPT, **self._open(f"{line.result}{line.returned}", path, line.number(0))}

    def _open(self, word: str, path: str, descriptor: int) -> Found:
        socket = notation.socket(notation.described(word)[1])
        number = len(self._channels) + 1
        if socket is not None:
            self._channels[socket[0]] = (number, path)
        return {"path": path, "fd": descriptor, "channel": number}

    def _receives(self, line: Line, _process: _Process) -> Found | None:
        channel = self._channel(line)
        if channel is None or line.result is None or line.result < 0:
            return None
        if line.name == "recvmsg":
            data = notation.vector(notation.fields(line.args[1])["msg_iov"])
        else:
            data = notation.vector(line.args[1]) if line.name == "readv" else line.text(1)
        return {"kind": Kind.RECEIVE, **channel, "data": data[: line.result]}

    def _closes(self, line: Line, process: _Process) -> Found | None:
        channel = self._channel(line)
        if channel is not None:
            return {"kind": Kind.CLOSE, **channel}
        file = self._file(line)
        if file is None or not process.writable.get(file[0], False):
            return None
        del process.writable[file[0]]
        return {"kind": Kind.CLOSE, "fd": file[0], "path": file[1]}

    # --- lives -------------------------------------------------------------------------------------------------------

    def _spawns(self, line: Line, process: _Process) -> Found:
        flags = 0
        for word in line.args:
            if word.startswith("{flags="):
                flags = notation.number(notation.fields(word)["flags"])
            elif word.startswith("flags="):
                flags = notation.number(word.removeprefix("flags="))
        if flags & CLONE_THREAD:
            if line.result is not None and line.result > 0:
                self._threads[line.result] = process
            return {"kind": Kind.SPAWN, "text": "thread"}
        process.children += 1
        name = f"{process.name}.{process.children}"
        if line.result is not None and line.result > 0:
            child = _Process(name, line.result, process.directory, writable=dict(process.writable))
            self._threads[line.result] = child
        return {"kind": Kind.SPAWN, "text": name}

    def _lives(self, line: Line, _process: _Process) -> Found:
        if line.name == "exit_group":
            return {"kind": Kind.EXIT, "text": str(line.number(0) & 0xFF)}
        return {"kind": Kind.EXEC, "text": os.fsdecode(line.text(1 if line.name == "execveat" else 0))}

    def _changes_modes(self, line: Line, process: _Process) -> Found | None:
        if line.name in ("fchmod", "fchown") or (line.name == "utimensat" and line.args[1] == "NULL"):
            file = self._file(line)
            path = None if file is None else self._relative(notation.described(line.args[0])[1])
        else:
            at = 0 if line.name.endswith("at") else None
            path = self._path(line, process, 0 if at is None else 1, at)
        if path is None:
            return None
        found: Found = {"kind": Kind.CHMOD, "path": path}
        if "chmod" in line.name:
            found["mode"] = line.number(2 if line.name == "fchmodat" else 1) & 0o7777
        return found


def _bound_name(word: str) -> str | None:
    """Give the name by which a socket was bound, as strace spells it."""
    begin = word.find('"')
    return None if begin < 0 else word[begin + 1 : word.rfind('"')]
