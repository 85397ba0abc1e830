"""What can go wrong with what was asked, with bundles, vats and subclusters, and with the store."""

from __future__ import annotations

import errno

from kernel.errors.base import OcapError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""The ``errno`` values that say that the machine, or this process, has too little left."""

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
    """The subcluster is the host program's own: clients cannot end it, replace its code, or revoke what is its."""

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


def exhausted(what: str, error: OSError, **data: Any) -> ResourcesExhaustedError:
    """Make the error of somebody for whom the system had too little left (``error.errno`` is one of ``EXHAUSTED``)."""
    return ResourcesExhaustedError(
        f"{what}: {error.strerror}",
        remedy="Raise the daemon's limit of open files, processes or memory, or end what uses them up.",
        errno=errno.errorcode.get(error.errno or 0, str(error.errno)),
        **data,
    )
