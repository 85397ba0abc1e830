"""The home directory: which files a daemon keeps, and where.

Everybody (daemon, clients, command line) finds the files through :class:`Home`, so there is one place that knows their
names.  Nothing is opened or created here except the directory itself.
"""

from __future__ import annotations

import os

from kernel.errors import HomeError, SocketPathError

#: ``sun_path`` is 108 bytes on Linux and 104 on the BSDs and macOS, one of them for the closing NUL.
MAX_SOCKET_PATH_BYTES = 107 if os.uname().sysname == "Linux" else 103

DEFAULT_HOME = "~/.ocap"


class Home:
    """The paths of one home directory, all absolute."""

    __slots__ = ("bundles", "lock", "log", "path", "pid", "socket", "store")

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Find the home: ``path``, else ``$OCAP_HOME``, else ``~/.ocap``; the socket honours ``$OCAP_SOCKET_PATH``.

        Raises:
            HomeError: The name is empty or has a NUL in it.
        """
        given = os.fspath(path) if path is not None else os.environ.get("OCAP_HOME") or DEFAULT_HOME
        if not given or "\0" in given:
            raise HomeError(
                f"The name of the home directory is not usable: {given!r}.",
                remedy="Give a directory with --home or in $OCAP_HOME.",
            )
        self.path = os.path.abspath(os.path.expanduser(given))
        self.store = os.path.join(self.path, "kernel.sqlite")
        self.lock = os.path.join(self.path, "daemon.lock")
        self.pid = os.path.join(self.path, "daemon.pid")
        self.log = os.path.join(self.path, "daemon.log")
        self.bundles = os.path.join(self.path, "bundles")
        self.socket = os.path.abspath(os.environ.get("OCAP_SOCKET_PATH") or os.path.join(self.path, "daemon.sock"))

    def __repr__(self) -> str:
        return f"Home({self.path!r})"

    def create(self) -> None:
        """Make the directory (0700) when there is none, and check that a daemon could live in it.

        Raises:
            HomeError: It is not a directory, belongs to somebody else, or cannot be written.
            SocketPathError: The socket's path does not fit into a Unix socket address.
        """
        check_socket_path(self.socket)
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            status = os.stat(self.path)
        except FileExistsError as error:
            raise HomeError(
                f"{self.path} is not a directory.", remedy="Give another directory with --home.", path=self.path
            ) from error
        except OSError as error:
            raise HomeError(
                f"The home directory {self.path} cannot be made: {error.strerror}.",
                remedy="Give a directory that can be written with --home.",
                path=self.path,
            ) from error
        if status.st_uid != os.geteuid():
            raise HomeError(
                f"The home directory {self.path} belongs to another user (uid {status.st_uid}).",
                remedy="Give a directory of your own with --home.",
                path=self.path,
            )
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise HomeError(
                f"The home directory {self.path} cannot be written: permission denied.",
                remedy=f"Run `chmod u+rwx {self.path}`, or give another directory with --home.",
                path=self.path,
            )


def check_socket_path(path: str) -> None:
    """Refuse a path that is too long for a Unix socket (SocketPathError)."""
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise SocketPathError(
            f"The socket's path is {length} bytes long, and a Unix socket's may have {MAX_SOCKET_PATH_BYTES}: {path}.",
            remedy="Choose a shorter --home, or put the socket elsewhere with $OCAP_SOCKET_PATH.",
            path=path,
            length=length,
            limit=MAX_SOCKET_PATH_BYTES,
        )
