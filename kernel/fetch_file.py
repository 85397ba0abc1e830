"""Reading a bundle from a file: opens regular files only, and says of everything else what it is.

Invariants: no call waits, whatever stands at the path (a FIFO without a writer, a device, a file that grows); what is
read is the whole of one version of the file; every refusal is a typed error that names the path and the next step.
What the bytes mean is not known here.
"""

from __future__ import annotations

import errno
import os
import stat

from kernel.errors import (
    EXHAUSTED,
    BundleMissingError,
    BundleTooLargeError,
    BundleUnreadableError,
    BundleUrlError,
    exhausted,
)
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.errors import OcapError

_READ_ATTEMPTS = 3
_CHUNK = 1024 * 1024
_NOT_REGULAR = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a FIFO (a named pipe)"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a character device"),
    (stat.S_ISBLK, "is a block device"),
)


class Fingerprint(Record):
    """What tells, without reading it, that a file is the one seen before: size in bytes, time of change, identity."""

    size: int
    mtime_ns: int
    inode: int
    device: int


def stat_file(path: str, spec: str, limit: int) -> Fingerprint:
    """Check that a regular file of at most ``limit`` bytes is there and may be read, without reading it.

    Args:
        path: Absolute path.
        spec: The URL that named it, for the error's data.
        limit: Bytes.

    Raises:
        BundleError: As :func:`read_file`.
    """
    descriptor, fingerprint = _open(path, spec, limit)
    os.close(descriptor)
    return fingerprint


def read_file(path: str, spec: str, limit: int) -> tuple[bytes, Fingerprint]:
    """Read a whole regular file of at most ``limit`` bytes; one replaced by rename meanwhile is read as it was.

    Raises:
        BundleMissingError: Nothing is there, a dangling link is, or a directory on the way is missing.
        BundleUnreadableError: It is a directory, FIFO, socket or device, its links lead in a circle, it may not be
            read, reading failed, or it would not hold still.
        BundleTooLargeError: It is larger than ``limit``; found out without reading it where its size is known.
        BundleUrlError: The path is longer than the system's limit.
        ResourcesExhaustedError: The system has no descriptor or memory left, which is no fault of the file.
    """
    for _ in range(_READ_ATTEMPTS):
        descriptor, before = _open(path, spec, limit)
        try:
            data = _read_to(descriptor, limit + 1)
            after = _fingerprint(os.fstat(descriptor))
        except OSError as error:
            raise _cannot_read(path, spec, error) from error
        finally:
            os.close(descriptor)
        if len(data) > limit:
            raise _too_large(path, spec, f"more than {limit} bytes", limit)
        # A file of /proc says that it has no bytes and has some all the same.
        if after == before and len(data) in (after.size, after.size or len(data)):
            return data, after
    raise BundleUnreadableError(
        f"{path} keeps changing while it is read",
        remedy="Write a bundle under another name first, then rename it into place.",
        path=path,
        bundleSpec=spec,
    )


def _open(path: str, spec: str, limit: int) -> tuple[int, Fingerprint]:
    """Look at a path before it is opened, open it without waiting, and look again at what was opened."""
    try:
        _refuse_irregular(path, spec, os.stat(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise _cannot_read(path, spec, error) from error
    try:
        status = os.fstat(descriptor)
        _refuse_irregular(path, spec, status)
        if status.st_size > limit:
            raise _too_large(path, spec, f"it has {status.st_size} bytes", limit)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, _fingerprint(status)


def _read_to(descriptor: int, size: int) -> bytes:
    chunks: list[bytes] = []
    while size > 0 and (chunk := os.read(descriptor, min(size, _CHUNK))):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def _refuse_irregular(path: str, spec: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    what = next((text for test, text in _NOT_REGULAR if test(status.st_mode)), "is not a regular file")
    raise BundleUnreadableError(
        f"{path} {what}, not a bundle",
        remedy="Put the bundle's file there, or give the URL of the file itself.",
        path=path,
        bundleSpec=spec,
    )


def _too_large(path: str, spec: str, size: str, limit: int) -> BundleTooLargeError:
    return BundleTooLargeError(
        f"{path} is larger than a bundle may be: {size}, and the limit is {limit}",
        remedy="Make sure that it is a bundle; leave data out of the vat's source.",
        limit=limit,
        path=path,
        bundleSpec=spec,
    )


def _cannot_read(path: str, spec: str, error: OSError) -> OcapError:
    """Turn what the operating system said of a path into an error that a reader can act on."""
    kind: type[OcapError] = BundleUnreadableError
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        kind, problem, remedy = BundleMissingError, _why_missing(path), "Put the bundle there, or correct its URL."
    elif error.errno == errno.ENAMETOOLONG:
        kind, problem = BundleUrlError, "is longer than a path may be"
        remedy = "Move the bundle to a shorter path."
    elif error.errno == errno.ELOOP:
        problem = "cannot be reached: its symbolic links lead in a circle"
        remedy = "Point the link at the bundle's file."
    elif error.errno in (errno.EACCES, errno.EPERM):
        problem = _why_forbidden(path)
        remedy = f"Let uid {os.geteuid()}, which the daemon runs as, read the file and search its directories."
    elif error.errno in EXHAUSTED:
        return exhausted(f"{path} cannot be opened", error, path=path, bundleSpec=spec)
    else:
        problem = f"cannot be read: {error.strerror}"
        remedy = "Check the disk and the file system that hold the file."
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    return kind(f"{path} {problem}", remedy=remedy, errno=name, path=path, bundleSpec=spec)


def _why_missing(path: str) -> str:
    """Say which part of a path that leads nowhere is the one to mend: the first missing one, or a link."""
    place = path
    while not os.path.exists(place):
        if os.path.islink(place):
            subject = "is" if place == path else f"does not exist: {place} is"
            return f"{subject} a symbolic link to {_target(place)}, which does not exist"
        parent = os.path.dirname(place)
        if os.path.isdir(parent):
            return "does not exist" if place == path else f"does not exist: there is no directory {place}"
        place = parent
    return "does not exist" if place == path else f"does not exist: {place} is not a directory"


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:  # it has gone meanwhile, and with it the best description
        return "something"


def _why_forbidden(path: str) -> str:
    """Say whether the file itself may not be read, or which directory on the way may not be searched."""
    place = path
    blocked = ""
    while place != "/":
        try:
            os.stat(place)
        except PermissionError:
            place = blocked = os.path.dirname(place)
        else:
            break
    if blocked:
        return f"cannot be reached: uid {os.geteuid()} may not search the directory {blocked}"
    return f"may not be read by uid {os.geteuid()}"
