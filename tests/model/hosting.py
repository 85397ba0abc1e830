"""The host of the model: a program that embeds the kernel, its service, and what that notes of each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bench import Bench

from kernel.capdata import Slot
from kernel.config import parse_cluster_config

ORDINARY, FOR_SYSTEM = "post", "vault"
"""The names that it is registered by: for every subcluster, and for system subclusters only."""


class Host:
    """A service in one life of the kernel; what it notes outlives that."""

    def __init__(
        self,
        noted: list[tuple[str, int]],
        make_future: Callable[[], Any],
        send: Callable[[str, str, list[Any]], Awaitable[Any]],
    ) -> None:
        """Make it; ``noted`` has every call that was made, ``send`` sends a message to an object."""
        self._noted = noted
        self._make_future = make_future
        self._send = send
        self.waiting: dict[int, Any] = {}
        """The calls that have no answer yet, by their number."""
        self.is_dead = False
        """Whether the kernel is said to have crashed: what it still does is not done."""

    def _note(self, sender: str, number: int) -> None:
        if self.is_dead:
            raise RuntimeError("the kernel that makes this call has crashed")
        self._noted.append((sender, number))

    def note(self, sender: str, number: int) -> int:
        """Take effect, and answer."""
        self._note(sender, number)
        return number

    def note_and_fail(self, sender: str, number: int) -> None:
        """Take effect, and raise."""
        self._note(sender, number)
        raise KeyError(number)

    def note_and_give_what_cannot_be_passed(self, sender: str, number: int) -> object:
        """Take effect, and give nothing that a vat could be given."""
        self._note(sender, number)
        return object()

    def note_and_give_what_is_not_there(self, sender: str, number: int) -> Slot:
        """Take effect, and answer with a reference to nothing."""
        self._note(sender, number)
        return Slot("ko999999999")

    async def wait(self, sender: str, number: int) -> object:
        """Take effect, and answer when it is told to."""
        self._note(sender, number)
        self.waiting[number] = self._make_future()
        return await self.waiting[number]

    def same(self, reference: Slot) -> Slot:
        """Give back a reference."""
        return reference

    async def use(self, reference: Slot, number: int) -> object:
        """Send a message to what a reference names; give its answer."""
        return await self._send(reference.id, "hear", ["host", number])


class Program:
    """The program: it has one host in each life of the kernel, unless it leaves it without."""

    def __init__(self) -> None:
        self.is_there = True
        """Whether the services are there from the next start of the kernel on."""
        self.noted: list[tuple[str, int]] = []
        """Every call that was made, in every life: whose, and its number."""
        self.host: Host
        self._bench: Bench

    @contextmanager
    def serving(self, bench: Bench) -> Iterator[None]:
        """Have the services be there while a kernel starts, before the first vat of an earlier life runs."""
        self._bench = bench
        self.host = Host(self.noted, bench.loop.create_future, bench.kernel.queue_message)
        if self.is_there:
            self.register()
        yield

    def register(self) -> None:
        """Register the services in this life of the kernel (UsageError: they are there)."""
        for name in (ORDINARY, FOR_SYSTEM):
            self._bench.kernel.services.register(name, self.host, system_only=name == FOR_SYSTEM)

    def answer(self, number: int, outcome: object) -> None:
        """Answer a call that waits, with an exception or something else."""
        waiting = self.host.waiting.pop(number)
        if isinstance(outcome, Exception):
            waiting.set_exception(outcome)
        else:
            waiting.set_result(outcome)

    def launch_system(self, name: str, config: dict[str, Any]) -> Mapping[str, Any]:
        """Launch a system subcluster; give its state."""
        return self._bench.run(self._bench.kernel.launch_system_subcluster(name, parse_cluster_config(config)))

    def terminate_system(self, name: str) -> None:
        """Remove a system subcluster."""
        self._bench.run(self._bench.kernel.terminate_system_subcluster(name))
