"""The descriptors that a daemon begins with: 0, 1 and 2 open, its status pipe, and nothing else of its caller's."""

from __future__ import annotations

import os


def open_standard_descriptors() -> None:
    """Fill what a careless caller closed: the lock must not get the number 2, which the log takes over."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open("/dev/null", os.O_RDWR)  # gets the lowest free number, this one


def close_inherited(status_fd: int | None) -> None:
    """Close what a careless caller let this process inherit: a pipe kept open would keep its reader waiting for years.

    What this process has opened itself is not inheritable, by PEP 446, and stays.
    """
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return  # a platform without /proc: nothing tells what is open
    for fd in descriptors:
        try:
            if fd > 2 and fd != status_fd and os.get_inheritable(fd):
                os.close(fd)
        except OSError:
            continue  # the directory's own descriptor, closed by now
