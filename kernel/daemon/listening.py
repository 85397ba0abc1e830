"""The socket file: what may be replaced when a daemon begins to listen, and what may not.

Nothing of anybody's is lost: dead sockets, dangling links, empty files and empty directories are removed; whatever has
content is moved aside; a live listener is refused by name and left alone.  Only the holder of the daemon's lock comes
here, so a dead socket is nobody's.  The socket is 0600 from its first instant on.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import closing

from kernel.daemon.process import name_of
from kernel.errors import DaemonForeignError, HomeError
from kernel.sockets import peer_credentials, unix_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.events import Log
    from kernel.sockets import Socket

#: Connections that may wait to be accepted.
BACKLOG = 512

_ATTEMPTS = 5


class Listener:
    """A bound socket and the file that leads to it."""

    def __init__(self, bound: Socket, path: str) -> None:
        self.socket = bound
        self.path = path
        status = os.lstat(path)
        self._file = (status.st_dev, status.st_ino)

    def close(self) -> None:
        """Stop listening, and remove the file if it is still ours; idempotent."""
        try:
            status = os.lstat(self.path)
            if (status.st_dev, status.st_ino) == self._file:
                os.unlink(self.path)
        except OSError:
            return  # gone already, with its directory perhaps
        finally:
            self.socket.close()


def listen(path: str, log: Log) -> Listener:
    """Bind the socket and listen.

    Raises:
        DaemonForeignError: Somebody listens there.
        HomeError: The socket cannot be made.
    """
    for _ in range(_ATTEMPTS):
        make_way(path, log)
        listening = unix_socket()
        previous = os.umask(0o177)
        try:
            listening.bind(path)
            listener = Listener(listening, path)
            listening.listen(BACKLOG)
            listening.setblocking(False)
            return listener
        except OSError as error:
            listening.close()
            if error.errno != errno.EADDRINUSE:  # else somebody was quicker: look who it is
                raise _unusable(path, error) from error
        finally:
            os.umask(previous)
    raise DaemonForeignError(
        f"The socket {path} cannot be bound: something puts itself in its place again and again.",
        remedy="Find the process that does so, or choose another $OCAP_SOCKET_PATH.",
        path=path,
    )


def make_way(path: str, log: Log) -> None:
    """Clear away what stands in the socket's place, as far as that loses nothing.

    Raises:
        DaemonForeignError: Somebody listens there.
        HomeError: What stands there can neither be removed nor moved.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        if stat.S_ISSOCK(mode):
            refuse_live(path)
            os.unlink(path)
            log.info("socket.stale_removed", path=path, kind="dead socket")
        elif stat.S_ISLNK(mode):
            _clear_link(path, log)
        elif stat.S_ISREG(mode) and os.path.getsize(path) == 0:
            os.unlink(path)
            log.warning("socket.stale_removed", path=path, kind="empty file")
        elif stat.S_ISDIR(mode) and not os.listdir(path):
            os.rmdir(path)
            log.warning("socket.stale_removed", path=path, kind="empty directory")
        else:
            _move_aside(path, "directory" if stat.S_ISDIR(mode) else "file", log)
    except OSError as error:
        raise _unusable(path, error) from error


def _clear_link(path: str, log: Log) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:  # it leads nowhere, or in circles
        os.unlink(path)
        log.warning("socket.stale_removed", path=path, kind="dangling link")
        return
    if stat.S_ISSOCK(mode):
        refuse_live(path)
    _move_aside(path, "link", log)


def _move_aside(path: str, kind: str, log: Log) -> None:
    number = 1
    while os.path.lexists(f"{path}.stale-{number}"):
        number += 1
    os.rename(path, f"{path}.stale-{number}")
    log.warning("socket.moved_aside", path=path, kind=kind, movedTo=f"{path}.stale-{number}")


def refuse_live(path: str) -> None:
    """Raise DaemonForeignError when somebody listens on the socket."""
    with closing(unix_socket()) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(path)
        if code in (errno.ECONNREFUSED, errno.ENOENT):
            return
        credentials = peer_credentials(probe) if code == 0 else None
    pid = credentials[0] if credentials is not None and credentials[0] > 0 else None
    who = f"pid {pid} ({name_of(pid)})" if pid is not None else "another process"
    raise DaemonForeignError(
        f"The socket {path} belongs to {who}, which listens on it and is not this daemon; it was left alone.",
        remedy="End that process, or choose another home directory or $OCAP_SOCKET_PATH.",
        path=path,
        pid=pid,
        name=name_of(pid) if pid is not None else None,
    )


def _unusable(path: str, error: OSError) -> HomeError:
    return HomeError(
        f"The socket {path} cannot be made: {error.strerror}.",
        remedy="See to the permissions of its directory, or choose another $OCAP_SOCKET_PATH.",
        path=path,
    )
