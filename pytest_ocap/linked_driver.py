"""What a driver has whose daemon's vats refer to each other's objects, beyond :mod:`pytest_ocap.driver`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_ocap.driver import KernelDriver

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import Outcome, Subcluster


class LinkedDriver(KernelDriver, Protocol):
    """A driver with :attr:`pytest_ocap.driver.Capability.REFERENCES`."""

    def launch_linked(self, home: Path, bundle: Path, *, timeout: float) -> Outcome:
        """Make a bundle at the path and launch from it a subcluster whose vats have references to each other.

        At each probe they pass each other new objects and promises before it is answered, and let go of those that
        they were passed before; what they keep has to be there, or the probe fails.
        """
        ...


class CollectDriver(KernelDriver, Protocol):
    """A driver with :attr:`pytest_ocap.driver.Capability.COLLECT`."""

    def collect(self, home: Path, *, timeout: float) -> Outcome:
        """Have all vats find out what they no longer refer to, and what nobody refers to be removed."""
        ...


class RevokeDriver(LinkedDriver, Protocol):
    """A driver with :attr:`pytest_ocap.driver.Capability.REVOKE`."""

    def revoke(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Revoke for good the object that one vat of a subcluster of linked vats has given another."""
        ...

    def use(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Have the vat that was given that object send it a message.

        ``ok`` when it is known what came of that: ``value`` is True when the object has answered, and False when the
        message was refused because the object has been revoked.
        """
        ...
