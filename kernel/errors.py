"""One tree of errors for everything that can go wrong in the kernel, its daemon and its command line.

Each class has a stable ``code`` (what programs test), an ``exit_code`` (what shells test) and a default message (its
docstring).  An instance adds the path or the id concerned and a ``remedy``: the next step for the person who reads it.
Errors cross process borders as JSON, so that the caller of ``ocap daemon start`` sees the daemon's own words.

This module knows nothing of the rest of the package and imports nothing heavy: it is on every start path.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar

_MAX_CAUSES = 16

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""The ``errno`` values that say that the machine, or this process, has too little left."""


class OcapError(Exception):
    """The kernel failed."""

    code: ClassVar[str] = "internal-error"
    exit_code: ClassVar[int] = 1
    by_code: ClassVar[dict[str, type[OcapError]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in vars(cls):
            if cls.code in OcapError.by_code:
                raise TypeError(f"error code {cls.code!r} is used by two classes")
            OcapError.by_code[cls.code] = cls

    def __init__(self, message: str | None = None, *, remedy: str | None = None, **data: Any) -> None:
        """Make an error.

        Args:
            message: What happened, naming the path or id concerned; the class's docstring when left out.
            remedy: The next step for the reader, as an imperative sentence.
            data: JSON-able facts for programs (``path=``, ``phase=``, ``subclusterId=``, ...).
        """
        doc = (type(self).__doc__ or "").strip().partition("\n")[0]
        self.message = message or doc
        self.remedy = remedy
        self.data: dict[str, Any] = {
            key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in data.items()
        }
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    def to_json(self) -> dict[str, Any]:
        """Give the error as JSON data: code, type, message, remedy, causes and the facts it carries."""
        record: dict[str, Any] = {**self.data, "code": self.code, "type": type(self).__name__, "message": self.message}
        if self.remedy:
            record["remedy"] = self.remedy
        causes = cause_chain(self)
        if causes:
            record["causes"] = causes
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> OcapError:
        """Rebuild an error that another process wrote with :meth:`to_json`; an unknown code gives the base class."""
        kind = OcapError.by_code.get(str(record.get("code")), OcapError)
        data = {str(key): value for key, value in record.items() if key not in ("type", "message", "remedy")}
        if kind.code == data.get("code"):
            del data["code"]
        error = kind.__new__(kind)
        OcapError.__init__(error, str(record.get("message") or "") or None, remedy=record.get("remedy") or None, **data)
        return error


OcapError.by_code[OcapError.code] = OcapError


def describe(error: BaseException) -> str:
    """Say in one line what an exception is: always its type, then its message, else its ``repr``.

    Never an object's default ``repr`` alone (``<X object at 0x...>`` tells a reader nothing).
    """
    name = type(error).__name__
    if isinstance(error, OcapError):
        return f"{name}: {error.message}"
    try:
        text = str(error).strip()
    except Exception as broken:  # noqa: BLE001 - an exception whose own __str__ fails must still be reported
        return f"{name} (its message could not be rendered: {type(broken).__name__})"
    if not text or (text.startswith("<") and " object at 0x" in text):
        fields = (
            {key: value for key, value in vars(error).items() if not key.startswith("__")}
            if hasattr(error, "__dict__")
            else {}
        )
        text = ", ".join(f"{key}={value!r}" for key, value in fields.items()) or "no message was given"
    return f"{name}: {text}"


def cause_chain(error: BaseException) -> list[str]:
    """Describe the causes of an exception, nearest first, without the exception itself; groups are opened."""
    described: list[str] = []
    seen = {id(error)}
    waiting: list[BaseException] = [error]
    while waiting and len(described) < _MAX_CAUSES:
        current = waiting.pop(0)
        following: list[BaseException] = []
        if current.__cause__ is not None:
            following.append(current.__cause__)
        elif current.__context__ is not None and not current.__suppress_context__:
            following.append(current.__context__)
        if sys.version_info >= (3, 11) and isinstance(current, BaseExceptionGroup):
            following.extend(current.exceptions)
        for cause in following:
            if id(cause) not in seen:
                seen.add(id(cause))
                described.append(describe(cause))
                waiting.append(cause)
    return described


def exhausted(what: str, error: OSError, **data: Any) -> ResourcesExhaustedError:
    """Make the error of somebody for whom the system had too little left (``error.errno`` is one of ``EXHAUSTED``)."""
    return ResourcesExhaustedError(
        f"{what}: {error.strerror}",
        remedy="Raise the daemon's limit of open files, processes or memory, or end what uses them up.",
        errno=errno.errorcode.get(error.errno or 0, str(error.errno)),
        **data,
    )


def to_record(error: BaseException) -> dict[str, Any]:
    """Give any exception as JSON data in the form of :meth:`OcapError.to_json`."""
    if isinstance(error, OcapError):
        return error.to_json()
    record: dict[str, Any] = {"code": OcapError.code, "type": type(error).__name__, "message": describe(error)}
    if isinstance(error, OSError) and error.filename is not None:
        record["path"] = os.fsdecode(error.filename)
    causes = cause_chain(error)
    if causes:
        record["causes"] = causes
    return record


# --- what the caller gave ------------------------------------------------------------------------------------------


class UsageError(OcapError):
    """The command line is not of the right form."""

    code = "usage"
    exit_code = 2


class ConfigError(OcapError):
    """The cluster configuration is not of the right form."""

    code = "config-invalid"


class RefError(OcapError):
    """An identifier is not of the right form."""

    code = "ref-invalid"


class CapDataError(OcapError):
    """A value is not CapData, or cannot be passed."""

    code = "capdata-invalid"


class NotFoundError(OcapError):
    """Nothing has that identifier."""

    code = "not-found"


class RevokedError(OcapError):
    """The object has been revoked."""

    code = "revoked"


class OcapUrlError(OcapError):
    """The text is not an ocap URL of this kernel, or its object is no more."""

    code = "ocap-url-invalid"


class RpcError(OcapError):
    """The request is not of the right form."""

    code = "rpc-invalid"


class QueryError(OcapError):
    """The query was refused: only single read-only statements are allowed."""

    code = "query-refused"


class ResourcesExhaustedError(OcapError):
    """The machine has no descriptor, process or memory left for this."""

    code = "resources-exhausted"


# --- bundles -------------------------------------------------------------------------------------------------------


class BundleError(OcapError):
    """The bundle cannot be used."""

    code = "bundle-invalid"


class BundleUrlError(BundleError):
    """The bundle specification is not a URL that can be fetched."""

    code = "bundle-url-invalid"


class BundleMissingError(BundleError):
    """The bundle does not exist."""

    code = "bundle-missing"


class BundleUnreadableError(BundleError):
    """The bundle exists but cannot be read."""

    code = "bundle-unreadable"


class BundleTooLargeError(BundleError):
    """The bundle is larger than the limit."""

    code = "bundle-too-large"


class BundleCorruptError(BundleError):
    """The file is truncated, or is not a bundle."""

    code = "bundle-corrupt"


class BundleTimeoutError(BundleError):
    """Fetching the bundle took too long."""

    code = "bundle-timeout"


class BundleFetchError(BundleError):
    """The bundle's server could not be reached or gave an error."""

    code = "bundle-fetch-failed"


class IntegrityError(BundleError):
    """The bundle's digest is not the one that the configuration demands."""

    code = "integrity-mismatch"


class BundleBuildError(BundleError):
    """The source cannot be made into a bundle."""

    code = "bundle-build-failed"


# --- vats and subclusters ------------------------------------------------------------------------------------------


class VatError(OcapError):
    """The vat failed."""

    code = "vat-failed"


class VatInitError(VatError):
    """The vat's code failed while it was starting."""

    code = "vat-init-failed"


class VatInitTimeoutError(VatError):
    """The vat did not finish starting in time."""

    code = "vat-init-timeout"


class VatDiedError(VatError):
    """The vat's worker process ended while a delivery was under way."""

    code = "vat-died"


class VatTimeoutError(VatError):
    """The vat did not finish a delivery in time and was ended."""

    code = "vat-timeout"


class VatTerminatedError(VatError):
    """The vat has been terminated."""

    code = "vat-terminated"


class VatProtocolError(VatError):
    """The vat broke the protocol between vat and kernel and was ended."""

    code = "vat-protocol"


class DisconnectedError(VatError):
    """The vat's incarnation ended before the promise was resolved."""

    code = "vat-disconnected"


class RejectedError(OcapError):
    """The message was answered with a rejection."""

    code = "rejected"


class LaunchError(OcapError):
    """The subcluster could not be launched; everything done for it was rolled back."""

    code = "launch-failed"


class QuarantinedError(OcapError):
    """The subcluster is quarantined."""

    code = "subcluster-quarantined"


class NotQuarantinedError(OcapError):
    """The subcluster is not quarantined."""

    code = "not-quarantined"


class SystemSubclusterError(OcapError):
    """The subcluster is the host program's own: clients cannot end it, or replace its code."""

    code = "system-subcluster"


class RepairError(OcapError):
    """The subcluster could not be repaired and stays quarantined."""

    code = "repair-failed"


class IoChannelError(OcapError):
    """The IO channel could not be opened."""

    code = "io-channel-failed"


class RecordCorruptError(OcapError):
    """A record in the store cannot be read."""

    code = "record-corrupt"


class ConfinementError(OcapError):
    """This machine cannot confine vat workers."""

    code = "confinement-unavailable"


# --- the store -----------------------------------------------------------------------------------------------------


class StoreError(OcapError):
    """The store failed."""

    code = "store-failed"


class StoreCorruptError(StoreError):
    """The store is damaged."""

    code = "store-corrupt"


class StoreForeignError(StoreError):
    """The file is not a store of this kernel; it was not touched."""

    code = "store-foreign"
    exit_code = 6


class StoreNewerError(StoreError):
    """The store was written by a newer version; it was not touched."""

    code = "store-newer"
    exit_code = 6


class StoreLockedError(StoreError):
    """Another process holds the store."""

    code = "store-locked"


class StoreFullError(StoreError):
    """The disk that holds the store is full."""

    code = "store-full"


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
