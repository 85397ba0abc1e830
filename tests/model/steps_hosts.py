"""Steps: vats call services of the program that embeds the kernel, which answers, fails, waits, or is not there.

What is promised for a call, and checked: it is made once the crank that sent it is durable, and at most once.  When the
kernel lives on it is made exactly once, whatever becomes of the vat.  When the kernel ends, a call may be lost, or made
and its answer lost; it is never made again, and one that was answered has been made.  A vat's calls begin in its order.
"""

from __future__ import annotations

from driving import FEW, PICK
from hosting import FOR_SYSTEM, ORDINARY
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from kernels import Sent, settle
from steps_lives import Lives
from world import Party, Uncertain, Waiting

from kernel.capdata import Slot
from kernel.errors import ConfigError, NotFoundError, UsageError

FAILING = st.sampled_from(
    ["note_and_fail", "note_and_give_what_cannot_be_passed", "note_and_give_what_is_not_there", "missing", "_note"]
)
SHELL = "shell"


class Hosts(Lives):
    """What the program that has the kernel does for vats."""

    def _callers(self) -> list[Party]:
        """Give those that can be asked, and have a service of the host's."""
        return [party for party in self.world.running() if party.host is not None and not party.root.revoked]

    # --- calls ---

    @precondition(lambda self: self._callers())
    @rule(pick=PICK, count=FEW)
    def post(self, pick: int, count: int) -> None:
        callers = self._callers()
        party = callers[pick % len(callers)]
        numbers = [self._next() for _ in range(count)]
        answer = self._send(party, "post_all", numbers)
        party.log += numbers
        if self.world.hosted:
            assert answer == numbers[::-1]
            self.world.posted += [(party.name, number) for number in numbers]
        else:
            assert answer == "<NotFoundError>"

    @precondition(lambda self: self._callers())
    @rule(pick=PICK, method=FAILING)
    def post_in_vain(self, pick: int, method: str) -> None:
        callers = self._callers()
        party, number = callers[pick % len(callers)], self._next()
        answer = self._send(party, "post", method, number)
        if method == "_note":
            assert answer == "<AttributeError>"  # E refuses it, and the crank goes on to its end
        elif not self.world.hosted or method == "note_and_give_what_is_not_there":
            assert answer == "<NotFoundError>"
        else:
            assert answer in ("<RejectedError>", "<CapDataError>")
        party.log.append(number)
        if self.world.hosted and method.startswith("note_"):
            self.world.posted.append((party.name, number))

    @precondition(lambda self: any(party.refs for party in self._callers()))
    @rule(pick=PICK, other=PICK, pipelined=st.booleans())
    def go_through_host(self, pick: int, other: int, pipelined: bool) -> None:
        """Have a message sent to what the host gives back, before it does; or have the host send it."""
        callers = [party for party in self._callers() if party.refs]
        party, number = callers[pick % len(callers)], self._next()
        name, thing = self._reference(party, other)
        answer = self._send(party, "reach" if pipelined else "use", name, number)
        if not self.world.hosted:
            assert answer == "<NotFoundError>"
        elif refusals := thing.refusals():
            self._check_refusal(answer, refusals | {"RejectedError"})
        else:
            assert answer == number
            thing.owner.hear(party.name if pipelined else "host", number)

    @precondition(lambda self: any(party.refs for party in self._callers()))
    @rule(pick=PICK, other=PICK)
    def share_host(self, pick: int, other: int) -> None:
        """A service passes on like any other reference."""
        callers = [party for party in self._callers() if party.refs]
        party = callers[pick % len(callers)]
        name, thing = self._reference(party, other)
        assert party.host is not None
        answer = self._send(party, "share_host", name)
        if thing.hears and thing.is_root:
            assert answer is None
            thing.owner.host = party.host
        else:
            self._check_refusal(answer, thing.refusals() or {"TypeError"})
        thing.owner.known.add(party.host)

    # --- calls that wait ---

    @precondition(lambda self: self.world.hosted and self._callers())
    @rule(pick=PICK)
    def leave_waiting(self, pick: int) -> None:
        callers = self._callers()
        party, number = callers[pick % len(callers)], self._next()
        assert self._send(party, "leave_waiting", number) is None
        self._wait_for(lambda: number in self.program.host.waiting)
        self.world.posted.append((party.name, number))
        self.world.held[number] = Waiting(party, party.incarnation, number, False, None)

    @precondition(lambda self: self.world.held and self.world.parties())
    @rule(which=PICK, pick=PICK, kind=st.sampled_from(["data", "error", "reference"]))
    def answer(self, which: int, pick: int, kind: str) -> None:
        """Answer a call that waits; whoever called may have ended meanwhile."""
        number = sorted(self.world.held)[which % len(self.world.held)]
        waiting = self.world.held.pop(number)
        thing = self.world.parties()[pick % len(self.world.parties())].root
        self._step(f"host.answer({number}, {kind})")
        self.program.answer(number, ValueError("no") if kind == "error" else Slot(thing.kref) if kind != "data" else 7)
        if waiting.note({"data": 7}.get(kind, kind)):
            if kind == "reference":
                waiting.party.learn(thing)
            vat = int(waiting.party.id[1:])
            self._wait_for(lambda: len(self._baggage()[vat].get("outcomes", [])) == len(waiting.party.outcomes))
        settle(self.kernel)

    # --- in the middle of it ---

    @precondition(lambda self: self._callers())
    @rule(count=st.integers(1, 8), first=PICK, stride=PICK, rounds=st.integers(0, 12), end=st.sampled_from("ckwl"))
    def burst_of_posts(self, count: int, first: int, stride: int, rounds: int, end: str) -> None:
        """Have many calls made at once, and somebody end in the middle of it: a vat, the kernel, the host with it."""
        callers = self._callers()
        killed, hosted = callers[first % len(callers)], self.world.hosted
        sent: list[tuple[Sent, Uncertain]] = []
        by_party: dict[str, list[tuple[Sent, int]]] = {}
        for index in range(count):
            party, number = callers[(first + index * stride) % len(callers)], self._next()
            party.uncertain.append(Uncertain(number, asks=True))
            note(f"{party.name}.post('note', {number})  # without waiting")
            one = self.kernel.begin(party.root.kref, "post", "note", number)
            sent.append((one, party.uncertain[-1]))
            by_party.setdefault(party.name, []).append((one, number))
        self._end_burst(sent, killed, rounds, end)
        made = self.program.noted[len(self.world.posted) :]
        logs = {party.name: self._baggage().get(int(party.id[1:]), {}).get("log", []) for party in callers}
        assert not made or hosted, f"{made} were made of a service that nobody has registered"
        assert {name for name, _number in made} <= set(by_party)
        for name, posts in by_party.items():
            mine = [number for sender, number in made if sender == name]
            durable = [number for _one, number in posts if number in logs[name]]
            assert mine == [number for number in durable if number in mine], (
                f"of the calls {mine} of {name}'s, made in this order, {durable} were durable, in that order"
            )
            due = [number for one, number in posts if one.state == "done" or (number in durable and end in "kw")]
            assert not hosted or [number for number in due if number not in mine] == []
        self.world.posted += made

    # --- the host is there or not ---

    @precondition(lambda self: self.world.hosted and self.world.parties())
    @rule(crash=st.booleans())
    def lose_host(self, crash: bool) -> None:
        self._step(f"lose_host({'after a crash' if crash else 'after a stop'})")
        self._leave_host()
        self._end_kernel(crash=crash)
        self._note_repairs()
        settle(self.kernel)

    @precondition(lambda self: self.kernel.program and not self.world.hosted)
    @rule()
    def register_host(self) -> None:
        self._step("register_host()")
        self.program.register()
        self.world.hosted = self.program.is_there = True
        try:
            self.program.register()
        except UsageError:
            return
        raise AssertionError("two services have one name")

    @precondition(lambda self: self.kernel.program and self.numbers % 4 == 0)
    @rule()
    def launch_without_service(self) -> None:
        """What is for system subclusters, or is not there, cannot be had."""
        for service in [FOR_SYSTEM] if self.world.hosted else [FOR_SYSTEM, ORDINARY]:
            _cluster, config = self._design(1, ["ocapURLs", service])
            self._step(f"launch_without_service({service})")
            try:
                self.kernel.call("launchSubcluster", config)
            except ConfigError:
                continue
            raise AssertionError(f"an ordinary subcluster was given {service}")

    # --- system subclusters ---

    @precondition(lambda self: self.world.hosted and len(self.world.parties()) <= 5)
    @rule(size=st.integers(1, 2))
    def launch_system(self, size: int) -> None:
        """Launch the system subcluster: the first time it is launched, and each other time it is what it was."""
        services = ["ocapURLs", FOR_SYSTEM]
        cluster, config = self._design(size, services)
        cluster.system = SHELL
        self._step(f"launch_system({size})")
        state = self.program.launch_system(SHELL, config)
        settle(self.kernel)
        known = [other for other in self.world.clusters if other.system]
        if known:
            assert state == next(e for e in self.kernel.call("getStatus")["subclusters"] if e["id"] == known[0].id)
        else:
            self._note_launch(cluster, state["id"], state["rootKref"], services)

    @precondition(lambda self: any(cluster.system for cluster in self.world.clusters))
    @rule()
    def terminate_system(self) -> None:
        (cluster,) = [cluster for cluster in self.world.clusters if cluster.system]
        self._step("terminate_system()")
        self.program.terminate_system(SHELL)
        settle(self.kernel)
        self.world.remove_cluster(cluster)
        try:
            self.program.terminate_system(SHELL)
        except NotFoundError:
            return
        raise AssertionError("a system subcluster was removed twice")
