"""Fetching: from a bundle's URL to its checked bytes, or to one typed error that says what to do.

Every failure is an error of its own class whose message names the resolved path or URL, because a vat's bundle may go
missing years after the vat was launched, and the person who reads the message was not there.  Invariants: nothing here
blocks for longer than its deadline (what is not a regular file is never opened to wait on it), nothing reads more than
the limit, and bytes are handed out only when they parse as a whole bundle and match the ``integrity`` asked for.
Which subcluster wants a bundle, and what happens when there is none, is not known here.
"""

from __future__ import annotations

import contextlib
import errno
import os

from kernel.bundle import MAX_BUNDLE_BYTES, parse_bundle, parse_integrity, sri_with
from kernel.errors import (
    BundleCorruptError,
    BundleError,
    BundleMissingError,
    IntegrityError,
    StoreFullError,
)
from kernel.fetch_file import Fingerprint, read_file, stat_file
from kernel.fetch_url import resolve_bundle_path
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from kernel.bundle import Bundle
    from kernel.errors import OcapError

__all__ = [
    "BundleCache",
    "Fetched",
    "Fingerprint",
    "fetch_bundle",
    "resolve_bundle_path",
    "stat_bundle",
]


class Fetched(Record):
    """A bundle and where it came from: ``resolved`` is its absolute path or its URL."""

    data: bytes
    bundle: Bundle
    resolved: str
    fingerprint: Fingerprint | None


def stat_bundle(spec: str) -> Fingerprint | None:
    """Check that a bundle is there and readable without reading it; None when it is remote.

    Raises:
        BundleError: As :func:`fetch_bundle` does for a file that cannot be opened or is too large.
    """
    path = resolve_bundle_path(spec)
    if path is None:
        return None
    return stat_file(path, spec, MAX_BUNDLE_BYTES)


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
        ConfigError: ``integrity`` is not of the right form; nothing is fetched.
    """
    path = resolve_bundle_path(spec)
    hashes = () if integrity is None else parse_integrity(integrity)
    fingerprint: Fingerprint | None = None
    if path is None:
        from kernel.fetch_http import get

        resolved = spec
        data = get(spec, limit=limit, timeout=timeout)
    else:
        resolved = path
        data, fingerprint = read_file(path, spec, limit)
    if hashes:
        _check_integrity(data, hashes, resolved, spec)
    try:
        bundle = parse_bundle(data, resolved)
    except BundleCorruptError as error:
        error.data["bundleSpec"] = spec
        raise
    return Fetched(data, bundle, resolved, fingerprint)


def _check_integrity(data: bytes, hashes: tuple[tuple[str, str], ...], resolved: str, spec: str) -> None:
    """Refuse bytes of another digest; of several kinds the strongest counts, as in subresource integrity."""
    strongest = max(algorithm for algorithm, _ in hashes)
    wanted = [text for algorithm, text in hashes if algorithm == strongest]
    actual = sri_with(strongest, data)
    if actual not in wanted:
        raise IntegrityError(
            f"{resolved} is not the bundle that was asked for: its digest is {actual}, not {' or '.join(wanted)}",
            remedy="Restore the bundle that the digest was made from, or launch the subcluster with the new digest.",
            expected=" ".join(wanted),
            actual=actual,
            bundleSpec=spec,
            **({"path": resolved} if resolved.startswith("/") else {"url": resolved}),
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
            StoreFullError: The disk is full.
            BundleError: The copy cannot be written for another reason.  Both name the path, and leave nothing behind.
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
            if not os.path.isdir(self._directory):
                os.makedirs(self._directory, mode=0o700)
                _sync_directory(os.path.dirname(self._directory))
            _write_durably(temporary, data)
            os.replace(temporary, path)
            _sync_directory(self._directory)
        except OSError as error:
            with contextlib.suppress(OSError):  # the first failure is the one to report
                os.unlink(temporary)
            raise self._cannot_write(path, error) from error
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
            data, _ = read_file(path, spec, MAX_BUNDLE_BYTES)
        except BundleMissingError:
            return None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise BundleCorruptError(
                f"The kernel's own copy {path} is damaged: its bytes do not match its name",
                remedy="Repair its subcluster from the original: `ocap subcluster repair ID --bundle VAT=PATH`.",
                path=path,
                bundleSpec=spec,
            )
        return data

    def sweep(self, keep: Collection[str]) -> list[str]:
        """Remove what an interrupted :meth:`put` left, and copies whose digest is not in ``keep``; gives their paths.

        Raises:
            BundleError: One of them cannot be removed.
        """
        removed: list[str] = []
        kept = {os.path.basename(self.path_of(sha256)) for sha256 in keep}
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return removed
        for name in names:
            if name not in kept and name.endswith((".bundle", ".bundle.tmp")):
                path = os.path.join(self._directory, name)
                try:
                    os.unlink(path)
                except OSError as error:
                    raise self._cannot_write(path, error) from error
                removed.append(path)
        return removed

    def _cannot_write(self, path: str, error: OSError) -> OcapError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = f"Free space on the disk that holds {self._directory}."
            return StoreFullError(f"The bundle {path} cannot be kept: the disk is full", remedy=remedy, path=path)
        return BundleError(
            f"The bundle {path} cannot be kept or removed: {error.strerror}",
            remedy=f"Make sure that {self._directory} is a directory that the daemon may write to.",
            path=path,
        )


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
