"""The machine: what Hypothesis may do to a kernel, each step with what must come of it.

After each step the durable store is compared with the world: every acknowledged effect is there once, what one party
told another came in order, no vat holds or has in its c-list a reference that it was not given, and the audit is clean.
A failure prints the steps as a script (``p1.tell('p2', 3) -> 3``), shrunk by Hypothesis.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kernels import PATIENCE_SECONDS, InProcess, Kernel, Sent, audit, send, settle
from party import PARTY
from world import Cluster, Party, Thing, Uncertain, Waiting, World

from kernel.bundle import build_bundle
from kernel.capdata import CapData, Slot, decode
from kernel.errors import OcapError, QuarantinedError, RejectedError

PICK = st.integers(0, 7)
FEW = st.integers(1, 4)
KIND = st.sampled_from(["data", "nothing", "error", "reference", "self"])
MOST_PARTIES = 7
ENOUGH_TO_SPARE = 4

STEPS = Counter[str]()
"""How many steps have been made in this process, by name."""


def _bundle() -> bytes:
    import textwrap

    with tempfile.TemporaryDirectory(prefix="oc-") as folder:
        module = Path(folder) / "party.py"
        module.write_text(textwrap.dedent(PARTY))
        return build_bundle(str(module))


class KernelMachine(RuleBasedStateMachine):
    """Drives one kernel, and the world beside it."""

    make: Callable[[Path], Kernel] = InProcess
    party_bundle: bytes | None = None

    def __init__(self) -> None:
        super().__init__()
        if KernelMachine.party_bundle is None:
            KernelMachine.party_bundle = _bundle()
        self.folder = Path(tempfile.mkdtemp(prefix="oc-", dir="/tmp"))
        (self.folder / "k").mkdir()
        self.kernel = type(self).make(self.folder / "k")
        self.world = World()
        self.numbers = 0

    def teardown(self) -> None:
        """End the kernel, and leave nothing behind."""
        try:
            self.kernel.remove()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- saying what is done ---

    def _next(self) -> int:
        self.numbers += 1
        return self.numbers

    def _step(self, text: str) -> None:
        STEPS[text.partition("(")[0].rpartition(".")[2]] += 1
        note(text)

    def _send(self, party: Party, method: str, *args: Any) -> Any:
        """Send to a party's root; give the answer, or the name of the error in brackets."""
        try:
            answer = send(self.kernel, party.root.kref, method, *args)
        except RejectedError as error:
            answer = f"<{error.data['errorName']}>"
        except OcapError as error:
            answer = f"<{type(error).__name__}>"
        self._step(f"{party.name}.{method}({', '.join(map(repr, args))}) -> {answer!r}")
        settle(self.kernel)
        return answer

    def _tell_kernel(self, method: str, *params: Any) -> Any:
        self._step(f"kernel.{method}({', '.join(map(repr, params))})")
        result = self.kernel.call(method, *params)
        settle(self.kernel)
        return result

    def _pick(self, pick: int) -> Party:
        reachable = [party for party in self.world.running() if not party.root.revoked]
        return reachable[pick % len(reachable)]

    def _reference(self, party: Party, pick: int) -> tuple[str, Thing]:
        name = sorted(party.refs)[pick % len(party.refs)]
        return name, party.refs[name]

    def _some_run(self) -> bool:
        return any(not party.root.revoked for party in self.world.running())

    def _with_references(self) -> list[Party]:
        return [party for party in self.world.running() if party.refs and not party.root.revoked]

    # --- launch and end ---

    @initialize()
    def begin_with_three(self) -> None:
        """Launch a subcluster: without one there is nothing to do."""
        self.launch(3)

    @precondition(lambda self: len(self.world.parties()) <= MOST_PARTIES - 3)
    @rule(size=st.integers(1, 3))
    def launch(self, size: int) -> None:
        number = self._next()
        path = self.folder / f"{number}.bundle"
        assert self.party_bundle is not None
        path.write_bytes(self.party_bundle)
        cluster = Cluster(str(path))
        cluster.parties = [Party(f"p{number}{letter}", cluster) for letter in "abc"[:size]]
        vats = {p.name: {"bundleSpec": path.as_uri(), "parameters": {"name": p.name}} for p in cluster.parties}
        self._step(f"launch({', '.join(vats)})")
        answer = self.kernel.call("launchSubcluster", {"bootstrap": cluster.parties[0].name, "vats": vats})
        cluster.id = answer["subclusterId"]
        settle(self.kernel)
        rows = self.kernel.call(
            "executeDBQuery",
            "SELECT v.name, v.id, c.object FROM vats v JOIN clist c ON c.vat_id = v.id WHERE c.vref = 'o+0'",
        )
        roots = {row["name"]: (row["id"], row["object"]) for row in rows}
        for party in cluster.parties:
            number, root = roots[party.name]
            party.id, party.root = f"v{number}", Thing(party, f"ko{root}")
            party.learn(party.root)
        first = cluster.parties[0]
        assert answer["rootKref"] == first.root.kref
        for party in cluster.parties[1:]:
            first.receive(party.name, party.root)
        self.world.clusters.append(cluster)

    @precondition(lambda self: len(self.world.running()) >= ENOUGH_TO_SPARE)
    @rule(pick=PICK)
    def terminate_vat(self, pick: int) -> None:
        party = self.world.running()[pick % len(self.world.running())]
        self._tell_kernel("terminateVat", party.id)
        self.world.remove(party)

    @precondition(lambda self: len(self.world.parties()) >= ENOUGH_TO_SPARE)
    @rule(pick=PICK)
    def terminate_subcluster(self, pick: int) -> None:
        cluster = self.world.clusters[pick % len(self.world.clusters)]
        self._tell_kernel("terminateSubcluster", cluster.id)
        self.world.remove_cluster(cluster)

    # --- effects ---

    @precondition(_some_run)
    @rule(pick=PICK)
    def write(self, pick: int) -> None:
        party, number = self._pick(pick), self._next()
        assert self._send(party, "write", number) == number
        party.log.append(number)

    @precondition(_some_run)
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

    @staticmethod
    def _check_refusal(answer: object, refusals: set[str]) -> None:
        assert answer in {f"<{name}>" for name in refusals}, f"{answer} instead of one of {refusals}"

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

    @precondition(lambda self: self.kernel.takes_references and self._some_run())
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
            self._tell_kernel("revoke", thing.kref)
            thing.revoked = True
            assert self.kernel.call("isRevoked", thing.kref) is True

    # --- promises ---

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

    # --- incarnations ---

    @precondition(_some_run)
    @rule(pick=PICK)
    def restart_vat(self, pick: int) -> None:
        party = self._pick(pick)
        self._tell_kernel("restartVat", party.id)
        self.world.end_incarnation(party)

    @precondition(_some_run)
    @rule(pick=PICK)
    def kill_vat(self, pick: int) -> None:
        party = self._pick(pick)
        self.kernel.call("pingVat", party.id)
        # A worker may answer before the process that made it has said which one it is.
        self._wait_for(lambda: self.kernel.worker(party.name) is not None)
        pid = self._kill(party)
        self._wait_for(lambda: self.kernel.worker(party.name) != pid)
        self.world.end_incarnation(party)
        settle(self.kernel)

    def _kill(self, party: Party) -> int | None:
        pid = self.kernel.worker(party.name)
        self._step(f"{party.name}.kill() # {'its process' if pid else 'it has no process'}")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "the kernel does not notice"
            self.kernel.go_on(3)

    @precondition(_some_run)
    @rule(count=st.integers(1, 8), first=PICK, stride=PICK, rounds=st.integers(0, 12), end=st.sampled_from("ckw"))
    def burst(self, count: int, first: int, stride: int, rounds: int, end: str) -> None:
        """Send much at once, and let the kernel crash, or a vat be killed, in the middle of it; or wait."""
        sent: list[tuple[Sent, Uncertain]] = []
        killed = self._pick(first)
        for index in range(count):
            party, number = self._pick(first + index * stride), self._next()
            uncertain = Uncertain(number)
            if index % 2 and party.refs:
                name, thing = self._reference(party, index)
                if thing.hears:
                    uncertain.sender = party.name
                    thing.owner.uncertain.append(uncertain)
                note(f"{party.name}.tell({name!r}, {number})  # without waiting")
                sent.append((self.kernel.begin(party.root.kref, "tell", name, number), uncertain))
            else:
                party.uncertain.append(uncertain)
                note(f"{party.name}.write({number})  # without waiting")
                sent.append((self.kernel.begin(party.root.kref, "write", number), uncertain))
        self.kernel.go_on(rounds)
        self._step(f"burst({ {'c': 'crash', 'k': 'kill ' + killed.name, 'w': 'wait'}[end] } after {rounds} rounds)")
        pid = None
        if end == "c":
            self._end_kernel(crash=True, sent=sent)
        elif end == "k":
            pid = self._kill(killed)
        self._wait_for(lambda: all(one.state != "pending" for one, _uncertain in sent) or end == "c")
        if end == "k":
            self._wait_for(lambda: pid is None or self.kernel.worker(killed.name) != pid)
            self._begin_anew(killed)
        for one, uncertain in sent:
            uncertain.required = one.state == "done"
            uncertain.forbidden = one.state == "failed" and not one.kept and uncertain.sender is None and end == "k"
        settle(self.kernel)

    def _begin_anew(self, killed: Party) -> None:
        """Have all be as if a vat had been killed at the same moment each time, whatever the moment was.

        One that was killed while it started has been started once more.
        """
        assert all(entry["state"] == "running" for entry in self._entries(killed))
        self.kernel.call("restartVat", killed.id)
        self.world.end_together([killed])

    def _entries(self, party: Party) -> list[dict[str, Any]]:
        """Give what the status says of a vat's subcluster."""
        return [entry for entry in self.kernel.call("getStatus")["subclusters"] if entry["id"] == party.cluster.id]

    # --- the kernel's own ends ---

    def _end_kernel(self, *, crash: bool, sent: list[tuple[Sent, Uncertain]] | None = None) -> None:
        self.kernel.stop(crash=crash)
        self.world.end_all_incarnations()
        self.kernel.start()

    @precondition(lambda self: self.world.parties())
    @rule(crash=st.booleans())
    def start_anew(self, crash: bool) -> None:
        self._step(f"start_anew({'after a crash' if crash else 'after a stop'})")
        self._end_kernel(crash=crash)
        for cluster in self.world.clusters:
            if cluster.quarantined and os.path.exists(cluster.bundle):
                cluster.quarantined = False
        settle(self.kernel)

    @precondition(lambda self: any(not cluster.quarantined for cluster in self.world.clusters))
    @rule(pick=PICK, crash=st.booleans())
    def lose_bundle(self, pick: int, crash: bool) -> None:
        running = [cluster for cluster in self.world.clusters if not cluster.quarantined]
        cluster = running[pick % len(running)]
        self._step(f"lose_bundle({cluster.id})")
        self.kernel.stop(crash=crash)
        os.unlink(cluster.bundle)
        self.world.end_all_incarnations()
        self.kernel.start()
        cluster.quarantined = True
        for party in cluster.parties:
            if party.exists and not party.root.revoked:
                try:
                    send(self.kernel, party.root.kref, "state")
                except QuarantinedError:
                    continue
                raise AssertionError(f"{party.name} answers, though its bundle is gone")
        settle(self.kernel)

    @precondition(lambda self: any(cluster.quarantined for cluster in self.world.clusters))
    @rule(pick=PICK, how=st.sampled_from(["repair", "prune"]))
    def end_quarantine(self, pick: int, how: str) -> None:
        quarantined = [cluster for cluster in self.world.clusters if cluster.quarantined]
        cluster = quarantined[pick % len(quarantined)]
        if how == "prune":
            self._tell_kernel("pruneSubcluster", [cluster.id])
            self.world.remove_cluster(cluster)
            return
        assert self.party_bundle is not None
        Path(cluster.bundle).write_bytes(self.party_bundle)
        self._tell_kernel("repairSubcluster", cluster.id)
        cluster.quarantined = False
        settle(self.kernel)

    # --- what must hold after each step ---

    @invariant()
    def all_is_as_it_must_be(self) -> None:
        """Compare the kernel with the world."""
        self._compare_store()
        self._compare_references()
        self._compare_status()
        assert audit(self.kernel) == []
        self._ask_somebody()

    def _compare_store(self) -> None:
        found = self._baggage()
        for party in self.world.parties():
            mine = found.pop(int(party.id[1:]), {})
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

    def _baggage(self) -> dict[int, dict[str, Any]]:
        rows = self.kernel.call(
            "executeDBQuery",
            "SELECT b.vat_id, b.key, b.body, s.object FROM baggage b LEFT JOIN baggage_slots s USING (vat_id, key)",
        )
        found: dict[int, dict[str, Any]] = {}
        for row in rows:
            is_reference = row["key"].startswith("ref:")
            value = f"ko{row['object']}" if is_reference else decode(CapData(row["body"], ()))
            found.setdefault(row["vat_id"], {})[row["key"]] = value
        return found

    def _compare_references(self) -> None:
        rows = self.kernel.call("executeDBQuery", "SELECT vat_id, object FROM clist WHERE object IS NOT NULL")
        known = {int(party.id[1:]): party for party in self.world.parties()}
        for row in rows:
            party = known[row["vat_id"]]
            assert f"ko{row['object']}" in party.known, f"{party.name} can name ko{row['object']}, never given to it"

    def _compare_status(self) -> None:
        status = self.kernel.call("getStatus")
        listed = {entry["id"]: (entry["state"], entry["vats"]) for entry in status["subclusters"]}
        assert listed == {
            cluster.id: (
                "quarantined" if cluster.quarantined else "running",
                {party.name: party.id for party in cluster.parties if party.exists},
            )
            for cluster in self.world.clusters
        }

    def _ask_somebody(self) -> None:
        reachable = [party for party in self.world.running() if not party.root.revoked]
        if reachable:
            party = reachable[self.numbers % len(reachable)]
            assert send(self.kernel, party.root.kref, "state")["log"] == party.log
