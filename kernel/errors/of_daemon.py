"""What can go wrong with a home, with its daemon, and on the way to it."""

from __future__ import annotations

from kernel.errors.base import OcapError

# --- the daemon ----------------------------------------------------------------------------------------------------


class HomeError(OcapError):
    """The home directory cannot be used."""

    code = "home-invalid"


class SocketPathError(HomeError):
    """The path of the socket is too long for a Unix socket."""

    code = "socket-path-too-long"


class LockError(OcapError):
    """The lock file cannot be used."""

    code = "lock-failed"


class DaemonRunningError(OcapError):
    """A daemon already holds this home."""

    code = "daemon-running"


class LogError(OcapError):
    """The log cannot be written."""

    code = "log-failed"


class NotRunningError(OcapError):
    """No daemon is running for this home."""

    code = "daemon-not-running"
    exit_code = 3


class DaemonDiedError(OcapError):
    """The daemon died during its start."""

    code = "daemon-died"
    exit_code = 4


class DaemonHungError(OcapError):
    """The daemon's start makes no progress."""

    code = "daemon-hung"
    exit_code = 5


class DaemonUnresponsiveError(OcapError):
    """The daemon holds its lock but does not answer."""

    code = "daemon-unresponsive"
    exit_code = 5


class DaemonForeignError(OcapError):
    """Something that is not this home's daemon is in the way."""

    code = "daemon-foreign"
    exit_code = 6


class StopError(OcapError):
    """The daemon could not be stopped."""

    code = "stop-failed"
    exit_code = 5


class ConnectionLostError(OcapError):
    """The daemon closed the connection before it answered."""

    code = "connection-lost"


class RequestTimeoutError(OcapError):
    """The daemon did not answer in time."""

    code = "request-timeout"
    exit_code = 5


class StartInterruptedError(OcapError):
    """The daemon was told to stop while it was starting."""

    code = "start-interrupted"
