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
"""A counter of two vats: before it counts they pass each other an object, and a promise that is resolved meanwhile."""

from kernel.vat import Durable, E, Exo, PromiseKit


class Count(Durable):
    def __init__(self):
        self.value = 0

    def next(self) -> int:
        self.value += 1
        return self.value


class Token(Exo):
    pass


class Front(Exo):
    def __init__(self, baggage):
        self.baggage = baggage

    def bootstrap(self, vats, services):
        self.baggage["back"] = vats["back"]
        self.baggage["count"] = Count()

    async def increment(self) -> int:
        kit = PromiseKit()
        sent = Token()
        echoed = E(self.baggage["back"]).echo(sent, kit.promise)
        kit.resolve(Token())
        received, _ = await echoed
        if received is not sent:
            raise ValueError("what came back is not what was sent")
        return self.baggage["count"].next()


class Back(Exo):
    def __init__(self, baggage):
        self.baggage = baggage

    async def echo(self, token, promised):
        self.baggage["last"] = token  # the one before is garbage from now on
        return [token, await promised]


def build_root_object(vat_powers, parameters, baggage):
    return Front(baggage) if parameters["role"] == "front" else Back(baggage)
'''
"""Two vats of one bundle that have references to each other's objects."""
