"""Recordings written by hand, as short scripts; and each call made for real, if a directory is given.

So a test says what a program did in the order in which it did it, and the directory says what a real file system made
of it.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ocap.sweeps.calls import Call, Kind, Recording

if TYPE_CHECKING:
    from collections.abc import Iterator


class Script:
    """A program: each method is a call that it makes, one after the other, unless said otherwise."""

    def __init__(self, home: Path | None = None) -> None:
        """Begin; the calls are made for real in a home, if one is given."""
        self.home = home
        self.calls: list[Call] = []
        self.notes: list[str] = []
        self._open: dict[str, int] = {}
        self._descriptors: dict[int, int] = {}
        self._files = 0
        self._sizes: dict[int, int] = {}

    def recording(self) -> Recording:
        """Give what was recorded."""
        return Recording("script", tuple(self.calls), tuple(self.notes))

    def close(self) -> None:
        """Let go of what is open."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    # --- files ---------------------------------------------------------------------------------------------------

    def open(self, path: str, *, create: bool = False, truncate: bool = False, mode: int = 0o600) -> None:
        """Open a file; writes to the path go through this from then on, wherever it is moved."""
        self._files += 1
        self._open[path] = self._files
        if self.home is not None:
            flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL) * create | os.O_TRUNC * truncate
            descriptor = os.open(self.home / path, flags, mode)
            os.fchmod(descriptor, mode) if create else None
            self._descriptors[self._files] = descriptor
            self._sizes[self._files] = os.fstat(descriptor).st_size
        self._add("openat", Kind.OPEN, path, file=self._files, created=create, truncated=truncate, mode=mode)

    def write(self, path: str, offset: int | None, data: bytes, *, durable: bool = False, short: int = 0) -> None:
        """Write bytes at an offset, or at the end; all but the last few of them when it comes back short."""
        file = self._open[path]
        written = len(data) - short
        if self.home is not None:
            at = os.fstat(self._descriptors[file]).st_size if offset is None else offset
            assert os.pwrite(self._descriptors[file], data[:written], at) == written
        self._add("pwrite64", Kind.WRITE, path, file=file, offset=offset, data=data, durable=durable, result=written)

    def truncate(self, path: str, size: int) -> None:
        """Give a file a length."""
        if self.home is not None:
            os.ftruncate(self._descriptors[self._open[path]], size)
        self._add("ftruncate", Kind.TRUNCATE, path, file=self._open[path], size=size)

    def fsync(self, path: str, *, error: int = 0) -> None:
        """Make a file durable, or fail to."""
        self._add("fsync", Kind.SYNC, path, file=self._open.get(path), result=-error)

    def fdatasync(self, path: str) -> None:
        """Make a file's data durable."""
        self._add("fdatasync", Kind.SYNC, path, file=self._open.get(path), data_only=True)

    def fail_fsync(self, path: str) -> None:
        """Try to make a file durable, and fail."""
        self.fsync(path, error=errno.EIO)

    def sync(self) -> None:
        """Make everything durable."""
        self._add("sync", Kind.SYNC_ALL, None)

    def chmod(self, path: str, mode: int) -> None:
        """Set permission bits."""
        if self.home is not None:
            os.chmod(self.home / path, mode)
        self._add("fchmodat", Kind.CHMOD, path, mode=mode)

    # --- names ---------------------------------------------------------------------------------------------------

    def fsync_dir(self, path: str) -> None:
        """Make a directory's names durable; ``""`` is the home."""
        self._add("fsync", Kind.SYNC, path)

    def rename(self, path: str, target: str) -> None:
        """Move a name."""
        if self.home is not None:
            os.rename(self.home / path, self.home / target)
        if path in self._open:
            self._open[target] = self._open.pop(path)
        self._add("renameat2", Kind.RENAME, path, target=target)

    def link(self, path: str, target: str) -> None:
        """Give a file a further name."""
        if self.home is not None:
            os.link(self.home / path, self.home / target)
        self._add("linkat", Kind.LINK, path, target=target)

    def symlink(self, text: str, path: str) -> None:
        """Make a symbolic link."""
        if self.home is not None:
            os.symlink(text, self.home / path)
        self._add("symlinkat", Kind.SYMLINK, path, text=text)

    def unlink(self, path: str) -> None:
        """Take a name away."""
        if self.home is not None:
            os.unlink(self.home / path)
        self._add("unlinkat", Kind.UNLINK, path)

    def mkdir(self, path: str, mode: int = 0o700) -> None:
        """Make a directory."""
        if self.home is not None:
            os.mkdir(self.home / path, mode)
        self._add("mkdirat", Kind.MKDIR, path, mode=mode)

    def rmdir(self, path: str) -> None:
        """Take an empty directory away."""
        if self.home is not None:
            os.rmdir(self.home / path)
        self._add("unlinkat", Kind.RMDIR, path)

    def bind(self, path: str, mode: int = 0o600) -> None:
        """Give a socket a name."""
        if self.home is not None:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(os.fspath(self.home / path))
            os.chmod(self.home / path, mode)
        self._add("bind", Kind.BIND, path, mode=mode)

    # --- connections -----------------------------------------------------------------------------------------------

    def accept(self, channel: int) -> None:
        """Take a connection."""
        self._add("accept4", Kind.ACCEPT, "daemon.sock", channel=channel)

    def connect(self, channel: int) -> None:
        """Make a connection, as a client."""
        self._add("connect", Kind.CONNECT, "daemon.sock", channel=channel)

    def receive(self, channel: int, data: bytes) -> None:
        """Hear a request."""
        self._add("read", Kind.RECEIVE, None, channel=channel, data=data, result=len(data))

    def send(self, channel: int, data: bytes) -> None:
        """Answer."""
        self._add("sendto", Kind.SEND, None, channel=channel, data=data, result=len(data))

    # --- the recording -----------------------------------------------------------------------------------------------

    @contextmanager
    def during(self) -> Iterator[None]:
        """Let the call made last come back only after those made in this block, as one of another thread does."""
        place = len(self.calls) - 1
        yield
        values = {name: getattr(self.calls[place], name) for name in Call.__slots__}
        self.calls[place] = Call(**{**values, "ended": len(self.calls) - 0.25})

    def never_came_back(self) -> None:
        """Say that the call made last was still under way at the end."""
        values = {name: getattr(self.calls[-1], name) for name in Call.__slots__}
        self.calls[-1] = Call(**{**values, "ended": None, "result": None})

    def _add(self, name: str, kind: Kind, path: str | None, *, result: int = 0, **fields: Any) -> None:
        number = len(self.calls)
        call = Call(
            number=number,
            process="0",
            pid=100,
            thread=100,
            name=name,
            kind=kind,
            began=float(number),
            ended=number + 0.5,
            path=path,
            result=result,
            **fields,
        )
        self.calls.append(call)
