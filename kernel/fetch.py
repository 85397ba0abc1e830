"""Fetching: from a bundle's URL to its checked bytes, or to one typed error that says what to do.

Every failure is an error of its own class whose message names the resolved path or URL, because a vat's bundle may go
missing years after the vat was launched, and the person who reads the message was not there.  Invariants: nothing here
blocks for longer than its deadline (what is not a regular file is never opened to wait on it), nothing reads more than
the limit, and bytes are handed out only when they parse as a whole bundle and match the ``integrity`` asked for.
Which subcluster wants a bundle, and what happens when there is none, is not known here.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from kernel.bundle import MAX_BUNDLE_BYTES, Bundle, parse_bundle, parse_integrity, sri_with
from kernel.errors import (
    BundleCorruptError,
    BundleError,
    BundleMissingError,
    BundleTooLargeError,
    BundleUnreadableError,
    BundleUrlError,
    IntegrityError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_READ_ATTEMPTS = 3
_CHUNK = 1024 * 1024
_NOT_REGULAR = (
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a FIFO (a named pipe)"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a character device"),
    (stat.S_ISBLK, "is a block device"),
)


class Fingerprint(NamedTuple):
    """What tells, without reading it, that a file is the one seen before: size in bytes, time of change, identity."""

    size: int
    mtime_ns: int
    inode: int
    device: int


class Fetched(NamedTuple):
    """A bundle and where it came from: ``resolved`` is its absolute path or its URL."""

    data: bytes
    bundle: Bundle
    resolved: str
    fingerprint: Fingerprint | None


def resolve_bundle_path(spec: str) -> str | None:
    """Give the absolute path that a ``file://`` URL names, or None for an ``http(s)://`` URL.

    Raises:
        BundleUrlError: When the text is neither, or names a file on another host.
    """
    scheme, colon, rest = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    scheme = scheme.lower()
    if not colon or not scheme.isalnum():
        raise _bad_url(spec, "it is not a URL", f"Give a URL such as file://{_example_path(spec)}.")
    if any(ord(character) <= 32 or ord(character) == 127 for character in spec):
        raise _bad_url(spec, "it holds white space or a control character", "Percent-encode it: a space is %20.")
    if scheme in ("http", "https"):
        from kernel.fetch_http import check_url

        check_url(spec)
        return None
    if scheme != "file":
        raise _bad_url(spec, f"bundles cannot be fetched by {scheme}:", "Use a file://, http:// or https:// URL.")
    return _file_path(spec, rest)


def stat_bundle(spec: str) -> Fingerprint | None:
    """Check that a bundle is there and readable without reading it; None when it is remote.

    Raises:
        BundleError: As :func:`fetch_bundle` does for a file that cannot be opened or is too large.
    """
    path = resolve_bundle_path(spec)
    if path is None:
        return None
    descriptor, status = _open_regular(path, spec, MAX_BUNDLE_BYTES)
    os.close(descriptor)
    return _fingerprint(status)


def fetch_bundle(
    spec: str, *, integrity: str | None = None, limit: int = MAX_BUNDLE_BYTES, timeout: float = 10.0
) -> Fetched:
    """Fetch a bundle and check it; blocks, for at most ``timeout`` seconds when it is remote.

    Args:
        spec: A ``file://``, ``http://`` or ``https://`` URL.
        integrity: Digests in the form of subresource integrity; one of the strongest kind given must match.
        limit: The largest number of bytes to accept.
        timeout: Seconds for the whole transfer, redirects included.

    Raises:
        BundleError: One of its subclasses, with the resolved path or URL in the message, ``data["bundleSpec"]`` and
            ``data["path"]`` or ``data["url"]``.
    """
    path = resolve_bundle_path(spec)
    fingerprint: Fingerprint | None = None
    if path is None:
        from kernel.fetch_http import get

        resolved = spec
        data = get(spec, limit=limit, timeout=timeout)
    else:
        resolved = path
        data, fingerprint = _read_file(path, spec, limit)
    if integrity is not None:
        check_integrity(data, integrity, resolved, spec)
    try:
        bundle = parse_bundle(data, resolved)
    except BundleCorruptError as error:
        error.data["bundleSpec"] = spec
        raise
    return Fetched(data, bundle, resolved, fingerprint)


def check_integrity(data: bytes, integrity: str, resolved: str, spec: str) -> None:
    """Refuse bytes that do not match an ``integrity`` value; of several digests the strongest kind counts.

    Raises:
        IntegrityError: Naming the digest that was wanted and the one that was found.
    """
    hashes = parse_integrity(integrity)
    strongest = max(algorithm for algorithm, _ in hashes)
    wanted = [text for algorithm, text in hashes if algorithm == strongest]
    actual = sri_with(strongest, data)
    if actual not in wanted:
        raise IntegrityError(
            f"{resolved} is not the bundle that was asked for: its digest is {actual}, not {' or '.join(wanted)}",
            remedy="Restore the bundle that the digest was made from, or launch the subcluster with the new digest.",
            expected=" ".join(wanted),
            actual=actual,
            **_place(resolved, spec),
        )


class BundleCache:
    """Pinned copies of bundles, in files named by the digest of their bytes; what is read is checked against the name.

    One process at a time may write: the daemon that holds the home's lock.
    """

    def __init__(self, directory: str) -> None:
        self._directory = os.path.abspath(directory)

    def path_of(self, sha256: str) -> str:
        """Give the path of the copy with that digest, whether or not it exists."""
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise BundleError(f"{sha256!r} is not a SHA-256 digest in hexadecimal", sha256=sha256)
        return os.path.join(self._directory, f"{sha256}.bundle")

    def put(self, data: bytes) -> str:
        """Keep a copy, durable when this returns; gives its path.  A sound copy that is there already is kept.

        Raises:
            BundleError: With the path, when the copy cannot be written.
        """
        import hashlib

        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path_of(sha256)
        try:
            if self.get(sha256) is not None:
                return path
        except BundleError:
            pass  # a damaged copy is what this call replaces
        temporary = f"{path}.tmp"
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            _write_durably(temporary, data)
            os.replace(temporary, path)
            _sync_directory(self._directory)
        except OSError as error:
            _remove(temporary)
            raise BundleError(
                f"The bundle cannot be kept at {path}: {error.strerror or error}",
                remedy=_write_remedy(error, self._directory),
                path=path,
            ) from error
        return path

    def get(self, sha256: str) -> bytes | None:
        """Read a copy; None when there is none.

        Raises:
            BundleError: When the copy cannot be read, or is damaged (BundleCorruptError), with its path.
        """
        import hashlib

        path = self.path_of(sha256)
        spec = f"sha256:{sha256}"
        try:
            data, _ = _read_file(path, spec, MAX_BUNDLE_BYTES)
        except BundleMissingError:
            return None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise BundleCorruptError(
                f"The kernel's own copy {path} is damaged: its bytes do not match its name",
                remedy="Repair the subcluster from the original bundle: `ocap subcluster repair ID --bundle VAT=PATH`.",
                path=path,
                bundleSpec=spec,
            )
        return data

    def sweep(self, keep: Collection[str]) -> list[str]:
        """Remove the copies whose digest is not in ``keep``, and what an interrupted :meth:`put` left; gives the paths."""
        removed: list[str] = []
        kept = {os.path.basename(self.path_of(sha256)) for sha256 in keep}
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return removed
        for name in names:
            if name not in kept and name.endswith((".bundle", ".bundle.tmp")):
                path = os.path.join(self._directory, name)
                _remove(path)
                removed.append(path)
        return removed


def _file_path(spec: str, rest: str) -> str:
    """Give the path of a ``file:`` URL; ``rest`` is what follows the colon."""
    for mark, noun in (("?", "query"), ("#", "fragment")):
        if mark in rest:
            raise _bad_url(
                spec, f"a file URL has no {noun}", f"Write %{ord(mark):02X} for a {mark!r} that is part of the name."
            )
    if rest.startswith("//"):
        host, slash, tail = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise _bad_url(
                spec,
                f"it names the host {host!r}",
                f"A file on this machine has three slashes: file:///{host}{slash}{tail}.",
            )
        rest = slash + tail
    if not rest.startswith("/"):
        raise _bad_url(spec, "its path is not absolute", "Give the path from the root: file:///….")
    raw = _unquote(spec, rest)
    if b"\0" in raw:
        raise _bad_url(spec, "its path holds a NUL byte", "Take the %00 out.")
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad_url(spec, "its path is not UTF-8", "Rename the file, and encode its name as UTF-8.") from error
    return os.path.normpath("/" + path.lstrip("/"))


def _unquote(spec: str, text: str) -> bytes:
    head, *escapes = text.encode("utf-8", "surrogatepass").split(b"%")
    parts = [head]
    for escape in escapes:
        try:
            byte = bytes.fromhex(escape[:2].decode("ascii"))
        except ValueError:
            byte = b""
        if len(byte) != 1:
            shown = "%" + escape[:2].decode("utf-8", "replace")
            raise _bad_url(spec, f"{shown!r} is not a percent escape", "Write %25 for a percent sign.")
        if byte == b"/":
            raise _bad_url(spec, "its path holds an escaped slash", "A file's name cannot hold a slash; write '/'.")
        parts.append(byte + escape[2:])
    return b"".join(parts)


def _read_file(path: str, spec: str, limit: int) -> tuple[bytes, Fingerprint]:
    """Read a whole file that does not change meanwhile; a file replaced by rename is read as it was when opened."""
    for _ in range(_READ_ATTEMPTS):
        descriptor, before = _open_regular(path, spec, limit)
        try:
            data = _read_all(descriptor, limit)
            after = os.fstat(descriptor)
        except OSError as error:
            raise _unopened(path, spec, error) from error
        finally:
            os.close(descriptor)
        if len(data) > limit:
            raise _too_large(path, spec, f"more than {limit} bytes", limit)
        if _fingerprint(before) == _fingerprint(after) and len(data) in (
            after.st_size,
            len(data) if not after.st_size else -1,
        ):
            return data, _fingerprint(after)
    raise BundleUnreadableError(
        f"{path} keeps changing while it is read",
        remedy="Write bundles to another name first, then rename them into place.",
        **_place(path, spec),
    )


def _read_all(descriptor: int, limit: int) -> bytes:
    chunks: list[bytes] = []
    left = limit + 1
    while left > 0:
        chunk = os.read(descriptor, min(left, _CHUNK))
        if not chunk:
            break
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _open_regular(path: str, spec: str, limit: int) -> tuple[int, os.stat_result]:
    """Open a regular file, and nothing else: looked at before it is opened, opened without waiting, looked at again."""
    try:
        _refuse_irregular(path, spec, os.stat(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise _unopened(path, spec, error) from error
    try:
        status = os.fstat(descriptor)
        _refuse_irregular(path, spec, status)
        if status.st_size > limit:
            raise _too_large(path, spec, f"{status.st_size} bytes", limit)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status


def _refuse_irregular(path: str, spec: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    what = next((text for test, text in _NOT_REGULAR if test(status.st_mode)), "is not a regular file")
    raise BundleUnreadableError(
        f"{path} {what}, not a bundle",
        remedy="Put the bundle's file there, or give the URL of the file itself.",
        **_place(path, spec),
    )


def _unopened(path: str, spec: str, error: OSError) -> BundleError:
    """Turn what the operating system said of a path into the error that a reader can act on."""
    place = _place(path, spec)
    put_back = "Put the bundle back there; a quarantined subcluster then resumes by `ocap subcluster repair ID`."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return BundleMissingError(f"{path} {_why_missing(path)}", remedy=put_back, **place)
    if error.errno == errno.ELOOP:
        return BundleUnreadableError(
            f"{path} cannot be reached: its symbolic links lead in a circle",
            remedy="Point the link at the bundle's file.",
            **place,
        )
    if error.errno == errno.ENAMETOOLONG:
        return BundleUrlError(
            f"{path} is longer than a path can be", remedy="Move the bundle to a shorter path.", **place
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return BundleUnreadableError(
            f"{path} may not be read by uid {os.geteuid()}: {error.strerror}",
            remedy="Give the daemon's user permission to read the file and to search its directories.",
            **place,
        )
    remedy = "Check the disk and the file system that hold the file."
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        remedy = "Raise the daemon's limit of open files or memory, then repair the subcluster."
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    return BundleUnreadableError(
        f"{path} cannot be read: {error.strerror} ({name})", remedy=remedy, errno=name, **place
    )


def _why_missing(path: str) -> str:
    """Say which part of a path that does not lead to a file is the first to be missing."""
    place = path
    while True:
        if os.path.islink(place):
            link = "is a symbolic link" if place == path else f"does not exist: {place} is a symbolic link"
            return f"{link} to {os.readlink(place)}, which does not exist"
        parent = os.path.dirname(place)
        if os.path.isdir(parent) or parent == place:
            return "does not exist" if place == path else f"does not exist: there is no directory {place}"
        if os.path.lexists(parent) and not os.path.islink(parent):
            return f"does not exist: {parent} is not a directory"
        place = parent


def _too_large(path: str, spec: str, size: str, limit: int) -> BundleTooLargeError:
    return BundleTooLargeError(
        f"{path} is larger than a bundle may be: {size}, and the limit is {limit}",
        remedy="Make sure that it is a bundle; leave data out of the vat's source.",
        limit=limit,
        **_place(path, spec),
    )


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def _place(resolved: str, spec: str) -> dict[str, str]:
    return {"path" if resolved.startswith("/") else "url": resolved, "bundleSpec": spec}


def _bad_url(spec: object, problem: str, remedy: str) -> BundleUrlError:
    shown = repr(spec) if len(repr(spec)) <= 300 else repr(spec)[:300] + "…"
    return BundleUrlError(f"The bundle {shown} cannot be fetched: {problem}", remedy=remedy, bundleSpec=shown)


def _example_path(spec: object) -> str:
    return spec if isinstance(spec, str) and spec.startswith("/") and len(spec) < 300 else "/path/to/vat.bundle"


def _write_durably(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _write_remedy(error: OSError, directory: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"Free space on the disk that holds {directory}."
    return f"Make sure that {directory} is a directory that the daemon may write to."
