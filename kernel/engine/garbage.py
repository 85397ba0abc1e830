"""Garbage collection between vats: what nothing holds is dropped by its exporter, and its names are retired.

A vat says at the end of each delivery which imports it can no longer reach (``dropImports``) or even recognize
(``retireImports``).  When nothing holds an object any more, its exporter is told to drop it, and, when nobody
recognizes it either, to retire its name; an object without an exporter is retired in the vats that still recognize it.
Which objects that concerns is asked of the store's rows before each commit.

A garbage collection delivery is a crank of its own, to a vat that runs.  For a vat that does not, the kernel does at
once what the vat would: all that such a vat has is in the store.  So nothing waits for a vat that may never start
again, and what an ended incarnation alone held or exported ends with it.
"""

from __future__ import annotations

from kernel.engine.settlement import rejection
from kernel.errors import NotFoundError
from kernel.records import Record
from kernel.refs import Kref, object_kref
from kernel.store.deliveries import DeliveryRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernel.engine.router import Router
    from kernel.store import Store
    from kernel.store.garbage import Suspect

_AT_ONCE = 1000
"""How many names one garbage collection delivery has at most."""

PATIENCE = 100
"""How many suspects may wait until a busy vat has nothing else to do."""


class Actions(Record):
    """What one vat is told: names with their objects; ``reap`` asks it to find out what it can no longer reach."""

    drop_exports: tuple[tuple[str, int], ...] = ()
    retire_exports: tuple[tuple[str, int], ...] = ()
    retire_imports: tuple[tuple[str, int], ...] = ()
    reap: bool = False

    def frame(self) -> list[Any]:
        """Give the frame for the vat's worker."""
        names = {
            "dropExports": self.drop_exports,
            "retireExports": self.retire_exports,
            "retireImports": self.retire_imports,
        }
        return [
            "gc",
            {**{kind: [vref for vref, _ in entries] for kind, entries in names.items()}, "bringOutYourDead": self.reap},
        ]


DELIVERY = DeliveryRecord(0, "gc", None, Kref("object", 0), None, None, None)
"""What a vat works on while it collects garbage: nothing of the run queue."""


def disown(store: Store, router: Router, number: int) -> None:
    """Take an object from an exporter that has forgotten it, and answer what waits for it so, inside a unit."""
    store.garbage.disown(number)
    for delivery in store.deliveries.sent_to(number):
        router.drop(delivery)
        if delivery.result is not None:
            router.resolve(delivery.result, rejection(abandoned(number)))
    router.collect()


def abandoned(number: int) -> NotFoundError:
    """Make the error for a message to an object that its vat has given up."""
    return NotFoundError(
        "the object does not exist any more: it did not survive the restart of the vat",
        kref=object_kref(number),
        remedy="Ask its owner for another one; objects of a durable kind survive.",
    )


class Collector:
    """See the head of this module; every method is called inside a unit of the batch."""

    def __init__(self, store: Store, router: Router) -> None:
        self._store = store
        self._router = router
        self.runs: Callable[[int], bool] = lambda _vat_id: False

    def settle(self) -> None:
        """Look at every suspect: let go of what can be let go of, and poke the vats that have to be told."""
        garbage = self._store.garbage
        if garbage.any():
            garbage.acquit()
        while garbage.any():
            waiting = [suspect for suspect in garbage.suspects() if not self._let_go(suspect)]
            remaining = {suspect.object for suspect in waiting}
            garbage.acquit()
            if all(suspect.object in remaining for suspect in garbage.suspects()):
                break  # each of them waits for a vat that has been poked

    def _let_go(self, suspect: Suspect) -> bool:
        """Do what can be done without a vat; False when one that runs must be told first."""
        garbage = self._store.garbage
        if suspect.owner is not None and suspect.vref is not None:
            if self.runs(suspect.owner):
                if suspect.reachable or not suspect.recognized:
                    self._router.work_for(suspect.owner)
                    return False
                garbage.clear(suspect.object)  # those who recognize it will make it a suspect again
                return True
            if suspect.durable:
                self._store.durables.delete(suspect.owner, suspect.vref)
            garbage.disown(suspect.object)
        told = False
        for vat_id in garbage.recognizers(suspect.object):
            if self.runs(vat_id):
                self._router.work_for(vat_id)
                told = True
            else:
                self._store.references.delete_object_entry(vat_id, suspect.object)
        if told:
            return False
        garbage.delete_object(suspect.object)
        return True

    def actions(self, vat_id: int, *, patient: bool, reap: bool) -> Actions | None:
        """Give what a running vat has to be told now; None for nothing.

        Args:
            vat_id: The vat.
            patient: Whether something else waits for it, so that a few suspects can wait too.
            reap: Whether it is to look for what it can no longer reach.
        """
        drop, retire = [], []
        retired: list[tuple[str, int]] = []
        if self._store.garbage.any():
            for suspect in self._store.garbage.suspects(vat_id, _AT_ONCE):
                if suspect.vref is None:
                    continue
                if suspect.reachable:
                    drop.append((suspect.vref, suspect.object))
                if not suspect.recognized:
                    retire.append((suspect.vref, suspect.object))
            retired = self._store.garbage.retired_for(vat_id, _AT_ONCE)
        count = len(drop) + len(retire) + len(retired)
        if not reap and (count == 0 or (patient and count < PATIENCE)):
            return None
        return Actions(tuple(drop), tuple(retire), tuple(retired), reap)

    def carry_out(self, vat_id: int, actions: Actions | None) -> None:
        """Note that a vat has done what it was told of garbage, if it was."""
        if actions is None:
            return
        for vref, _ in actions.drop_exports:
            self._store.references.set_reachable(vat_id, vref, False)
        for vref, number in actions.retire_exports:
            self._store.references.delete_entry(vat_id, vref)
            # Somebody outside may have sent to it meanwhile: then nobody is there to answer.
            disown(self._store, self._router, number)
        for vref, number in actions.retire_imports:
            self._store.references.delete_entry(vat_id, vref)
            self._store.garbage.suspect(number)

    def end_incarnation(self, vat_id: int) -> None:
        """Let go of what only a vat's last incarnation had: exports but durable ones, imports not in its baggage."""
        for number in self._store.garbage.transient_exports(vat_id):
            disown(self._store, self._router, number)
        self._store.garbage.forget_transient_imports(vat_id)

    def end_all_that_rest(self) -> None:
        """End the incarnations of vats that have not started again since the kernel did."""
        for vat_id in self._store.garbage.vats_with_objects():
            if not self.runs(vat_id):
                self.end_incarnation(vat_id)
