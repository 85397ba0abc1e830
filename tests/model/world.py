"""What the kernel promises to its users, as a model in memory: parties, what they hold, what they must have seen.

Nothing here asks the kernel.  The machine tells the world what was done, the world says what must have come of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Thing:
    """An object that references name: a party's root, a durable ledger, or a facet of one incarnation of its party."""

    owner: Party
    kref: str
    incarnation: int | None = None
    revoked: bool = False

    def refusals(self) -> set[str]:
        """Give the names of the errors that a message to it may be rejected with; none when it is heard.

        An object that is gone for two reasons may be said to be gone for either.
        """
        refusals = set()
        if self.revoked:
            refusals.add("RevokedError")
        if not self.owner.exists:
            refusals.add("VatTerminatedError")
        elif self.owner.cluster.quarantined:
            refusals.add("QuarantinedError")
        if self.is_gone:
            refusals.add("NotFoundError")
        return refusals

    @property
    def is_gone(self) -> bool:
        """Whether the incarnation that it was of has ended."""
        return self.incarnation is not None and self.incarnation != self.owner.last_incarnation

    @property
    def is_root(self) -> bool:
        """Whether it is its owner's root; others hear, and have no other method."""
        return self.owner.root is self

    @property
    def hears(self) -> bool:
        """Whether messages to it are heard."""
        return not self.refusals()


@dataclass(eq=False)
class Waiting:
    """Somebody who waits for a promise that a party holds: for its value, or with a message for what it becomes."""

    party: Party
    incarnation: int
    watch_id: int
    sends: bool
    relay: tuple[Party, int] | None

    def note(self, outcome: object) -> bool:
        """Have the one who waits note what came, if it still remembers that it asked; say whether it does."""
        remembers = self.party.exists and self.party.incarnation == self.incarnation
        if remembers:
            self.party.outcomes.append([self.watch_id, outcome])
        return remembers


@dataclass(eq=False)
class Uncertain:
    """An effect that may be there or not, since somebody died; ``required`` when it was acknowledged.

    When its message ``asks`` a service, an answer that failed does not say that the effect is not there.
    """

    number: int
    sender: str | None = None
    required: bool = False
    forbidden: bool = False
    asks: bool = False


