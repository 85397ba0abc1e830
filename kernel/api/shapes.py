"""The shapes of what the methods give, for type checkers and readers.

What the wire gives as an object stays a dictionary with the wire's own keys; see ``docs/wire.md``.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from kernel.capdata import CapData
from kernel.records import Record

SubclusterState = Literal["running", "quarantined"]


class VatStatus(TypedDict):
    """One vat of ``get_status``."""

    id: str
    config: dict[str, Any] | None
    subclusterId: str


class Quarantine(TypedDict):
    """Why a subcluster does not run."""

    code: str
    message: str
    remedy: str | None
    bundleSpec: str | None
    path: str | None
    vat: str | None
    since: str


class SubclusterStatus(TypedDict):
    """One subcluster of ``get_status``."""

    id: str
    config: dict[str, Any]
    vats: dict[str, str]
    rootKref: str | None
    system: str | None
    """The name of a system subcluster; None for any other."""
    state: SubclusterState
    quarantine: Quarantine | None


class RemoteComms(TypedDict):
    """The state of communication with other kernels."""

    state: str


class Confinement(TypedDict):
    """Whether the operating system confines vats here."""

    state: str
    reason: str | None
    remedy: str | None


class DaemonFacts(TypedDict):
    """The process that runs the kernel."""

    pid: int
    version: str
    state: Literal["ready", "degraded"]
    startedAt: str
    confinement: Confinement


class Status(TypedDict):
    """What ``get_status`` gives."""

    vats: list[VatStatus]
    subclusters: list[SubclusterStatus]
    remoteComms: RemoteComms
    daemon: DaemonFacts


class Pruned(TypedDict):
    """What was removed with one subcluster; more keys count what went with it."""

    id: str
    code: str
    bundleSpec: str | None
    names: dict[str, str]


class Launched(Record):
    """A subcluster that has been launched."""

    subcluster_id: str
    root_kref: str
    bootstrap_result: CapData | None
    """What ``bootstrap`` gave."""

    @classmethod
    def from_json(cls, answer: dict[str, Any]) -> Launched:
        """Take what the wire's ``launchSubcluster`` gives."""
        result = answer["bootstrapResult"]
        return cls(answer["subclusterId"], answer["rootKref"], None if result is None else CapData.from_json(result))
