"""What must hold after each step: the store has what the world says, and nothing that it does not say."""

from __future__ import annotations

from driving import Driving
from hypothesis.stateful import invariant
from kernels import audit, send
from world import Party, Uncertain


class Comparing(Driving):
    """Compares the kernel with the world."""

    @invariant()
    def all_is_as_it_must_be(self) -> None:
        """Compare the kernel with the world."""
        self._compare_store()
        self._compare_references()
        self._compare_status()
        if self.kernel.program is not None:
            assert self.kernel.program.noted == self.world.posted
        assert audit(self.kernel) == []
        self._ask_somebody()

    def _compare_store(self) -> None:
        found = self._baggage()
        for party in self.world.parties():
            mine = found.pop(int(party.id[1:]), {})
            assert mine.pop("urls", None) == party.urls
            assert mine.pop("host", None) == party.host
            assert mine.pop("line", None) == party.line
            log, heard = mine.pop("log", []), mine.pop("heard", [])
            outcomes, refs = mine.pop("outcomes", []), {key[4:]: kref for key, kref in mine.items()}
            spoken: dict[str, list[int]] = {}
            for sender, number in heard:
                spoken.setdefault(sender, []).append(number)
            pending = party.uncertain
            party.log = self._check(party, "log", party.log, log, [u for u in pending if u.sender is None])
            for sender in {*spoken, *party.heard, *(u.sender for u in pending if u.sender)}:
                maybe = [u for u in pending if u.sender == sender]
                before = party.heard.get(sender, [])
                party.heard[sender] = self._check(party, f"heard from {sender}", before, spoken.get(sender, []), maybe)
            if party.runs:
                pending.clear()
            assert sorted(outcomes, key=str) == sorted(party.outcomes, key=str), (
                f"{party.name} noted {outcomes} of promises instead of {party.outcomes}"
            )
            expected = {name: thing.kref for name, thing in party.refs.items()}
            assert refs == expected, f"{party.name} holds {refs} instead of {expected}"
        assert not found, f"there is baggage of vats that do not exist: {found}"

    @staticmethod
    def _check(party: Party, what: str, before: list[int], now: list[int], maybe: list[Uncertain]) -> list[int]:
        """Check a list that may have grown by what is uncertain, in its order; give it."""
        assert now[: len(before)] == before, f"{party.name} has {what} {now}, where {before} was acknowledged"
        grown = now[len(before) :]
        allowed = [one.number for one in maybe if not one.forbidden]
        assert [number for number in allowed if number in grown] == grown, (
            f"{party.name} has {what} {grown} more, of which only {allowed} were sent, in that order"
        )
        missing = [one.number for one in maybe if one.required and one.number not in grown]
        assert not missing or not party.runs, f"{party.name} lost {missing}, which was acknowledged"
        for one in [one for one in maybe if one.number in grown]:
            party.uncertain.remove(one)
        return now

    def _compare_references(self) -> None:
        rows = self.kernel.call("executeDBQuery", "SELECT vat_id, object FROM clist WHERE object IS NOT NULL")
        known = {int(party.id[1:]): party for party in self.world.parties()}
        for row in rows:
            party = known[row["vat_id"]]
            assert f"ko{row['object']}" in party.known, f"{party.name} can name ko{row['object']}, never given to it"

    def _compare_status(self) -> None:
        status = self.kernel.call("getStatus")
        listed = {entry["id"]: (entry["state"], entry["vats"], entry["system"]) for entry in status["subclusters"]}
        assert listed == {
            cluster.id: (
                "quarantined" if cluster.quarantined else "running",
                {party.name: party.id for party in cluster.parties if party.exists},
                cluster.system,
            )
            for cluster in self.world.clusters
        }

    def _ask_somebody(self) -> None:
        reachable = [party for party in self.world.running() if not party.root.revoked]
        if reachable:
            party = reachable[self.numbers % len(reachable)]
            assert send(self.kernel, party.root.kref, "state")["log"] == party.log
