"""Bundle URLs: which path a ``file:`` URL names, and whether an ``http(s)`` URL can be asked for.

Invariant: one URL means one place.  What programs read differently (a host in a file URL, an escaped slash, a query on
a file) is refused with what to write instead, never guessed.  Whether anything is at that place is not known here.
"""

from __future__ import annotations

import os
import re

from kernel.errors import BundleUrlError

_SHOWN_CHARACTERS = 300
_BLANK = re.compile(r"[\x00-\x20\x7f]")


def resolve_bundle_path(spec: str) -> str | None:
    """Give the absolute path that a ``file://`` URL names, or None for an ``http(s)://`` URL.

    Raises:
        BundleUrlError: When the text is neither, or names a file on another host.
    """
    scheme, colon, rest = spec.partition(":")
    scheme = scheme.lower()
    if not colon or not (scheme.isascii() and scheme.isalnum()):
        path = spec if spec.startswith("/") else "/path/to/vat.bundle"
        raise _bad_url(spec, "it is not a URL", f"Give a URL such as file://{path[:_SHOWN_CHARACTERS]}.")
    if _BLANK.search(spec):
        raise _bad_url(spec, "it holds white space or a control character", "Percent-encode it: a space is %20.")
    if scheme in ("http", "https"):
        _check_http(spec)
        return None
    if scheme != "file":
        raise _bad_url(spec, f"bundles cannot be fetched by {scheme}:", "Use a file://, http:// or https:// URL.")
    return _file_path(spec, rest)


def _check_http(spec: str) -> None:
    from urllib.parse import urlsplit

    remedy = "Give a URL such as https://example.org/vat.bundle."
    try:
        parts = urlsplit(spec)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _bad_url(spec, str(error), remedy) from error
    if not host:
        raise _bad_url(spec, "it names no host", remedy)
    if parts.username is not None or parts.password is not None:
        raise _bad_url(
            parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
            "it was given with a user name or password, which would end up in logs and in the store",
            "Serve the bundle where no password is needed, or download it and give its file.",
        )


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
    # urllib.parse.unquote_to_bytes() keeps a broken escape as it stands, and is slow to import on the start path.
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


def _bad_url(spec: str, problem: str, remedy: str) -> BundleUrlError:
    shown = spec if len(spec) <= _SHOWN_CHARACTERS else spec[:_SHOWN_CHARACTERS] + "…"
    return BundleUrlError(f"The bundle {shown!r} cannot be fetched: {problem}", remedy=remedy, bundleSpec=shown)
