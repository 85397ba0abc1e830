"""What a vat holds of others, and others of it: which names for objects still mean something.

An import is held while vat code has its presence, or the baggage or a durable object's state mentions it.  An export
is held by this vat for as long as others can reach it; told that they cannot, it is left to the vat's own code, and its
name is retired when that lets go of it too.

Invariant: the import names here are those of the kernel's c-list, and each is given up once.  Python may find an object
dead at any moment, between any two instructions: callbacks only append to lists.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

from kernel.refs import ROOT_VREF
from kernel.vat.references import Presence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernel.vat.exo import Exo

GIVEN_UP_AT_ONCE = 2000
"""How many names a vat gives up at the end of one crank at most; the others wait for the next."""


class Imports:
    """The objects of other vats that this one can name."""

    def __init__(self) -> None:
        self._presences: dict[str, ref[Presence]] = {}
        self._known: set[str] = set()
        self._stored: dict[str, int] = {}
        self._doubtful: list[str] = []

    def arrived(self, slots: Iterable[str]) -> None:
        """Note names that the kernel gave to this vat, whether or not anything comes to hold them."""
        for slot in slots:
            if slot.startswith("o-"):
                self._known.add(slot)
                self._doubtful.append(slot)

    def presence(self, vref: str, iface: str | None) -> Presence:
        """Give the presence for a name: the same one for as long as there is one."""
        reference = self._presences.get(vref)
        presence = None if reference is None else reference()
        if presence is None:
            presence = Presence(vref, iface)
            self._presences[vref] = ref(presence, partial(self._lost, vref))
        return presence

    def _lost(self, vref: str, _reference: ref[Presence]) -> None:
        self._doubtful.append(vref)

    def stored(self, slots: Iterable[str]) -> None:
        """Note that something which outlives the incarnation mentions names."""
        for slot in slots:
            if slot.startswith("o-"):
                self._stored[slot] = self._stored.get(slot, 0) + 1

    def unstored(self, slots: Iterable[str]) -> None:
        """Note that something which mentioned names is no longer kept."""
        for slot in slots:
            if slot in self._stored:
                self._stored[slot] -= 1
                if not self._stored[slot]:
                    del self._stored[slot]
                    self._doubtful.append(slot)

    def take_dropped(self) -> list[str]:
        """Give the names that nothing here holds any more, and forget them."""
        dropped: list[str] = []
        while self._doubtful and len(dropped) < GIVEN_UP_AT_ONCE:
            vref = self._doubtful.pop()
            reference = self._presences.get(vref)
            if vref not in self._known or vref in self._stored or (reference is not None and reference() is not None):
                continue
            self._presences.pop(vref, None)
            self._known.discard(vref)
            dropped.append(vref)
        return dropped

    def retired(self, vref: str) -> None:
        """Forget a name that the kernel has retired."""
        self._known.discard(vref)
        self._presences.pop(vref, None)


class Exports:
    """The objects of this vat that others were given, but for the durable ones, which the store keeps."""

    def __init__(self) -> None:
        self._held: dict[str, Exo] = {}
        self._left: dict[str, ref[Exo]] = {}
        self._names: dict[int, str] = {}
        self._retired: list[str] = []

    def add(self, vref: str, exo: Exo) -> None:
        """Note that others are given an object."""
        self._held[vref] = exo
        self._names[id(exo)] = vref

    def name_of(self, exo: Exo) -> str | None:
        """Give an object's name, which is about to be used; None when others have none for it."""
        vref = self._names.get(id(exo))
        return vref if vref is not None and self.get(vref) is exo else None

    def get(self, vref: str) -> Exo | None:
        """Give the object of a name that is used, and hold it again; None when there is none any more."""
        exo = self._held.get(vref)
        reference = self._left.get(vref)
        if exo is None and reference is not None:
            exo = reference()
            if exo is not None:
                self._held[vref] = exo
                del self._left[vref]
        return exo

    def dropped(self, vref: str) -> None:
        """Hold an object no longer: others cannot reach it, and the vat's own code decides."""
        exo = self._held.pop(vref, None) if vref != ROOT_VREF else None
        if exo is not None:
            self._left[vref] = ref(exo, partial(self._died, vref, id(exo)))

    def _died(self, vref: str, identity: int, reference: ref[Exo]) -> None:
        if self._left.get(vref) is reference:
            del self._left[vref]
            self._forget_name(identity, vref)
            self._retired.append(vref)

    def retired(self, vref: str) -> None:
        """Forget a name that nobody else has any more; passed on again, the object gets a new one."""
        exo = self.get(vref) if vref != ROOT_VREF else None
        if exo is not None:
            del self._held[vref]
            self._forget_name(id(exo), vref)
        elif vref in self._retired:
            self._retired.remove(vref)

    def _forget_name(self, identity: int, vref: str) -> None:
        # Where a dead object lay another may lie by now, under a name of its own.
        if self._names.get(identity) == vref:
            del self._names[identity]

    def take_retired(self) -> list[str]:
        """Give the names of objects that others could not reach, and that the vat's own code has let go of."""
        return [self._retired.pop() for _ in range(min(len(self._retired), GIVEN_UP_AT_ONCE))]
