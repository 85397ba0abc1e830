"""Faults of the daemon's socket: something else stands where it belongs.

Invariant: a live listener of somebody else's answers with its own words for as long as it is armed, so that whether
it was left alone can be asked; what these faults made is removed at the end, unless the daemon has replaced it.
"""

from __future__ import annotations

import abc
import errno
import os
import shutil
import socket
import stat
import threading
from pathlib import Path
from typing import ClassVar


class SocketFault(abc.ABC):
    """Something at the path of the socket, where at most a dead daemon's is before."""

    id: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode: int | None = None

    def arrange(self) -> None:
        """Put the fault there."""
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        if self._left_by_a_dead_daemon():
            self.path.unlink()
        self.put()
        self._inode = os.lstat(self.path).st_ino

    def _left_by_a_dead_daemon(self) -> bool:
        try:
            if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
                return False
        except FileNotFoundError:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.setblocking(False)
            return client.connect_ex(os.fspath(self.path)) == errno.ECONNREFUSED

    @abc.abstractmethod
    def put(self) -> None:
        """Put the fault at the path."""

    @abc.abstractmethod
    def fired(self) -> str | None:
        """Give the evidence that it is there."""

    def untouched(self) -> bool:
        """Say whether what stands there still is what this fault put there."""
        try:
            return os.lstat(self.path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def undo(self) -> None:
        """Remove what this fault made, when it is still there."""
        if self._inode is None or not self.untouched():
            return
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink()
        self._inode = None


class DeadSocket(SocketFault):
    """A socket whose listener is gone, as a killed daemon leaves it."""

    id = "dead"

    def put(self) -> None:
        """Bind a socket and close it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(os.fspath(self.path))
            listener.listen(1)

    def fired(self) -> str | None:
        """See that it is a socket that refuses connections."""
        if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
            return None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            try:
                client.connect(os.fspath(self.path))
            except ConnectionRefusedError:
                return f"{self.path} is a socket without a listener"
        return None


class SomebodysData(SocketFault):
    """Something that is no daemon's, with words in it that must not be lost."""

    WORDS = "somebody's notes\n"

    def found(self) -> Path | None:
        """Say where the words are now: at the path, or anywhere below its directory; ``None`` when they are lost."""
        for directory, _, names in os.walk(self.path.parent):
            for name in names:
                file = Path(directory, name)
                if file.is_file() and file.stat().st_size == len(self.WORDS) and file.read_text() == self.WORDS:
                    return file
        return None


class PlainFile(SomebodysData):
    """A plain file with something in it."""

    id = "file"

    def put(self) -> None:
        """Write the file."""
        self.path.write_text(self.WORDS)

    def fired(self) -> str | None:
        """See the file."""
        return f"{self.path} is a plain file" if self.path.is_file() else None


class SocketDirectory(SomebodysData):
    """A directory with something in it."""

    id = "directory"

    def put(self) -> None:
        """Make the directory and a file in it."""
        self.path.mkdir()
        (self.path / "notes.txt").write_text(self.WORDS)

    def fired(self) -> str | None:
        """See the directory."""
        return f"{self.path} is a directory" if self.path.is_dir() else None


class DanglingSocketLink(SocketFault):
    """A symbolic link to nothing."""

    id = "dangling"

    def put(self) -> None:
        """Make the link."""
        self.path.symlink_to(self.path.with_name("nowhere.sock"))

    def fired(self) -> str | None:
        """See that the link leads nowhere."""
        return f"{self.path} is a dangling link" if self.path.is_symlink() and not self.path.exists() else None


class LiveListener(SocketFault):
    """A server of somebody else's: it takes every connection and answers with its own words."""

    id = "live"
    BANNER = b"220 this is a mail server, not a kernel\r\n"

    def put(self) -> None:
        """Start listening, in a thread."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(os.fspath(self.path))
        self._listener.listen(16)
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    @property
    def owner(self) -> int:
        """The pid that a refusal has to name."""
        return os.getpid()

    def fired(self) -> str | None:
        """Connect and hear the banner."""
        return f"{self.path} is answered by pid {self.owner}" if self.answers() else None

    def answers(self) -> bool:
        """Say whether a connection to the path still reaches this listener."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5.0)
            try:
                client.connect(os.fspath(self.path))
                return client.recv(1024) == self.BANNER
            except OSError:
                return False

    def undo(self) -> None:
        """Stop listening."""
        if self._inode is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._serving.join()
            self._listener.close()
        super().undo()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # shut down: the fault is undone
            with connection:
                try:
                    connection.sendall(self.BANNER)
                except OSError:
                    continue  # whoever connected has gone already


SOCKET_FAULTS: dict[str, type[SocketFault]] = {
    fault.id: fault for fault in (DeadSocket, PlainFile, SocketDirectory, DanglingSocketLink, LiveListener)
}
"""The faults of the socket, by their names."""
