"""Steps: objects become URLs, by the kernel's service or from outside, and URLs become objects again."""

from __future__ import annotations

from driving import PICK, Driving
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from world import Party, Thing

from kernel.errors import OcapError, OcapUrlError


class Urls(Driving):
    """What is kept as text."""

    def _clients(self) -> list[Party]:
        """Give those that can be asked, and have the service."""
        return [party for party in self.world.running() if party.urls is not None and not party.root.revoked]

    @precondition(lambda self: self._with_references())
    @rule(pick=PICK, other=PICK, outside=st.booleans())
    def issue_url(self, pick: int, other: int, outside: bool) -> None:
        holders = self._with_references()
        party = holders[pick % len(holders)]
        name, thing = self._reference(party, other)
        if not thing.owner.exists or thing.is_gone:
            return  # whether what is left of it has a URL is nobody's concern: nothing can be done with it
        if outside or party.urls is None:
            answer = self._ask("issueOcapURL", thing.kref)
        else:
            answer = self._send(party, "issue", name)
        if thing.revoked:
            assert answer == "<RevokedError>"
        else:
            assert self.world.urls.setdefault(answer, thing) is thing, "two objects have one URL"
            assert [url for url, other in self.world.urls.items() if other is thing] == [answer]

    @precondition(lambda self: self.world.urls)
    @rule(which=PICK, pick=PICK, outside=st.booleans())
    def redeem_url(self, which: int, pick: int, outside: bool) -> None:
        url = sorted(self.world.urls)[which % len(self.world.urls)]
        thing = self.world.urls[url]
        clients = self._clients()
        if outside or not clients:
            answer = self._ask("redeemOcapURL", url)
            if refusals := self._refusals(thing):
                self._check_refusal(answer, refusals)
            else:
                assert answer == thing.kref
            return
        party = clients[pick % len(clients)]
        new_name = f"r{self._next()}"
        answer = self._send(party, "redeem", url, new_name)
        if refusals := self._refusals(thing):
            self._check_refusal(answer, refusals)
        elif thing.owner is party and thing.incarnation is not None:
            assert answer == "<TypeError>"  # what does not survive a restart cannot be kept by its own vat
        else:
            assert answer is None
            party.receive(new_name, thing)

    @precondition(lambda self: self.world.urls)
    @rule(which=PICK)
    def revoke_what_has_a_url(self, which: int) -> None:
        url = sorted(self.world.urls)[which % len(self.world.urls)]
        thing = self.world.urls[url]
        if thing.owner.exists and not thing.is_gone:
            self._revoke(thing)
            self._check_refusal(self._ask("redeemOcapURL", url), self._refusals(thing))

    @precondition(lambda self: self.world.urls)
    @rule(which=PICK, place=st.integers(0, 60))
    def alter_url(self, which: int, place: int) -> None:
        """One other letter makes another text, which stands for nothing."""
        url = sorted(self.world.urls)[which % len(self.world.urls)]
        place = len("ocap:") + place % (len(url) - len("ocap:"))
        altered = f"{url[:place]}{'b' if url[place] != 'b' else 'c'}{url[place + 1 :]}"
        self._check_refusal(self._ask("redeemOcapURL", altered), {"OcapUrlError"})

    def _ask(self, method: str, text: str) -> str:
        """Ask the kernel from outside; give the answer, or the name of the error in brackets."""
        try:
            return str(self._tell_kernel(method, text))
        except OcapError as error:
            return f"<{type(error).__name__}>"

    @staticmethod
    def _refusals(thing: Thing) -> set[str]:
        """Give the names of the errors that redeeming may end with."""
        refusals = {"RevokedError"} if thing.revoked else set()
        if not thing.owner.exists or thing.is_gone:
            refusals.add(OcapUrlError.__name__)
        return refusals
