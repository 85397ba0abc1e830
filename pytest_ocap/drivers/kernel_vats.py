"""The vats that the scenarios and sweeps launch in the bundled kernel, as the source of their bundles.

Invariant: the root of each has ``increment``, whose answer counts itself, and the count is kept in the same crank that
answers: a message that was not answered is not counted in part.
"""

from __future__ import annotations

COUNTER = '''\
"""A counter: it says how many times it has been asked, and goes on where it was after a restart."""

from kernel.vat import Exo


class Counter(Exo):
    def __init__(self, baggage):
        self.baggage = baggage

    def increment(self) -> int:
        self.baggage["count"] = self.baggage.get("count", 0) + 1
        return self.baggage["count"]


def build_root_object(vat_powers, parameters, baggage):
    return Counter(baggage)
'''
"""One vat by itself."""

LINKED = '''\
"""A counter of two vats that before it counts pass each other objects, of a durable kind too, and have garbage of them.

What the back is given at one message is garbage at the next: a token, a leaf, and a token of which only a ring knows.
"""

from kernel.vat import Durable, E, Exo, PromiseKit, RemoteError


class Count(Durable):
    def __init__(self):
        self.value = 0

    def next(self) -> int:
        self.value += 1
        return self.value


class Leaf(Durable):
    def __init__(self, number, back):
        self.number = number
        self.back = back

    def tell(self) -> int:
        return self.number


class Shared(Durable):
    def hit(self) -> bool:
        return True


class Token(Exo):
    pass


class Front(Exo):
    def __init__(self, baggage):
        self.baggage = baggage

    def bootstrap(self, vats, services):
        self.baggage["back"] = vats["back"]
        self.baggage["count"] = Count()
        self.baggage["shared"] = Shared()
        E(vats["back"]).share(self.baggage["shared"])

    def shared(self):
        return self.baggage["shared"]

    def use(self):
        return E(self.baggage["back"]).use()

    async def increment(self) -> int:
        back, count = self.baggage["back"], self.baggage["count"]
        kit = PromiseKit()
        sent = Token()
        echoed = E(back).echo(sent, kit.promise, Leaf(count.value + 1, back))
        kit.resolve(Token())
        received, kept = await echoed
        if received is not sent:
            raise ValueError("what came back is not what was sent")
        if not 0 <= kept <= count.value + 1:
            raise ValueError(f"a leaf of the {kept}. message was kept, and there were {count.value}")
        return count.next()


class Back(Exo):
    def __init__(self, baggage):
        self.baggage = baggage

    def share(self, shared):
        self.baggage["shared"] = shared

    async def use(self) -> bool:
        try:
            return await E(self.baggage["shared"]).hit()
        except RemoteError as error:
            if error.name != "RevokedError":
                raise
            return False

    async def echo(self, token, promised, leaf):
        kept = await E(self.baggage["leaf"]).tell() if "leaf" in self.baggage else 0
        self.baggage["leaf"] = leaf
        self.baggage["last"] = token
        ring = [await promised]
        ring.append(ring)  # no count of references gets to zero: only whoever looks finds it
        return [token, kept]


def build_root_object(vat_powers, parameters, baggage):
    return Front(baggage) if parameters["role"] == "front" else Back(baggage)
'''
"""Two vats of one bundle that have references to each other's objects."""
