"""The methods of a kernel as coroutines: one for each method of the wire, under its name in snake_case.

Whoever can carry a call by its wire name has them all; how it is carried is not known here.  The blocking twins are in
:mod:`kernel.api.blocking_calls`; a test keeps both equal, and equal with the wire.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, cast

from kernel.api.shapes import Launched
from kernel.capdata import CapData, decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernel.api.shapes import Pruned, Status, SubclusterState, SubclusterStatus


class AsyncCalls(ABC):
    """What can be asked of a kernel.

    Every method may raise what stands with it, and what the way to the kernel raises (:class:`~kernel.api.Kernel`,
    :class:`~kernel.api.AsyncClient`); all of it is of :class:`kernel.errors.OcapError`.  A coroutine that is cancelled
    gives up waiting: what was asked is done all the same.
    """

    @abstractmethod
    async def call(self, method: str, params: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Call a method by its name on the wire, and give its result as the wire has it."""

    # --- messages ---

    async def queue_message(self, kref: str, method: str, args: Sequence[Any] = ()) -> CapData:
        """Send a message to an object and wait for its answer, which is durable when this returns.

        Args:
            kref: The object, or a promise for one.
            method: The method's name.
            args: Its arguments: plain data.

        Returns:
            The answer, encoded; ``slots`` are krefs.

        Raises:
            RejectedError: The vat rejected; the message is the vat's own, ``data`` has its name, body and slots.
            NotFoundError, RevokedError, QuarantinedError, VatTerminatedError: The target takes no messages, and why.
            VatError: The vat was ended while it worked on the message.
            RefError, UsageError: ``kref`` or ``method`` is malformed.
        """
        return CapData.from_json(await self.call("queueMessage", [kref, method, list(args)]))

    async def send(self, kref: str, method: str, *args: Any) -> Any:
        """Send a message as :meth:`queue_message` does, and give the answer decoded; references are ``Slot``."""
        return decode(await self.queue_message(kref, method, args))

    async def revoke(self, kref: str) -> None:
        """Revoke an object, for good: messages to it are rejected from now on (NotFoundError: there is none)."""
        await self.call("revoke", {"kref": kref})

    async def is_revoked(self, kref: str) -> bool:
        """Say whether an object has been revoked (NotFoundError: there is none)."""
        return bool(await self.call("isRevoked", {"kref": kref}))

    async def pin(self, kref: str) -> None:
        """Hold an object whose kref left in an answer, for as long as its vat exists (NotFoundError: there is none)."""
        await self.call("pin", {"kref": kref})

    async def unpin(self, kref: str) -> None:
        """Hold an object no longer (NotFoundError: there is none)."""
        await self.call("unpin", {"kref": kref})

    async def issue_ocap_url(self, kref: str) -> str:
        """Give a URL by which this kernel, and no other, finds the object again (NotFoundError: there is none)."""
        return str(await self.call("issueOcapURL", {"kref": kref}))

    async def redeem_ocap_url(self, url: str) -> str:
        """Give the kref of the object that a URL of :meth:`issue_ocap_url` stands for."""
        return str(await self.call("redeemOcapURL", {"url": url}))

    # --- subclusters and vats ---

    async def launch_subcluster(self, config: Mapping[str, Any]) -> Launched:
        """Launch a subcluster.

        Args:
            config: The cluster configuration, as ``docs/wire.md`` has it.

        Raises:
            ConfigError: The configuration is not of the right form; the message names the key.
            BundleError: A bundle cannot be had.
            LaunchError, VatError: It did not come up; nothing of it is left.
        """
        return Launched.from_json(await self.call("launchSubcluster", {"config": dict(config)}))

    async def terminate_subcluster(self, subcluster_id: str) -> None:
        """Remove a subcluster, running or quarantined, with all that it has (NotFoundError: there is none)."""
        await self.call("terminateSubcluster", {"id": subcluster_id})

    async def repair_subcluster(self, subcluster_id: str, bundles: Mapping[str, str] | None = None) -> SubclusterStatus:
        """Let a quarantined subcluster run again; one that runs is left as it is.

        Args:
            subcluster_id: The subcluster.
            bundles: For vats whose bundle is elsewhere now, its path or URL by the vat's name.

        Raises:
            NotFoundError: There is no such subcluster.
            OcapError: The cause has not gone; the error is that cause.
        """
        params = {"id": subcluster_id, "bundles": None if bundles is None else dict(bundles)}
        return cast("SubclusterStatus", await self.call("repairSubcluster", params))

    async def prune_subcluster(self, ids: Sequence[str] | None = None, quarantined: bool = False) -> list[Pruned]:
        """Remove quarantined subclusters for good, those named or all of them; says what was removed.

        Raises:
            UsageError: Neither or both were asked for.
            NotFoundError, NotQuarantinedError: One of them is not there, or runs; nothing was removed.
        """
        params = {"ids": None if ids is None else list(ids), "quarantined": quarantined}
        return cast("list[Pruned]", (await self.call("pruneSubcluster", params))["pruned"])

    async def terminate_vat(self, vat_id: str) -> None:
        """Remove one vat; a subcluster whose last vat goes, goes with it (NotFoundError: there is none)."""
        await self.call("terminateVat", {"id": vat_id})

    async def restart_vat(self, vat_id: str) -> None:
        """End a vat's worker and start a new incarnation from its baggage.

        Raises:
            NotFoundError: There is no such vat.
            QuarantinedError: Its subcluster is quarantined.
            VatError: It does not start; its subcluster is now quarantined.
        """
        await self.call("restartVat", {"id": vat_id})

    async def ping_vat(self, vat_id: str) -> str:
        """Ask a vat for a sign of life, starting it if need be; gives ``"pong"`` (raises as :meth:`restart_vat`)."""
        return str(await self.call("pingVat", {"id": vat_id}))

    async def terminate_all_vats(self) -> None:
        """Remove every subcluster."""
        await self.call("terminateAllVats")

    # --- the kernel ---

    async def ping(self) -> str:
        """Give ``"pong"``."""
        return str(await self.call("ping"))

    async def get_status(self, state: SubclusterState | None = None) -> Status:
        """Give the vats, the subclusters and the process that runs them; those in one state only, if it is given."""
        return cast("Status", await self.call("getStatus", [] if state is None else [state]))

    async def collect_garbage(self) -> None:
        """Remove what nothing mentions any more."""
        await self.call("collectGarbage")

    async def clear_state(self) -> None:
        """Remove every subcluster and all that belongs to them; identifiers are not used again."""
        await self.call("clearState")

    async def execute_db_query(self, sql: str) -> list[dict[str, Any]]:
        """Run one read-only statement on the store (QueryError: it is another); gives rows by column name."""
        return cast("list[dict[str, Any]]", await self.call("executeDBQuery", {"sql": sql}))

    async def shutdown(self) -> None:
        """Stop the kernel once what is being answered has been answered."""
        await self.call("shutdown")
