"""What stands before a command line that is to be supervised: ``python -I -S launcher.py SOCKET WORD…``.

It asks the supervisor for a filter, installs it, hands the listener over, and becomes the command: same process, same
environment, same descriptors.  It is a script of its own that imports nothing of the project, since every start of a
client pays for it.

Invariant: the listener leaves through a second thread, because the filter holds for the thread that installs it and
would stop the very call that hands it over.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

NO_NEW_PRIVILEGES = 38  # prctl: PR_SET_NO_NEW_PRIVS
CANNOT_RUN = 127


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def main(name: str, command: list[str]) -> None:
    """Install the filter and become the command."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect("\0" + name)
        number, mode, flags, size = struct.unpack("=IIII", receive(link, 16))
        instructions = receive(link, size)
    except OSError as error:
        fail(f"the supervisor does not answer: {error.strerror}")
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(size // 8, instructions)
    ready, sent = _thread.allocate_lock(), _thread.allocate_lock()
    ready.acquire()
    sent.acquire()
    listener = [-1]

    def hand_over() -> None:
        ready.acquire()
        if listener[0] >= 0:
            socket.send_fds(link, [b"L"], [listener[0]])
            link.recv(1)
        sent.release()

    _thread.start_new_thread(hand_over, ())
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    listener[0] = libc.syscall(number, mode, flags, ctypes.byref(program))
    problem = ctypes.get_errno()
    ready.release()
    sent.acquire()
    if listener[0] < 0:
        reason = "it is supervised already" if problem == 16 else os.strerror(problem)  # EBUSY
        fail(f"cannot install the filter: {reason}")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        fail(f"cannot run {command[0]!r}: {error.strerror}")


def receive(link: socket.socket, size: int) -> bytes:
    """Receive exactly so many bytes."""
    found = b""
    while len(found) < size:
        chunk = link.recv(size - len(found))
        if not chunk:
            raise ConnectionResetError(104, "it closed the connection")
        found += chunk
    return found


def fail(reason: str) -> NoReturn:
    """Say why the command does not run, and end."""
    sys.stderr.write(f"pytest-ocap launcher: {reason}\n")
    sys.stderr.flush()
    os._exit(CANNOT_RUN)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
