"""The ledger of a workload: what its clients asked for, and what became of it.

Invariant: an operation is *done* only when its client was told so, and *refused* only when the daemon itself said so
with an error of a stable code; whatever else happened to a client (a lost connection, no answer, an error that nobody
can place), the outcome is *unknown* and may be either, but not half of it.  Knows nothing of faults.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_ocap.driver import Capability, Outcome, Subcluster, has
from pytest_ocap.scenarios.contracts import UNTYPED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.persisted import PersistedStore


LAUNCHES = frozenset({"launch", "launch_pinned", "launch_linked"})
REMOVALS = frozenset({"prune", "terminate"})


class Fate(enum.StrEnum):
    """What a client knows of its operation."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Operation:
    """One operation of a client.

    Attributes:
        verb: The verb of the driver.
        subject: What it was about: the name of a bundle, or nothing.
        began: When it was asked for, on the harness's clock.
        ended: When the client knew.
        outcome: What the client was told; None when it never was.
        fate: What that means.
        subcluster: The subcluster that it concerns, or made.
    """

    verb: str
    subject: str
    began: float
    ended: float
    outcome: Outcome | None
    fate: Fate
    subcluster: Subcluster | None = None

    def describe(self) -> str:
        """Say in a line what it was and what became of it."""
        what = f"{self.verb} {self.subject}".strip()
        told = "" if self.outcome is None else self.outcome.describe().replace("\n", " | ")
        return f"{what}: {self.fate}" + (f" ({told})" if told else "")

    def to_json(self) -> dict[str, Any]:
        """Give the operation as JSON data."""
        data: dict[str, Any] = {"verb": self.verb, "subject": self.subject, "fate": str(self.fate)}
        data |= {"seconds": round(self.ended - self.began, 4)}
        if self.outcome is not None:
            data |= {"ok": self.outcome.ok, "status": self.outcome.status, "code": self.outcome.code}
            data |= {"timed_out": self.outcome.timed_out, "text": self.outcome.text}
        return data


def fate_of(driver: KernelDriver, outcome: Outcome) -> Fate:
    """Say what a client knows after it was told this."""
    if outcome.ok:
        return Fate.DONE
    typed = has(driver, Capability.ERROR_CODES) and (outcome.code or "") not in UNTYPED
    return Fate.REFUSED if typed and not outcome.timed_out and not _may_yet_be(outcome) else Fate.UNKNOWN


def _may_yet_be(outcome: Outcome) -> bool:
    """Say whether an error's data say that what was asked for is kept and may be done later, or may be done by now."""
    data = outcome.value.get("data") if isinstance(outcome.value, dict) else None
    return isinstance(data, dict) and any(data.get(word) is True for word in ("queued", "undecided"))


@dataclass(frozen=True)
class Expectation:
    """What has to be there after a fault.

    Attributes:
        subclusters: Those whose launch was acknowledged, and whose removal was not.
        answers: For each id how many probes it may have answered: at least, and at most.
        unknown_launches: How many more there may be: launches whose outcome nobody was told.
        bad: The ids of those that cannot be restored, since their bundle is gone.
        returned: The ids of those that could not be, and whose bundle is back: they run, or can be repaired.
        doubtful: The ids of those whose removal was asked for, and nobody was told its outcome: there whole, or gone.
        spared: The ids of those whose removal was asked for and refused.
        removed: Those whose removal was acknowledged.
        uses: For each subcluster of linked vats what a use of the object that they share can come to: True, it answers;
            False, it has been revoked.
        misused: The uses that have come to something else before, each in words.
    """

    subclusters: tuple[Subcluster, ...] = ()
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    unknown_launches: int = 0
    bad: frozenset[str] = frozenset()
    returned: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()
    spared: frozenset[str] = frozenset()
    removed: tuple[Subcluster, ...] = ()
    uses: dict[str, frozenset[bool]] = field(default_factory=dict)
    misused: tuple[str, ...] = ()