@dataclass(eq=False)
class Party:
    """One vat."""

    name: str
    cluster: Cluster
    id: str = ""
    root: Thing = field(init=False)
    exists: bool = True
    incarnation: int = 0
    log: list[int] = field(default_factory=list)
    heard: dict[str, list[int]] = field(default_factory=dict)
    outcomes: list[list[object]] = field(default_factory=list)
    refs: dict[str, Thing] = field(default_factory=dict)
    facets: list[Thing] = field(default_factory=list)
    holds: dict[str, list[Waiting]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    uncertain: list[Uncertain] = field(default_factory=list)
    urls: str | None = None
    """The kref of the kernel's service ``ocapURLs``, if it was given that."""
    host: str | None = None
    """The kref of a service of the host's, if it was given one."""
    line: str | None = None
    """The kref of its subcluster's IO channel, if it was given that."""

    @property
    def last_incarnation(self) -> int:
        """The number of its incarnation, or of the one that it was terminated in."""
        return self.incarnation if self.exists else self.incarnation - 1

    @property
    def runs(self) -> bool:
        """Whether it can be sent messages."""
        return self.exists and not self.cluster.quarantined

    def hear(self, sender: str, number: int) -> None:
        """Hear something."""
        self.heard.setdefault(sender, []).append(number)

    def receive(self, name: str, thing: Thing) -> None:
        """Be given a reference and keep it."""
        self.refs[name] = thing
        self.known.add(thing.kref)

    def learn(self, thing: Thing) -> None:
        """Be given a reference without keeping it."""
        self.known.add(thing.kref)

    def end_incarnation(self) -> None:
        """Forget what does not survive; those who wait for this party's promises are told."""
        self.incarnation += 1
        self.facets.clear()
        holds, self.holds = self.holds, {}
        for waiting in (waiting for hold in holds.values() for waiting in hold):
            waiting.note("error")

    def settle(self, key: str, outcome: object, thing: Thing | None) -> None:
        """Settle a promise that it holds, with data, an error, or a reference."""
        for waiting in self.holds.pop(key):
            if waiting.relay is not None:
                relay, incarnation = waiting.relay
                if not relay.exists or relay.incarnation != incarnation:
                    continue  # who waited was told when the relay's incarnation ended
                if thing is not None:
                    relay.learn(thing)
            if thing is None:
                waiting.note("error" if waiting.sends else outcome)
                continue
            if waiting.party.exists:
                waiting.party.learn(thing)
            if not waiting.sends:
                waiting.note("reference")
            elif thing.hears:
                thing.owner.hear(waiting.party.name, waiting.watch_id)
                waiting.note(waiting.watch_id)
            else:
                waiting.note("error")


@dataclass(eq=False)
class Line:
    """An IO channel, whose subcluster's first vat reads and writes it."""

    path: str
    connected: bool = False
    unread: list[str | None] = field(default_factory=list)
    """The lines that came and were not read, and the ends of clients among them."""
    readers: list[Waiting] = field(default_factory=list)

    def arrive(self, line: str | None) -> None:
        """Give a line to the first who waits and still remembers that, or keep it."""
        while self.readers:
            if self.readers.pop(0).note(line):
                return
        self.unread.append(line)

    def end(self) -> None:
        """Lose what is of the kernel's life."""
        self.connected = False
        self.unread.clear()
        self.readers.clear()


@dataclass(eq=False)
class Cluster:
    """One subcluster; its vats share one bundle file."""

    bundle: str
    id: str = ""
    parties: list[Party] = field(default_factory=list)
    quarantined: bool = False
    system: str | None = None
    """The host's name for it, if it is a system subcluster."""
    line: Line | None = None


class World:
    """All there is."""

    def __init__(self) -> None:
        self.clusters: list[Cluster] = []
        self.urls: dict[str, Thing] = {}
        """Every URL that was ever issued, with its object."""
        self.hosted = False
        """Whether the services of the host are there."""
        self.posted: list[tuple[str, int]] = []
        """The calls that the host has noted: whose, and the number."""
        self.held: dict[int, Waiting] = {}
        """The calls that the host has not answered, by their number."""

    def parties(self) -> list[Party]:
        """Give those that exist."""
        return [party for cluster in self.clusters for party in cluster.parties if party.exists]

    def running(self) -> list[Party]:
        """Give those that can be sent messages."""
        return [party for party in self.parties() if party.runs]

    def remove(self, party: Party) -> None:
        """End a party for good."""
        party.exists = False
        self.end_incarnation(party)
        cluster = party.cluster
        if not any(other.exists for other in cluster.parties):
            self.clusters.remove(cluster)

    def remove_cluster(self, cluster: Cluster) -> None:
        """End all its parties."""
        for party in [party for party in cluster.parties if party.exists]:
            self.remove(party)

    def end_incarnation(self, party: Party) -> None:
        """End one incarnation: its own promises are rejected, and so is what it had relayed."""
        party.end_incarnation()
        for other in self.parties():
            for hold in other.holds.values():
                for waiting in [waiting for waiting in hold if waiting.relay and waiting.relay[0] is party]:
                    hold.remove(waiting)
                    waiting.note("error")

    def end_together(self, parties: list[Party]) -> None:
        """End incarnations at one time: whoever is among them learns nothing of the others' promises."""
        if len(parties) > 1:
            for party in parties:
                party.incarnation += 1
        for party in parties:
            self.end_incarnation(party)

    def end_all_incarnations(self) -> None:
        """The kernel was started anew: every party begins from its baggage, and nobody waits any more."""
        self.held.clear()
        for cluster in self.clusters:
            if cluster.line is not None:
                cluster.line.end()
        parties = self.parties()
        for party in parties:
            party.incarnation += 1
        for party in parties:
            party.facets.clear()
            party.holds.clear()
