"""A vat's memory, time and log are bounded; one that breaks the framing of its pipe is ended: it, not the kernel."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from workerbench import Bench

from kernel.workers import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="confinement uses seccomp, which Linux has"
)

GREEDY = """
    from kernel.vat import Exo

    class Root(Exo):
        def take(self, size: int) -> int:
            return len(bytearray(size))

        def keep_taking(self) -> None:
            self.kept = []
            while True:
                self.kept.append(bytearray(1 << 20))

        def flood(self, lines: int) -> None:
            for _ in range(lines):
                print("x" * 1023)

        def long_line(self) -> None:
            print("x" * 10_000_000)

        def log_much(self, logger=None) -> None:
            self.logger.info("y" * 1_000_000_000)

        def nest(self) -> object:
            value = []
            for _ in range(100_000):
                value = [value]
            return value

        def fine(self) -> str:
            return "fine"

    def build_root_object(vat_powers, parameters, baggage):
        root = Root()
        root.logger = vat_powers.logger
        return root
"""


@pytest.fixture(scope="module")
def small() -> Iterator[Bench]:
    made = Bench(Limits(memory_bytes=256 << 20, log_bytes_per_delivery=10_000, frame_bytes=1 << 20))
    yield made
    made.close()


def test_memory_beyond_the_bound_is_a_rejection_and_the_vat_goes_on(small: Bench) -> None:
    vat = small.vat(GREEDY)
    assert vat.call("take", 64 << 20) == 64 << 20
    assert vat.call("take", 1 << 30).name == "MemoryError"
    assert vat.call("log_much").name == "MemoryError"
    assert vat.call("fine") == "fine"


def test_memory_that_is_never_let_go_of_ends_the_vat_or_is_a_rejection(small: Bench) -> None:
    vat = small.vat(GREEDY)
    vat.wait_for("started")
    vat.send("keep_taking")
    small.until(lambda: vat.exits or vat.of_kind("done"))
    if vat.exits:
        assert "memory" in vat.exits[0].reason
    else:
        assert "MemoryError" in str(vat.of_kind("done")[0])
    assert small.vat(GREEDY).call("fine") == "fine"


def test_output_beyond_the_bound_is_counted_and_dropped(small: Bench) -> None:
    vat = small.vat(GREEDY)
    vat.call("flood", 100)
    assert vat.log_texts() == ["x" * 1023] * 9 + [
        "98917 bytes of output were dropped: a delivery may write 10000 bytes to the log"
    ]
    vat.frames.clear()
    vat.call("flood", 2)
    assert vat.log_texts() == ["x" * 1023] * 2
    vat.frames.clear()
    vat.call("long_line")
    assert vat.log_texts() == ["10000064 bytes of output were dropped: a delivery may write 10000 bytes to the log"]


def test_a_value_that_nests_too_deeply_is_a_rejection(small: Bench) -> None:
    vat = small.vat(GREEDY)
    answer = vat.call("nest")
    assert answer.name == "TypeError"
    assert "nested deeper than 200 levels" in answer.message
    assert vat.call("fine") == "fine"


def test_a_vat_that_loops_for_ever_can_be_killed_and_holds_up_nobody(small: Bench) -> None:
    looping = small.vat("while True: pass")
    small.until(lambda: looping.worker.pid)
    assert small.vat(GREEDY).call("fine") == "fine"
    looping.worker.kill("it did not start in time")
    assert looping.wait_for_exit().reason == "it did not start in time"


# --- a worker that is not what it should be: its pipe in the hands of the vat ---

RAW = """
    from kernel.vat import Exo

    def posix():
        [wrap] = [kind for kind in object.__subclasses__() if kind.__name__ == "_wrap_close"]
        return wrap.__init__.__globals__["sys"].modules["posix"]

    class Root(Exo):
        def write(self, data: bytes, times: int):
            for _ in range(times):
                rest = data
                while rest:
                    rest = rest[posix().write(3, rest):]

        def close(self):
            posix().close(3)
            while True:
                pass

    def build_root_object(vat_powers, parameters, baggage):
        return Root()
"""


@pytest.mark.parametrize(
    ("data", "times", "reason"),
    [
        (b"\xff\xff\xff\xff", 1, "a frame of 4294967295 bytes is longer than the bound of 1048576 bytes"),
        (b"\0\0\0\1{", 1, "a frame is not JSON"),
        (b"\0\0\0\2{}", 1, "a frame is not an array beginning with a name"),
        (b"\0\0\0\2[]", 1, "a frame is not an array beginning with a name"),
        (b"\0\0\0\0", 1, "a frame is not JSON"),
        (b"\0\1\0\0" + b"[" * 65536, 1, "a frame is not JSON"),
        (b'\0\0\0\x07["log"]', 1, "a 'log' frame has no text"),
        (b'\0\0\x04\x13["log",{"text":"' + b"x" * 1024 + b'"}]', 10_000, "it flooded the log"),
    ],
)
def test_a_worker_that_breaks_the_framing_is_ended(small: Bench, data: bytes, times: int, reason: str) -> None:
    vat = small.vat(RAW)
    vat.wait_for("started")
    vat.send("write", data, times)
    exit_ = vat.wait_for_exit()
    assert exit_.reason == f"it broke the protocol between worker and kernel: {reason}"
    assert small.vat(GREEDY).call("fine") == "fine"


def test_a_worker_that_closes_its_pipe_and_runs_on_is_ended(small: Bench) -> None:
    vat = small.vat(RAW)
    vat.wait_for("started")
    vat.send("close")
    assert vat.wait_for_exit().signal == "SIGKILL"
