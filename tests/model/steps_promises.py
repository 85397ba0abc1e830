"""Steps: promises that are waited for, pipelined into, relayed and settled."""

from __future__ import annotations

from driving import KIND, PICK, Driving
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from world import Waiting


class Promises(Driving):
    """What parties wait for."""

    @precondition(lambda self: self._with_references())
    @rule(pick=PICK, other=PICK, via=PICK, relayed=st.booleans(), sends=st.booleans(), key=st.sampled_from("xy"))
    def wait_for_promise(self, pick: int, other: int, via: int, relayed: bool, sends: bool, key: str) -> None:
        waiters = self._with_references()
        party = waiters[pick % len(waiters)]
        target_name, target = self._reference(party, other)
        via_name, holder, relay = None, target, None
        if relayed and target.owner.refs and target.is_root:
            via_name, holder = self._reference(target.owner, via)
            relay = (target.owner, target.owner.incarnation)
        watch_id = self._next()
        assert self._send(party, "pipeline" if sends else "watch", target_name, via_name, key, watch_id) is None
        if not (target.hears and holder.hears) or not target.is_root or not holder.is_root:
            party.outcomes.append([watch_id, "error"])
            return
        waiting = Waiting(party, party.incarnation, watch_id, sends, relay)
        holder.owner.holds.setdefault(key, []).append(waiting)

    @precondition(lambda self: any(p.holds and not p.root.revoked for p in self.world.running()))
    @rule(pick=PICK, which=PICK, other=PICK, kind=KIND)
    def settle_promise(self, pick: int, which: int, other: int, kind: str) -> None:
        holders = [p for p in self.world.running() if p.holds and not p.root.revoked]
        party = holders[pick % len(holders)]
        key = sorted(party.holds)[which % len(party.holds)]
        if kind == "reference" and not party.refs:
            kind = "self"
        what: object = {"data": 7, "nothing": None, "error": "refused", "self": None}.get(kind)
        outcome: object = "error" if kind == "error" else what
        thing = party.root if kind == "self" else None
        if kind == "reference":
            what, thing = self._reference(party, other)
        assert self._send(party, "settle", key, kind, what) is None
        party.settle(key, outcome, thing)

    @precondition(lambda self: self._with_references())
    @rule(picks=st.lists(st.tuples(PICK, PICK, st.booleans(), st.booleans()), min_size=1, max_size=4), kind=KIND)
    def wait_and_settle(self, picks: list[tuple[int, int, bool, bool]], kind: str) -> None:
        """Have some wait for promises, and settle one: what happens in between is for the other rules."""
        for pick, other, relayed, sends in picks:
            self.wait_for_promise(pick, other, other, relayed, sends, "x")
        if any(p.holds and not p.root.revoked for p in self.world.running()):
            self.settle_promise(picks[0][0], 0, picks[0][1], kind)