@dataclass
class Ledger:
    """What there was before, and every operation since, in the order in which they ended."""

    store: PersistedStore
    bad: frozenset[str] = frozenset()
    operations: list[Operation] = field(default_factory=list)

    def expectation(self) -> Expectation:
        """Give what has to be there now."""
        subclusters = list(self.store.subclusters)
        counts = {subcluster.id: (count, count) for subcluster, count in self._before()}
        unknown = 0
        for operation in self.operations:
            known = operation.subcluster
            if operation.verb in LAUNCHES:
                if operation.fate is Fate.DONE and known is not None:
                    subclusters.append(known)
                    counts[known.id] = (0, 0)
                unknown += operation.fate is Fate.UNKNOWN
            elif operation.verb == "probe" and known is not None and known.id in counts:
                least, most = counts[known.id]
                done, possible = operation.fate is Fate.DONE, operation.fate is not Fate.REFUSED
                counts[known.id] = (least + done, most + possible)
        removed = self.met(Fate.DONE, *REMOVALS)
        back = {one.id for one in subclusters if one.id in self.bad and one.bundle.exists()}
        return Expectation(
            tuple(subcluster for subcluster in subclusters if subcluster.id not in removed),
            counts,
            unknown,
            self.bad - back - removed,
            frozenset(back) - self.met(Fate.DONE, "repair") - removed,
            self.met(Fate.UNKNOWN, *REMOVALS) - removed,
            self.met(Fate.REFUSED, *REMOVALS) - removed,
            tuple(subcluster for subcluster in subclusters if subcluster.id in removed),
            *self._uses(),
        )

    def _uses(self) -> tuple[dict[str, frozenset[bool]], tuple[str, ...]]:
        """Give what uses of shared objects can come to now, and those that have come to something else.

        A revocation of which nobody was told may still be carried out, until somebody is told that it was.
        """
        uses: dict[str, frozenset[bool]] = {}
        misused = []
        for operation in self.operations:
            if operation.subcluster is None or operation.fate is Fate.REFUSED:
                continue
            identity, done = operation.subcluster.id, operation.fate is Fate.DONE
            if operation.verb == "launch_linked":
                uses[identity] = frozenset({True})
            elif operation.verb == "revoke":
                uses[identity] = frozenset({False}) if done else uses[identity] | {False}
            elif operation.verb == "use" and done and operation.outcome is not None:
                if operation.outcome.value not in uses[identity]:
                    misused.append(f"{operation.describe()} came to {operation.outcome.value}")
                elif operation.outcome.value is False:
                    uses[identity] = frozenset({False})
        return uses, tuple(misused)

    def met(self, fate: Fate, *verbs: str) -> frozenset[str]:
        """Give the ids of the subclusters with which one of these verbs has met that fate."""
        return frozenset(
            operation.subcluster.id
            for operation in self.operations
            if operation.verb in verbs and operation.fate is fate and operation.subcluster is not None
        )

    def before(self, moment: float) -> Ledger:
        """Give what the clients knew at a moment of the harness's clock.

        What was still under way then has an unknown outcome; what began later was never asked for.
        """
        cut = [
            operation if operation.ended <= moment else replace(operation, outcome=None, fate=Fate.UNKNOWN)
            for operation in self.operations
            if operation.began <= moment
        ]
        # A launch that was under way gave nobody an id; a probe is about a subcluster that was known before it.
        known = [
            replace(operation, subcluster=None)
            if operation.verb in LAUNCHES and operation.fate is Fate.UNKNOWN
            else operation
            for operation in cut
        ]
        return Ledger(self.store, self.bad, known)

    @property
    def failures(self) -> list[Operation]:
        """The operations that were not done."""
        return [operation for operation in self.operations if operation.fate is not Fate.DONE]

    def describe(self) -> str:
        """Say line by line what was asked for and what became of it."""
        return "\n".join(operation.describe() for operation in self.operations) or "(nothing was asked for)"

    def to_json(self) -> list[dict[str, Any]]:
        """Give the operations as JSON data."""
        return [operation.to_json() for operation in self.operations]

    def _before(self) -> Iterable[tuple[Subcluster, int]]:
        return ((subcluster, self.store.answers.get(subcluster.id, 0)) for subcluster in self.store.subclusters)
