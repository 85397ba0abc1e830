"""Fetching over HTTP: one GET with one deadline, whatever the server does.

Loaded only when a bundle's URL asks for it, for the standard library's HTTP client is slow to import.  Invariants: the
deadline covers everything from the look-up of the host's name to the last byte, redirects included, so that a server
that answers a byte a second cannot hold a start up; no more than the limit is read; a redirect never leaves http(s).
Proxies named in the environment are not used.  What the bytes mean is not known here.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from urllib.parse import quote, urljoin, urlsplit

from kernel.errors import (
    EXHAUSTED,
    BundleError,
    BundleFetchError,
    BundleMissingError,
    BundleTimeoutError,
    BundleTooLargeError,
    BundleUrlError,
    OcapError,
    describe,
    exhausted,
)
from kernel.fetch_url import resolve_bundle_path

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 64 * 1024
_SAFE = "%/:=&?~#+!$,;'@()*[]-._"


def get(url: str, *, limit: int, timeout: float) -> bytes:
    """Fetch a URL's content.

    Args:
        url: An ``http`` or ``https`` URL.
        limit: The largest number of bytes to accept.
        timeout: Seconds for all of it.

    Raises:
        BundleMissingError: The server says 404 or 410.
        BundleTooLargeError: More than ``limit`` bytes.
        BundleTimeoutError: It took longer than ``timeout``.
        BundleFetchError: Anything else.
    """
    transfer = _Transfer(url, limit, timeout)
    # The transfer has a thread of its own because a name look-up, a TLS handshake and a header that drips in cannot be
    # given a common deadline by any option of the socket.
    thread = threading.Thread(target=transfer.run, name="bundle-fetch", daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        transfer.abort()
        raise transfer.timed_out()
    if transfer.error is not None:
        raise transfer.error
    return transfer.content


class _Transfer:
    """One GET with its redirects; runs in its own thread and may be aborted from another."""

    def __init__(self, url: str, limit: int, timeout: float) -> None:
        self.spec = url
        self.url = url
        self.limit = limit
        self.timeout = timeout
        self.received = 0
        self.content = b""
        self.error: BaseException | None = None
        self._socket: socket.socket | None = None
        self._aborted = False

    def run(self) -> None:
        """Fetch; the outcome is in ``content`` or ``error``."""
        try:
            self.content = self._follow()
        except BundleError as error:
            self.error = error
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.error = self._failure(error)
        except Exception as error:  # noqa: BLE001 - not swallowed: the caller's thread raises it
            self.error = error

    def abort(self) -> None:
        """End the connection, so that a thread that waits for its next byte wakes up and ends."""
        self._aborted = True
        connected = self._socket
        if connected is not None:
            with contextlib.suppress(OSError):  # it may have ended by itself just now
                # The plain socket's method, also for TLS: SSLSocket's own is not safe while another thread reads.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

    def _follow(self) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            location = self._request()
            if location is None:
                return self.content
            self.url = redirect_target(self.url, location, self.spec)
        raise self._fetch_error(f"{self.spec} leads through more than {MAX_REDIRECTS} redirects, to {self.url}")

    def _request(self) -> str | None:
        """Make one request: the body goes to ``content``; a redirect's target is given back."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme.lower() == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=self.timeout)
        try:
            connection.connect()
            # Kept here because http.client lets go of it as soon as it knows that the server will close.
            self._socket = connection.sock
            if self._aborted:
                raise TimeoutError
            target = quote(parts.path or "/", safe=_SAFE) + (
                f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
            )
            connection.request("GET", target, headers={"Connection": "close", "User-Agent": "ocap-kernel"})
            with connection.getresponse() as response:
                if response.status in _REDIRECTS and response.getheader("Location"):
                    return response.getheader("Location")
                self._check(response)
                self.content = self._read(response)
                return None
        finally:
            self._socket = None
            connection.close()

    def _check(self, response: http.client.HTTPResponse) -> None:
        reason = "".join(character for character in response.reason if character.isprintable())
        status = f"{response.status} {reason[:100]}".strip()
        if response.status in (404, 410):
            raise BundleMissingError(
                f"{self.url} does not exist: its server answered {status}",
                remedy="Put the bundle on its server, or correct its URL.",
                url=self.url,
                bundleSpec=self.spec,
                status=response.status,
            )
        if response.status != 200:
            raise self._fetch_error(f"{self.url} was not served: its server answered {status}", status=response.status)
        encoding = response.getheader("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise self._fetch_error(
                f"{self.url} was served with Content-Encoding {encoding!r}, which was not asked for"
            )
        if response.length is not None and response.length > self.limit:
            raise self._too_large(f"{response.length} bytes")

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        expected = response.length
        chunks: list[bytes] = []
        while chunk := response.read1(_CHUNK):
            chunks.append(chunk)
            self.received += len(chunk)
            if self.received > self.limit:
                raise self._too_large(f"more than {self.limit} bytes")
        if expected is not None and self.received < expected:
            raise self._fetch_error(f"{self.url} broke off after {self.received} of {expected} bytes")
        return b"".join(chunks)

    def _failure(self, error: Exception) -> OcapError:
        failure: OcapError
        if isinstance(error, TimeoutError):
            failure = self.timed_out()
        elif isinstance(error, OSError) and error.errno in EXHAUSTED:
            failure = exhausted(f"{self.url} cannot be fetched", error, url=self.url, bundleSpec=self.spec)
        else:
            failure = self._fetch_error(f"{self.url} cannot be fetched: {_in_words(error)}")
        failure.__cause__ = error
        return failure

    def timed_out(self) -> BundleTimeoutError:
        """Give the error that says how far the transfer came."""
        return BundleTimeoutError(
            f"{self.url} was not fetched within {self.timeout:g} s ({self.received} bytes had come)",
            remedy="Check that its server is well and reachable from here; a bundle that is pinned needs no server.",
            url=self.url,
            bundleSpec=self.spec,
        )

    def _fetch_error(self, message: str, **data: int) -> BundleFetchError:
        return BundleFetchError(
            message,
            remedy="Check the URL and its server, then try again; a pinned bundle needs no server.",
            url=self.url,
            bundleSpec=self.spec,
            **data,
        )

    def _too_large(self, size: str) -> BundleTooLargeError:
        return BundleTooLargeError(
            f"{self.url} is larger than a bundle may be: {size}, and the limit is {self.limit}",
            remedy="Make sure that it is a bundle; leave data out of the vat's source.",
            url=self.url,
            bundleSpec=self.spec,
            limit=self.limit,
        )


