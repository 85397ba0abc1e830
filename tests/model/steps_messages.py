"""Steps: messages, what they bring about, and the references that pass in them."""

from __future__ import annotations

from driving import FEW, PICK, Driving, some_run
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from kernels import send
from world import Thing

from kernel.capdata import Slot


class Messages(Driving):
    """What parties do and tell each other."""

    # --- effects ---

    @precondition(some_run)
    @rule(pick=PICK)
    def write(self, pick: int) -> None:
        party, number = self._pick(pick), self._next()
        assert self._send(party, "write", number) == number
        party.log.append(number)

    @precondition(some_run)
    @rule(pick=PICK)
    def write_and_fail(self, pick: int) -> None:
        party, number = self._pick(pick), self._next()
        assert self._send(party, "write_and_fail", number) == "<ValueError>"
        party.log.append(number)

    @precondition(lambda self: self._with_references())
    @rule(pick=PICK, other=PICK, count=FEW)
    def tell(self, pick: int, other: int, count: int) -> None:
        senders = self._with_references()
        party = senders[pick % len(senders)]
        name, thing = self._reference(party, other)
        numbers = [self._next() for _ in range(count)]
        refusals = thing.refusals()
        answer = self._send(party, "tell_all", name, numbers)
        if refusals:
            self._check_refusal(answer, refusals)
            return
        assert answer == numbers[::-1]
        for number in numbers:
            thing.owner.hear(party.name, number)

    # --- references ---

    @precondition(lambda self: self._with_references())
    @rule(pick=PICK, other=PICK, what=PICK)
    def give(self, pick: int, other: int, what: int) -> None:
        givers = self._with_references()
        party = givers[pick % len(givers)]
        target_name, target = self._reference(party, other)
        name, thing = self._reference(party, what)
        new_name = f"r{self._next()}"
        answer = self._send(party, "give", target_name, name, new_name)
        if target.hears and target.is_root:
            assert answer is None
            target.owner.receive(new_name, thing)
        else:
            # A facet takes nothing, and may be gone; but its party has seen what was in the message.
            self._check_refusal(answer, target.refusals() or {"TypeError"})
            target.owner.learn(thing)

    @precondition(lambda self: self.kernel.takes_references and some_run(self))
    @rule(pick=PICK, other=PICK)
    def introduce(self, pick: int, other: int) -> None:
        party, friend = self._pick(pick), self._pick(other)
        new_name = f"r{self._next()}"
        assert self._send(party, "take", new_name, Slot(friend.root.kref)) is None
        party.receive(new_name, friend.root)

    @precondition(lambda self: self._with_references())
    @rule(pick=PICK, other=PICK, collect=st.booleans())
    def drop(self, pick: int, other: int, collect: bool) -> None:
        holders = self._with_references()
        party = holders[pick % len(holders)]
        name, _thing = self._reference(party, other)
        assert self._send(party, "drop", name) is None
        del party.refs[name]
        if collect:
            self._tell_kernel("collectGarbage")

    @precondition(lambda self: self._with_references())
    @rule(pick=PICK, other=PICK, durable=st.booleans())
    def give_an_object(self, pick: int, other: int, durable: bool) -> None:
        givers = self._with_references()
        party = givers[pick % len(givers)]
        made = send(self.kernel, party.root.kref, "make_ledger" if durable else "make_facet")
        thing = Thing(party, made.id, None if durable else party.incarnation)
        note(f"{made.id} is {'durable' if durable else 'of this incarnation'}")
        party.facets.append(thing)
        party.learn(thing)
        target_name, target = self._reference(party, other)
        new_name = f"r{self._next()}"
        answer = self._send(party, "give_facet", target_name, len(party.facets) - 1, new_name)
        if target.hears and target.owner is party and target.is_root and not durable:
            assert answer == "<TypeError>"  # what does not survive a restart cannot be kept by its own vat
        elif target.hears and target.is_root:
            assert answer is None
            target.owner.receive(new_name, thing)
        else:
            # A facet takes nothing, and may be gone; but its party has seen what was in the message.
            self._check_refusal(answer, target.refusals() or {"TypeError"})
            target.owner.learn(thing)

    @precondition(lambda self: any(party.refs for party in self.world.running()))
    @rule(pick=PICK, other=PICK)
    def revoke(self, pick: int, other: int) -> None:
        holders = [party for party in self.world.running() if party.refs]
        _name, thing = self._reference(holders[pick % len(holders)], other)
        if thing.owner.exists:
            self._revoke(thing)
