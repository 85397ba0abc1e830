"""The ways in which a vat fails, in words: one function each, giving the typed error."""

from __future__ import annotations

from kernel.errors import (
    ResourcesExhaustedError,
    VatDiedError,
    VatInitError,
    VatInitTimeoutError,
    VatProtocolError,
    VatTimeoutError,
    describe,
)
from kernel.refs import vat_id as vat_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.workers import WorkerExit


def init_expired(vat: int, name: str, seconds: float) -> VatInitTimeoutError:
    """The vat did not finish starting within so many seconds."""
    return VatInitTimeoutError(
        f"vat {vat_name(vat)} ({name}) did not start within {seconds:g} s",
        vat=name,
        vatId=vat_name(vat),
        remedy="Look for an endless loop in the bundle's top level or in build_root_object.",
    )


def init_failed(vat: int, name: str, detail: dict[str, Any]) -> VatInitError:
    """The vat's code raised while it was starting; ``detail`` has type, message and traceback."""
    kind, message = detail.get("type", "Exception"), detail.get("message") or "no message was given"
    return VatInitError(
        f"vat {vat_name(vat)} ({name}) failed while starting: {kind}: {message}",
        vat=name,
        vatId=vat_name(vat),
        traceback=detail.get("traceback"),
        remedy="Mend the bundle's code, bundle it again and repair or launch the subcluster.",
    )


def died_starting(vat: int, name: str, exit_: WorkerExit) -> VatInitError | ResourcesExhaustedError:
    """The vat's worker ended while it was starting, or there was none."""
    if exit_.unavailable:
        return ResourcesExhaustedError(
            f"vat {vat_name(vat)} ({name}) has no worker: {exit_.reason}",
            vat=name,
            vatId=vat_name(vat),
            remedy="Raise the daemon's limit of open files, processes or memory, or end what uses them up.",
        )
    twice = "twice, the second time " if exit_.from_outside else ""  # the first is tried again
    return VatInitError(
        f"the worker of vat {vat_name(vat)} ({name}) ended {twice}while it was starting: {exit_.reason}",
        vat=name,
        vatId=vat_name(vat),
        signal=exit_.signal,
        exitStatus=exit_.status,
        remedy="See what kills it, free memory perhaps, and repair the subcluster."
        if exit_.from_outside
        else "See the daemon's log.",
    )


def unforeseen(vat: int, name: str, error: Exception) -> VatInitError:
    """The kernel itself failed while it was starting the vat."""
    failure = VatInitError(
        f"vat {vat_name(vat)} ({name}) could not be started: {describe(error)}",
        vat=name,
        vatId=vat_name(vat),
        remedy="See the daemon's log.",
    )
    failure.__cause__ = error
    return failure


def not_carried_out(error: Exception) -> VatProtocolError:
    """What the vat did in a delivery made the kernel itself fail."""
    failure = VatProtocolError(f"what the vat did cannot be carried out: {describe(error)}")
    failure.__cause__ = error
    return failure


def postponed(vat: int, error: ResourcesExhaustedError) -> ResourcesExhaustedError:
    """The vat cannot be started now, for a reason that is not its own; its messages wait."""
    return ResourcesExhaustedError(
        f"{error.message}; the message is kept and delivered when vat {vat_name(vat)} can be started",
        remedy=error.remedy,
        **{**error.data, "queued": True},
    )


def died(vat: int, name: str, exit_: WorkerExit) -> VatDiedError:
    """The vat's worker ended while it ran."""
    return VatDiedError(
        f"the worker of vat {vat_name(vat)} ({name}) ended: {exit_.reason}",
        vat=name,
        vatId=vat_name(vat),
        signal=exit_.signal,
        exitStatus=exit_.status,
        remedy="The vat starts again from its baggage at its next message.",
    )


def ended(vat: int, name: str) -> VatDiedError:
    """The kernel ended the vat's worker."""
    return VatDiedError(f"vat {vat_name(vat)} ({name}) was ended", vat=name, vatId=vat_name(vat), remedy="Try again.")


def delivery_expired(vat: int, name: str, seconds: float) -> VatTimeoutError:
    """The vat did not finish a delivery within so many seconds."""
    return VatTimeoutError(
        f"vat {vat_name(vat)} ({name}) did not finish a delivery within {seconds:g} s and was ended",
        vat=name,
        vatId=vat_name(vat),
        remedy="Look for an endless loop in the method; the vat starts again from its baggage.",
    )


def ping_expired(vat: int, name: str, seconds: float) -> VatTimeoutError:
    """The vat did not answer a ping within so many seconds."""
    return VatTimeoutError(
        f"vat {vat_name(vat)} ({name}) did not answer a ping within {seconds:g} s",
        vat=name,
        vatId=vat_name(vat),
        remedy="It is busy with a delivery, or hangs; a delivery has its own deadline.",
    )
