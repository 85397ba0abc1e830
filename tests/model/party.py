"""The vat that the model drives: what it does is durable, and it says truthfully what it has seen."""

from __future__ import annotations

PARTY = """
    from kernel.vat import Durable, E, Exo, PromiseKit, RemoteError


    class Facet(Exo):
        def __init__(self, root):
            self.root = root

        def hear(self, sender: str, number: int) -> int:
            return self.root.hear(sender, number)


    class Ledger(Durable):
        def __init__(self, root: object):
            self.root, self.heard = root, 0

        def hear(self, sender: str, number: int) -> int:
            self.heard += 1
            return self.root.hear(sender, number)


    class Root(Exo):
        def __init__(self, baggage, name):
            self.baggage, self.name = baggage, name
            self.kits, self.facets = {}, []

        def _add(self, list_name, item):
            self.baggage[list_name] = self.baggage.get(list_name, []) + [item]

        def bootstrap(self, vats, services):
            for name, root in vats.items():
                if name != self.name:
                    self.baggage["ref:" + name] = root
            self.baggage["urls"] = services["ocapURLs"]
            for name in services.keys() & {"post", "vault"}:
                self.baggage["host"] = services[name]
            if "line" in services:
                self.baggage["line"] = services["line"]

        # --- effects of its own ---

        def write(self, number: int) -> int:
            self._add("log", number)
            return number

        def write_and_fail(self, number: int):
            self._add("log", number)
            raise ValueError(f"failed after {number}")

        def write_and_spin(self, number: int):
            self._add("log", number)
            print(f"spinning {number}")
            while True:
                pass

        def exit(self):
            raise SystemExit(3)

        def state(self):
            return {name: self.baggage.get(name, []) for name in ("log", "heard", "outcomes")}

        def held(self):
            return {key[4:]: value for key, value in self.baggage.items() if key.startswith("ref:")}

        # --- what passes between parties ---

        def hear(self, sender: str, number: int) -> int:
            self._add("heard", [sender, number])
            return number

        async def tell(self, target: str, number: int):
            return await E(self.baggage["ref:" + target]).hear(self.name, number)

        async def tell_all(self, target: str, numbers: list):
            answers = [E(self.baggage["ref:" + target]).hear(self.name, number) for number in numbers]
            return [await answer for answer in reversed(answers)]

        def take(self, name: str, thing: object):
            self.baggage["ref:" + name] = thing

        async def give(self, target: str, name: str, new_name: str):
            await E(self.baggage["ref:" + target]).take(new_name, self.baggage["ref:" + name])

        def drop(self, name: str):
            del self.baggage["ref:" + name]

        async def issue(self, name: str) -> str:
            return await E(self.baggage["urls"]).issue(self.baggage["ref:" + name])

        async def redeem(self, url: str, new_name: str):
            self.baggage["ref:" + new_name] = await E(self.baggage["urls"]).redeem(url)

        def make_facet(self):
            self.facets.append(Facet(self))
            return self.facets[-1]

        def make_ledger(self):
            self.facets.append(Ledger(self))
            return self.facets[-1]

        async def give_facet(self, target: str, index: int, new_name: str):
            await E(self.baggage["ref:" + target]).take(new_name, self.facets[index])

        # --- services of the host ---

        async def post(self, method: str, number: int):
            self._add("log", number)
            return await getattr(E(self.baggage["host"]), method)(self.name, number)

        async def post_all(self, numbers: list):
            self.baggage["log"] = self.baggage.get("log", []) + numbers
            answers = [E(self.baggage["host"]).note(self.name, number) for number in numbers]
            return [await answer for answer in reversed(answers)]

        async def reach(self, name: str, number: int):
            given_back = E(self.baggage["host"]).same(self.baggage["ref:" + name])
            return await E(given_back).hear(self.name, number)

        async def use(self, name: str, number: int):
            return await E(self.baggage["host"]).use(self.baggage["ref:" + name], number)

        def leave_waiting(self, number: int):
            E(self._note(E(self.baggage["host"]).wait(self.name, number), number))

        async def share_host(self, target: str):
            await E(self.baggage["ref:" + target]).take_host(self.baggage["host"])

        def take_host(self, host: object):
            self.baggage["host"] = host

        # --- lines ---

        def leave_reading(self, number: int):
            E(self._note(E(self.baggage["line"]).read(), number))

        async def write_lines(self, numbers: list):
            self.baggage["log"] = self.baggage.get("log", []) + numbers
            for answer in [E(self.baggage["line"]).write(str(number)) for number in numbers]:
                await answer
            return numbers

        # --- promises ---

        def hold(self, key: str):
            return self.kits.setdefault(key, PromiseKit()).promise

        def relay(self, via: str, key: str):
            return E(self.baggage["ref:" + via]).hold(key)

        def settle(self, key: str, kind: str, what: object):
            kit = self.kits.pop(key)
            if kind == "error":
                kit.reject(ValueError(what))
            elif kind == "reference":
                kit.resolve(self.baggage["ref:" + what])
            elif kind == "self":
                kit.resolve(self)
            else:
                kit.resolve(what)

        def _promised(self, target, via, key):
            target = E(self.baggage["ref:" + target])
            return target.hold(key) if via is None else target.relay(via, key)

        async def _note(self, promise, watch_id):
            try:
                got = await promise
            except RemoteError as error:
                self._add("outcomes", [watch_id, "error"])
            else:
                data = got if got is None or isinstance(got, (int, str)) else "reference"
                self._add("outcomes", [watch_id, data])

        def watch(self, target: str, via: object, key: str, watch_id: int):
            E(self._note(self._promised(target, via, key), watch_id))

        def pipeline(self, target: str, via: object, key: str, watch_id: int):
            promise = E(self._promised(target, via, key)).hear(self.name, watch_id)
            E(self._note(promise, watch_id))


    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage, parameters["name"])
"""
