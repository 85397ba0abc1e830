"""Stream sockets as the kernel uses them, without the standard library's module for all kinds.

Importing ``socket`` takes a tenth of the time that a command or a daemon needs to start: it makes enumerations of some
hundred constants.  What is behind it, and what is used here, is the module ``_socket`` in C, whose sockets have the
same methods, but for ``accept`` and the context manager.

Invariant: no descriptor that is made here is inherited by another program.
"""

from __future__ import annotations

import _socket
from array import array

Socket = _socket.socket
"""A socket; those of the standard module are of this class too."""

socketpair = _socket.socketpair
"""Gives two stream sockets that are connected with each other."""

SHUT_WR = _socket.SHUT_WR
"""What ends the writing on a socket, and leaves it to be read."""

_DESCRIPTOR_BYTES = array("i").itemsize


def unix_socket() -> Socket:
    """Give a new Unix stream socket."""
    return Socket(_socket.AF_UNIX, _socket.SOCK_STREAM)


def accept(listener: Socket) -> Socket:
    """Take a connection from a Unix stream socket that listens (BlockingIOError when there is none)."""
    descriptor, _address = listener._accept()  # type: ignore[attr-defined]  # what the standard module's uses
    return Socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, descriptor)


def peer_credentials(connection: Socket) -> tuple[int, int] | None:
    """Give pid and uid of the process at the other end, or None where the system does not tell."""
    option = getattr(_socket, "SO_PEERCRED", None)
    if option is None:
        return None
    three = array("i")
    three.frombytes(connection.getsockopt(_socket.SOL_SOCKET, option, 3 * _DESCRIPTOR_BYTES))
    pid, uid, _gid = three
    return pid, uid


def send_with_descriptor(sock: Socket, data: bytes | memoryview, descriptor: int) -> int:
    """Send bytes and with them a descriptor (unix(7), ``SCM_RIGHTS``); give how many of the bytes were sent."""
    return sock.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", [descriptor]))])


def receive_with_descriptors(sock: Socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Give up to ``size`` bytes that have arrived, and at most so many descriptors that came with them."""
    data, ancillary, _flags, _address = sock.recvmsg(size, _socket.CMSG_SPACE(most * _DESCRIPTOR_BYTES))
    descriptors = array("i")
    for level, kind, payload in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % _DESCRIPTOR_BYTES])
    return data, list(descriptors)
