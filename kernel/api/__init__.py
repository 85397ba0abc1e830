"""The kernel as a library: in this process, or a daemon's over its socket, with the same methods either way.

:class:`Kernel` runs a home in this process, :class:`Client` and :class:`AsyncClient` call the home's daemon.  All three
have a method for each method of the wire, under its name in snake_case, and raise the same errors.

This package is for programs that use the kernel; the daemon and the ``ocap`` command import nothing of it, since
asyncio costs more to import than they do to start.
"""

from __future__ import annotations

from kernel.api.async_client import AsyncClient
from kernel.api.blocking_client import Client
from kernel.api.embedded import Kernel
from kernel.api.shapes import (
    Confinement,
    DaemonFacts,
    Launched,
    Pruned,
    Quarantine,
    RemoteComms,
    Status,
    SubclusterStatus,
    VatStatus,
)
from kernel.capdata import CapData, RemoteError, Slot, Symbol, Tagged
from kernel.engine.options import KernelOptions

__all__ = [
    "AsyncClient",
    "CapData",
    "Client",
    "Confinement",
    "DaemonFacts",
    "Kernel",
    "KernelOptions",
    "Launched",
    "Pruned",
    "Quarantine",
    "RemoteComms",
    "RemoteError",
    "Slot",
    "Status",
    "SubclusterStatus",
    "Symbol",
    "Tagged",
    "VatStatus",
]
