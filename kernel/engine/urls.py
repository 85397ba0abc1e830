"""Ocap URLs: an object of this kernel as a text that somebody can keep, and give back for the object.

``ocap:TOKEN@KERNEL``: the token is the object's number with a keyed hash over it (HMAC-SHA-256, RFC 2104, cut to 192
bits), the kernel's part is a hash of the same key.  So a URL cannot be guessed or altered, every kernel tells its own
from another's, and the store holds no list of URLs, only the key, which no query can read.

Invariant: a URL finds its object for as long as that exists and has not been revoked; an object that has a URL is held.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from kernel.errors import OcapUrlError, RevokedError
from kernel.refs import object_kref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.store import Store

_KEY = "ocap-url-key"
_KEY_BYTES = 32
_NUMBER_BYTES = 8
_MAC_BYTES = 24
_KERNEL_BYTES = 10
_PURPOSE = b"ocap URL, version 1\x00"
_MAX_CHARACTERS = 200


def issue(store: Store, number: int) -> str:
    """Give the URL of an object that lives, always the same one, and hold the object.  Call it inside a unit."""
    key = store.outside.secret(_KEY)
    if key is None:
        key = os.urandom(_KEY_BYTES)
        store.outside.set_secret(_KEY, key)
    store.outside.pin(number, "url")
    return _url(key, number)


def redeem(store: Store, url: str) -> int:
    """Give the number of the object that a URL stands for.

    Raises:
        OcapUrlError: It is not a URL that this kernel has issued, or its object is no more.
        RevokedError: The object has been revoked.
    """
    scheme, _, rest = url[:_MAX_CHARACTERS].partition(":")
    token, at, kernel = rest.partition("@")
    if scheme != "ocap" or not at or len(url) > _MAX_CHARACTERS or not url.isascii():
        raise OcapUrlError("this is not an ocap URL", remedy="It has the form ocap:TOKEN@KERNEL.")
    key = store.outside.secret(_KEY)
    if key is None or not hmac.compare_digest(kernel, _kernel(key)):
        raise OcapUrlError("this ocap URL is of another kernel", remedy="Redeem it at the kernel that issued it.")
    number = _number(token)
    if number is None or not hmac.compare_digest(url, _url(key, number)):
        raise OcapUrlError("this kernel has not issued this ocap URL", remedy="Ask whoever gave it to you.")
    _refuse_revoked(store, number)
    if not store.outside.is_pinned(number, "url"):
        raise OcapUrlError("the object of this ocap URL does not exist any more", remedy="Ask its owner for another.")
    return number


def _refuse_revoked(store: Store, number: int) -> None:
    record = store.references.object(number)
    if record is not None and record.revoked:
        kref = object_kref(number)
        raise RevokedError(f"the object {kref} has been revoked", kref=kref, remedy="Ask its owner for another one.")


def _url(key: bytes, number: int) -> str:
    encoded = number.to_bytes(_NUMBER_BYTES, "big")
    mac = hmac.digest(key, _PURPOSE + encoded, "sha256")[:_MAC_BYTES]
    return f"ocap:{_text(encoded + mac)}@{_kernel(key)}"


def _kernel(key: bytes) -> str:
    return _text(hashlib.sha256(b"ocap kernel\x00" + key).digest()[:_KERNEL_BYTES])


def _number(token: str) -> int | None:
    try:
        decoded = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
    except ValueError:
        return None
    number = int.from_bytes(decoded[:_NUMBER_BYTES], "big")
    return number if len(decoded) == _NUMBER_BYTES + _MAC_BYTES and number < 1 << 63 else None


def _text(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
