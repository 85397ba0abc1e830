"""Looking up by text what those outside the kernel name: subclusters, vats, objects."""

from __future__ import annotations

from kernel.engine.router import quarantined_error
from kernel.errors import NotFoundError, QuarantinedError, RefError, SystemSubclusterError
from kernel.refs import format_kref, parse_kref, parse_subcluster_id, parse_vat_id, subcluster_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeGuard

    from kernel.engine.quarantine import Quarantine
    from kernel.engine.router import Router
    from kernel.refs import Kref
    from kernel.store import Store
    from kernel.store.subclusters import SubclusterRecord
    from kernel.store.vats import VatRecord


class Lookup:
    """See the head of this module."""

    def __init__(self, store: Store, router: Router, quarantine: Quarantine) -> None:
        self._store = store
        self._router = router
        self._quarantine = quarantine

    def subcluster(self, name: str) -> SubclusterRecord:
        """Give a subcluster by its id; NotFoundError when there is none, or one whose launch is under way."""
        record = self._store.subclusters.get(parse_subcluster_id(name))
        if not _is_launched(record):
            raise NotFoundError(
                f"there is no subcluster {name}", subclusterId=name, remedy="See 'ocap subcluster list'."
            )
        return record

    def check_owner(self, subcluster: int, by_host: bool, what: str = "") -> None:
        """Refuse clients what only the host may do with a system subcluster of its own (SystemSubclusterError)."""
        record = None if by_host else self._store.subclusters.get(subcluster)
        if record is not None and record.system is not None:
            name = subcluster_id(record.id)
            raise SystemSubclusterError(
                f"{what}system subcluster {name} ({record.system!r}) belongs to the program that launched it",
                remedy="That program can do it: see 'Services of the program' in docs/library.md.",
                subclusterId=name,
                system=record.system,
            )

    def vat(self, name: str) -> VatRecord:
        """Give a vat by its id; NotFoundError when there is none, or one of a launch under way."""
        vat = self._store.vats.get(parse_vat_id(name))
        if vat is None or not _is_launched(self._store.subclusters.get(vat.subcluster_id)):
            raise NotFoundError(f"there is no vat {name}", vatId=name, remedy="See 'ocap daemon status'.")
        return vat

    def runnable_vat(self, name: str) -> VatRecord:
        """Give a vat that is not set aside; QuarantinedError when it is."""
        vat = self.vat(name)
        quarantine = self._quarantine.of_vat(vat.id)
        if quarantine is not None:
            raise quarantined_error(quarantine)
        return vat

    def object(self, kref: str) -> int:
        """Give an object's number by its kref; RefError when it is none, NotFoundError when there is no such object."""
        ref = parse_kref(kref)
        if ref.kind != "object":
            raise RefError(f"{kref} is a promise, not an object", kref=kref, remedy="Give an object's kref, ko<n>.")
        if self._store.references.object(ref.number) is None:
            raise NotFoundError(f"there is no object {kref}", kref=kref, remedy="`ocap daemon status` lists the roots.")
        return ref.number

    def living_object(self, kref: str) -> int:
        """Give the number of an object that can be sent messages, or could if its subcluster were not quarantined.

        Raises:
            RefError: ``kref`` is not an object's.
            NotFoundError: There is no such object, or none any more.
            RevokedError, VatTerminatedError: It is no more, and why.
        """
        number = self.object(kref)
        error = self._router.why_undeliverable(number)
        if error is not None and not isinstance(error, QuarantinedError):
            raise error
        return number

    def why_no_message(self, target: Kref) -> Exception | None:
        """Say why nothing can be sent to a reference; None when it can."""
        if target.kind == "object":
            return self._router.why_undeliverable(target.number)
        if self._store.promises.get(target.number) is None:
            return NotFoundError(f"there is no promise kp{target.number}", kref=f"kp{target.number}")
        return None

    def missing(self, slots: tuple[Kref, ...]) -> NotFoundError | None:
        """Say which of some references there is not; None when there are all."""
        for slot in slots:
            records = self._store.references.object if slot.kind == "object" else self._store.promises.get
            if records(slot.number) is None:
                return NotFoundError(f"there is no {slot.kind} {format_kref(slot)}", kref=format_kref(slot))
        return None


def _is_launched(record: SubclusterRecord | None) -> TypeGuard[SubclusterRecord]:
    return record is not None and record.state == "running"
