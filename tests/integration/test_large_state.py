"""A vat's durable state is bounded by its memory, not by what one frame of the worker's pipe may carry."""

from __future__ import annotations

import pytest
from bench import Bench

HOARDER = """
    import hashlib

    from kernel.vat import Durable, Exo

    MIB = 1 << 20

    class Chest(Durable):
        def __init__(self, content: str, neighbour):
            self.content = content
            self.neighbour = neighbour

        def digest(self) -> str:
            return hashlib.sha256(self.content.encode()).hexdigest()

        def next(self):
            return self.neighbour

    def content(number: int, size: int) -> str:
        # quotes, backslashes and letters beyond ASCII, which take more room in a frame than they have characters
        return (f'{number} "\\\\ä☃ ' * (size // 8))[:size]

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def put(self, number: int, size: int):
            chest = Chest(content(number, size), self.baggage.get("chest"))
            self.baggage["chest"] = chest
            self.baggage[f"text {number}"] = content(number, size)
            return [chest, chest.digest()]

        def fill(self, name: str, count: int):
            self.baggage[name] = [Chest("x" * 6000, None) for _ in range(count)]

        def count(self, name: str) -> int:
            return sum(len(chest.content) for chest in self.baggage[name])

        def digest(self, number: int) -> str:
            return hashlib.sha256(self.baggage[f"text {number}"].encode()).hexdigest()

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""


@pytest.mark.slow
def test_a_vat_with_more_state_than_a_frame_may_carry_starts_again_with_all_of_it(bench: Bench) -> None:
    root = bench.launch(bench.config({"main": bench.bundle("hoarder", HOARDER)}))["rootKref"]
    chests = []
    for number, characters in enumerate((2_800_000, 10, *[2_800_000] * 4, 300_000)):
        answer = bench.ask(root, "put", number, characters)
        chests.append((number, answer.slots[0], answer.body.rpartition('","')[2][:64]))
    kept = "SELECT sum(length(CAST(body AS BLOB))) AS n FROM"
    state = sum(bench.kernel.execute_query(f"{kept} {table}")[0]["n"] for table in ("baggage", "durables"))
    assert state > 40 << 20
    bench.reopen()
    for number, kref, digest in chests:
        assert bench.send(root, "digest", number) == digest
        assert bench.send(kref, "digest") == digest
    assert bench.ask(chests[-1][1], "next").slots == (chests[-2][1],)


def test_many_small_durable_objects_may_be_more_than_a_frame_carries_too(bench: Bench) -> None:
    root = bench.launch(bench.config({"main": bench.bundle("hoarder", HOARDER)}))["rootKref"]
    for name in ("first", "second"):
        bench.send(root, "fill", name, 1500)
    bench.reopen()
    assert [bench.send(root, "count", name) for name in ("first", "second")] == [9_000_000, 9_000_000]
