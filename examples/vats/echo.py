"""Answers every line that a client writes on an IO channel, in capitals.

The channel reaches the vat as everything does, as a reference: its cluster configuration names it, and bootstrap hands
it over. Waiting for a line is not something that a restart can keep; after one, whoever runs the kernel sends `serve`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.vat import E, Exo

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Echo(Exo):
    def __init__(self, baggage: MutableMapping[str, Any]) -> None:
        self.baggage = baggage

    async def bootstrap(self, vats: dict[str, Any], services: dict[str, Any]) -> None:
        self.baggage["console"] = services["console"]
        self.serve()

    def serve(self) -> str:
        """Begin to answer; the answer to this message does not wait for the lines to come."""
        E(self).answer_next_line()
        return "serving"

    async def answer_next_line(self) -> None:
        """Answer one line, then send oneself a message to answer the one after it."""
        console = self.baggage["console"]
        line = await E(console).read()
        if line is not None:  # None: the client has left, the next one may come
            await E(console).write(line.upper())
            print(f"answered {line!r}")
        E(self).answer_next_line()


def build_root_object(vat_powers: Any, parameters: Any, baggage: MutableMapping[str, Any]) -> Echo:
    return Echo(baggage)
