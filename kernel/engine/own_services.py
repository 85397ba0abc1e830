"""The services that every kernel has: ocap URLs, a timer, and the kernel facet, for system subclusters only."""

from __future__ import annotations

from kernel.capdata import Slot
from kernel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.engine.kernel import Kernel
    from kernel.loop import Loop

_MAX_SECONDS = 366 * 86400.0


def own_services(kernel: Kernel, loop: Loop) -> dict[str, tuple[object, bool]]:
    """Give each by its name, and whether it is for system subclusters only."""
    return {
        "ocapURLs": (OcapUrls(kernel), False),
        "timer": (Timer(loop), False),
        "kernelFacet": (KernelFacet(kernel), True),
    }


def _kref(reference: object) -> str:
    if not isinstance(reference, Slot):
        raise UsageError("the argument has to be a reference to an object")
    return reference.id


class OcapUrls:
    """Gives URLs for objects, and objects for URLs."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def issue(self, reference: object) -> str:
        """Give the URL of an object that the caller has a reference to."""
        return self._kernel.issue_ocap_url(_kref(reference))

    def redeem(self, url: object) -> Slot:
        """Give the object of a URL."""
        if not isinstance(url, str):
            raise UsageError("an ocap URL is text")
        return Slot(self._kernel.redeem_ocap_url(url))


class Timer:
    """Answers later."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    async def delay(self, seconds: object, value: object = None) -> object:
        """Give a value after so many seconds."""
        from kernel.loop import sleep

        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= _MAX_SECONDS:
            raise UsageError(f"a delay is a number of seconds from 0 to {_MAX_SECONDS:g}")
        await sleep(self._loop, float(seconds))
        return value


class KernelFacet:
    """What a system subcluster can have the kernel do; results are those of the wire's methods of the same names."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def getStatus(self) -> dict[str, Any]:  # noqa: N802 - the wire's name
        """Give the vats and subclusters."""
        return self._kernel.status()

    async def launchSubcluster(self, config: object) -> dict[str, Any]:  # noqa: N802 - the wire's name
        """Launch a subcluster; the answer's ``root`` is a reference to its root."""
        from kernel.config import parse_cluster_config

        launched = await self._kernel.launch_subcluster(parse_cluster_config(config))
        return {**launched, "root": Slot(launched["rootKref"])}

    async def terminateSubcluster(self, name: object) -> None:  # noqa: N802 - the wire's name
        """Remove a subcluster."""
        await self._kernel.terminate_subcluster(str(name))

    async def restartVat(self, name: object) -> None:  # noqa: N802 - the wire's name
        """End a vat's worker and start a new incarnation."""
        await self._kernel.restart_vat(str(name))

    async def pingVat(self, name: object) -> str:  # noqa: N802 - the wire's name
        """Ask a vat for a sign of life."""
        return await self._kernel.ping_vat(str(name))

    def getRoot(self, name: object) -> Slot:  # noqa: N802 - as the wire would name it
        """Give a reference to the root of a subcluster."""
        for entry in self._kernel.status()["subclusters"]:
            if entry["id"] == name:
                return Slot(entry["rootKref"])
        raise UsageError(f"there is no subcluster {str(name)[:100]}")

    def revoke(self, reference: object) -> None:
        """Revoke an object, for good."""
        self._kernel.revoke(_kref(reference))

    def isRevoked(self, reference: object) -> bool:  # noqa: N802 - the wire's name
        """Say whether an object has been revoked."""
        return self._kernel.is_revoked(_kref(reference))
