"""The vats that tests of garbage collection, durable objects and services launch."""

from __future__ import annotations

MAKER = """
    from kernel.vat import E, Exo

    class Cell(Exo):
        def __init__(self, value):
            self.value = value

        def read(self):
            return self.value

    class Loop(Exo):
        def __init__(self, held):
            self.held = held
            self.me = self

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage
            self.kept = []

        def bootstrap(self, vats, services):
            self.baggage["taker"] = vats["taker"]

        @property
        def taker(self):
            return E(self.baggage["taker"])

        async def pass_around(self, count: int):
            for number in range(count):
                cell = Cell(number)
                assert await self.taker.look(cell) == number
            return count

        async def hand_out(self, number: int):
            self.taker.keep(Cell(number))

        async def hand_out_and_keep(self, number: int):
            cell = Cell(number)
            self.kept.append(cell)
            await self.taker.keep(cell)

        def forget(self):
            self.kept.clear()

        def make(self, number: int):
            return Cell(number)

        async def hand_out_again(self):
            await self.taker.keep(self.kept[0])

        def take(self, thing: object):
            Loop(thing)

        async def exchange(self):
            cell = Cell(1)
            again = await self.taker.echo(cell)
            return again is cell

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""

TAKER = """
    from kernel.vat import E, Exo

    class Cycle:
        def __init__(self, thing):
            self.thing = thing
            self.me = self

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage
            self.kept = []

        async def look(self, cell: object):
            return await E(cell).read()

        def echo(self, thing):
            return thing

        def keep(self, cell: object):
            self.kept.append(cell)

        async def read(self):
            return [await E(cell).read() for cell in self.kept]

        def forget(self):
            self.kept.clear()

        def tangle(self, cell: object = None):
            Cycle(self.kept.pop())

        def store(self):
            self.baggage["cell"] = self.kept.pop()

        async def read_stored(self):
            return await E(self.baggage["cell"]).read()

        def unstore(self):
            del self.baggage["cell"]

        def ignore(self, *things):
            pass

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""

BANK = """
    from kernel.vat import Durable, E, Exo

    class Account(Durable):
        def __init__(self, owner: str):
            self.owner = owner
            self.balance = 0
            self.history = []

        def deposit(self, amount: int) -> int:
            self.balance += amount
            self.history = [*self.history, amount]
            self.history.append("lost")
            return self.balance

        def read(self):
            return [self.owner, self.balance, self.history]

        def link(self, other: object):
            self.other = other

        def linked(self):
            return self.other

        def unlink(self):
            del self.other

        def spoil(self):
            self.balance = object()

    class Teller(Exo):
        pass

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage
            self.kept = {}

        def bootstrap(self, vats, services):
            self.baggage["friend"] = vats.get("friend")

        def open(self, owner: str):
            return Account(owner)

        def open_and_forget(self, owner: str):
            Account(owner)

        def keep(self, owner: str):
            self.baggage["account"] = Account(owner)

        def close(self):
            del self.baggage["account"]

        def kept(self):
            return self.baggage["account"]

        def same(self, account: object):
            return account is self.baggage["account"] and isinstance(account, Account)

        def circle(self):
            one, two = Account("one"), Account("two")
            one.other, two.other = two, one
            self.baggage["account"] = one

        async def walk(self):
            account = self.baggage["account"]
            return [account.owner, account.other.owner, account.other.other is account]

        async def lend(self, owner: str):
            await E(self.baggage["friend"]).borrow(Account(owner))

        def of_a_teller(self):
            Account("x").other = Teller()

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""

FRIEND = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def borrow(self, account: object):
            self.baggage["account"] = account

        def give_back(self):
            del self.baggage["account"]

        async def deposit(self, amount: int):
            return await E(self.baggage["account"]).deposit(amount)

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""

SERVICE_USER = """
    from kernel.vat import E, Exo

    class Cell(Exo):
        def read(self):
            return "read"

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def bootstrap(self, vats, services):
            self.baggage["services"] = services
            return sorted(services)

        def ask(self, service: str, method: str, *arguments):
            return getattr(E(self.baggage["services"][service]), method)(*arguments)

        async def through_a_url(self):
            cell = Cell()
            urls = E(self.baggage["services"]["ocapURLs"])
            return await urls.redeem(await urls.issue(cell)) is cell

        async def give_away(self, service: str):
            return self.baggage["services"][service]

        def own(self):
            return Cell()

        def make(self):
            self.cell = Cell()
            return self.cell

        def lend(self, service: str):
            return E(self.baggage["services"][service]).use(Cell())

        async def pass_cell(self, service: str):
            return await E(self.baggage["services"][service]).keep(Cell())

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""
"""Asks services for anything, and gives them objects."""
