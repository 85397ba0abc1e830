"""Translation between the kernel's references and one vat's own names for them, for the length of one crank.

Names that a delivery introduces stay in memory until the crank commits: a crank that fails leaves no trace in the
c-list. A vat can name only what it was given, and has not dropped: any other import ends the crank as a breach of
protocol. What is mentioned, either way, is reachable again.
"""

from __future__ import annotations

from kernel.errors import RefError, VatProtocolError
from kernel.refs import MAX_NUMBER, Kref, parse_vref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.store import Store


class Translation:
    """A vat's c-list as one crank sees it."""

    def __init__(self, store: Store, vat_id: int, next_import: int) -> None:
        self._store = store
        self.vat_id = vat_id
        self.next_import = next_import
        self._new: dict[Kref, str] = {}
        self._reached: list[str] = []
        self.next_export = self.next_promise = MAX_NUMBER
        """The first numbers that the vat says it has not used for objects and promises of its own."""

    def to_vat(self, ref: Kref) -> str:
        """Give the vat's name for a reference, a new one if it has none."""
        vref = self._new.get(ref)
        if vref is not None:
            return vref
        known = self._store.references.entry_of(self.vat_id, ref)
        if known is None:
            vref = f"{'o' if ref.kind == 'object' else 'p'}-{self.next_import}"
            self.next_import += 1
            self._new[ref] = vref
            return vref
        vref, reachable = known
        if not reachable:
            self._reached.append(vref)
        return vref

    def all_to_vat(self, refs: Sequence[Kref]) -> list[str]:
        """Give the vat's names for references."""
        return [self.to_vat(ref) for ref in refs]

    def store_new(self) -> None:
        """Put the names that this crank introduced into the c-list; call it inside the crank's unit."""
        for ref, vref in self._new.items():
            self._store.references.insert_entry(self.vat_id, vref, ref)
        for vref in self._reached:
            self._store.references.set_reachable(self.vat_id, vref, True)

    def to_kernel(self, vref: object) -> Kref:
        """Give what the vat means by a name; a name of its own that is new makes a new object or promise.

        Raises:
            VatProtocolError: The name is malformed, or an import that the vat was never given.
        """
        try:
            parsed = parse_vref(vref)
        except RefError as error:
            raise VatProtocolError(
                f"the vat named a reference {str(vref)[:80]!r}", remedy="Its code is broken."
            ) from error
        assert isinstance(vref, str)
        known = self._store.references.entry(self.vat_id, vref)
        if known is not None:
            ref, reachable = known
            if not reachable and not parsed.exported:
                raise VatProtocolError(
                    f"the vat named {vref}, a reference that it has dropped", remedy="Its code is broken or hostile."
                )
            if not reachable:
                self._store.references.set_reachable(self.vat_id, vref, True)
            return ref
        if not parsed.exported:
            raise VatProtocolError(
                f"the vat named {vref}, a reference that it was not given", remedy="Its code is broken or hostile."
            )
        if parsed.number >= (self.next_export if parsed.kind == "object" else self.next_promise):
            raise VatProtocolError(
                f"the vat named {vref}, and says that it has not used that name", remedy="Its code is broken."
            )
        number = (
            self._store.references.insert_object(self.vat_id)
            if parsed.kind == "object"
            else self._store.promises.insert(decider=self.vat_id)
        )
        ref = Kref(parsed.kind, number)
        self._store.references.insert_entry(self.vat_id, vref, ref)
        return ref

    def entry(self, vref: object, *, exported: bool) -> tuple[str, Kref, bool]:
        """Give a name of an object that the vat has, what it means, and whether that is reachable.

        Raises:
            VatProtocolError: The name is malformed, of the other kind, or not in the vat's c-list.
        """
        known = self._store.references.entry(self.vat_id, vref) if isinstance(vref, str) else None
        if known is None or known[0].kind != "object" or str(vref).startswith("o+") is not exported:
            raise VatProtocolError(
                f"the vat gave up {str(vref)[:80]!r}, a reference that it does not have", remedy="Its code is broken."
            )
        return str(vref), *known

    def all_to_kernel(self, vrefs: Sequence[object]) -> tuple[Kref, ...]:
        """Give what the vat means by some names."""
        return tuple(self.to_kernel(vref) for vref in vrefs)