def redirect_target(current: str, location: str, spec: str) -> str:
    """Give the URL that a redirect leads to; only http to http(s) and https to https are followed.

    Raises:
        BundleFetchError: When it leads anywhere else.
    """
    try:
        target = urljoin(current, location)
        path = resolve_bundle_path(target)
    except (ValueError, BundleUrlError) as error:
        raise _bad_redirect(current, location, spec, "which is not a URL that can be fetched") from error
    if path is not None:
        raise _bad_redirect(current, location, spec, "and only http(s) is followed")
    if current.lower().startswith("https:") and not target.lower().startswith("https:"):
        raise _bad_redirect(current, location, spec, "which is not encrypted any more")
    return target


def _bad_redirect(current: str, location: str, spec: str, why: str) -> BundleFetchError:
    return BundleFetchError(
        f"{current} redirects to {location[:300]!r}, {why}",
        remedy="Give the URL where the bundle really is.",
        url=current,
        bundleSpec=spec,
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"its host's name cannot be looked up ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return "nothing answers at its host and port (connection refused)"
    if isinstance(error, http.client.RemoteDisconnected):
        return "its server closed the connection without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return "its server broke off in the middle"
    if isinstance(error, http.client.BadStatusLine):
        return "what answers at its host and port does not speak HTTP"
    return describe(error)
