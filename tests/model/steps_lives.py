"""Steps: vats and the kernel end and begin anew, as they should or in the middle of something; bundles are lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from driving import PICK, Driving, some_run
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from kernels import Sent, send, settle
from world import Party, Uncertain

from kernel.errors import QuarantinedError


class Lives(Driving):
    """Who ends, and what becomes of the others."""

    # --- incarnations ---

    @precondition(some_run)
    @rule(pick=PICK)
    def restart_vat(self, pick: int) -> None:
        party = self._pick(pick)
        self._tell_kernel("restartVat", party.id)
        self.world.end_incarnation(party)

    @precondition(some_run)
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

    @precondition(some_run)
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
        self._end_burst(sent, killed, rounds, end)

    def _end_burst(self, sent: list[tuple[Sent, Uncertain]], killed: Party, rounds: int, end: str) -> None:
        """Let what was sent get on for some rounds; then end as said, and note what must have come of it.

        Args:
            sent: What was sent, and the effects.
            killed: The vat that is to be killed, if one is.
            rounds: For how many rounds of the loop.
            end: ``c``: the kernel crashes; ``l``: it does, and the host does not come back; ``k``: a vat is killed;
                ``w``: nobody ends.
        """
        self.kernel.go_on(rounds)
        how = {"c": "crash", "l": "crash and lose the host", "k": "kill " + killed.name, "w": "wait"}[end]
        self._step(f"burst({how} after {rounds} rounds)")
        pid = None
        if end in "cl":
            if end == "l":
                self._leave_host()
            self._end_kernel(crash=True)
        elif end == "k":
            pid = self._kill(killed)
        self._wait_for(lambda: all(one.state != "pending" for one, _uncertain in sent) or end in "cl")
        if end == "k":
            self._wait_for(lambda: pid is None or self.kernel.worker(killed.name) != pid)
            self._begin_anew(killed)
        for one, uncertain in sent:
            uncertain.required = one.state == "done"
            failed = one.state == "failed" and not one.kept and not uncertain.asks
            uncertain.forbidden = failed and uncertain.sender is None and end == "k"
        settle(self.kernel)

    def _leave_host(self) -> None:
        """Have the kernel be started without the services of the host, when it is."""
        self.program.is_there = self.world.hosted = False

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

    def _end_kernel(self, *, crash: bool) -> None:
        self.kernel.stop(crash=crash)
        self.world.end_all_incarnations()
        self.kernel.start()

    @precondition(lambda self: self.world.parties())
    @rule(crash=st.booleans())
    def start_anew(self, crash: bool) -> None:
        self._step(f"start_anew({'after a crash' if crash else 'after a stop'})")
        self._end_kernel(crash=crash)
        self._note_repairs()
        settle(self.kernel)

    def _note_repairs(self) -> None:
        """After a start: what was quarantined runs again if its bundle is there."""
        for cluster in self.world.clusters:
            if cluster.quarantined and os.path.exists(cluster.bundle):
                cluster.quarantined = False

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
