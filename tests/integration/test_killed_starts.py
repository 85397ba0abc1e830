"""A worker that is killed from outside while its vat starts: tried once more, since the bundle is not to blame."""

from __future__ import annotations

import os
import signal

import pytest
from bench import Bench

from kernel.capdata import CapData
from kernel.errors import LaunchError
from kernel.loop import Future

SLOW = """
    from kernel.vat import Exo

    for _ in range(6_000_000):
        pass

    class Root(Exo):
        def ping(self) -> str:
            return "here"

    def build_root_object(vat_powers, parameters, baggage):
        return Root()
"""


def kill_starting(bench: Bench, times: int, number: int = signal.SIGKILL) -> set[int]:
    """Kill the workers of v1, one after the other, each as soon as it is there."""
    killed: set[int] = set()

    def another() -> bool:
        pid = bench.kernel.worker_pids().get("v1")
        if pid is not None and pid not in killed:
            os.kill(pid, number)
            killed.add(pid)
        return len(killed) == times

    bench.run_until(another)
    return killed


def begin(bench: Bench) -> tuple[str, Future[CapData]]:
    """Launch what is slow to start, and send to it after a restart; give its root and the answer that is to come."""
    root = bench.launch(bench.config({"main": bench.bundle("slow", SLOW)}))["rootKref"]
    bench.reopen()
    answer = bench.loop.spawn(bench.kernel.queue_message(root, "ping", []))
    answer.add_done_callback(lambda future: future.exception())
    return root, answer


def test_a_start_that_is_killed_is_made_once_more(bench: Bench) -> None:
    _, answer = begin(bench)
    (killed,) = kill_starting(bench, 1)
    bench.run_until(answer.done)
    assert answer.result().body == '#"here"'
    assert bench.kernel.worker_pids()["v1"] != killed
    (record,) = bench.log.named("vat.start-again")
    assert "SIGKILL" in record["reason"]
    assert bench.subcluster("s1")["state"] == "running"


def test_one_that_is_killed_again_is_quarantined_with_the_signal_named(bench: Bench) -> None:
    root, _ = begin(bench)
    kill_starting(bench, 2)
    bench.run_until(lambda: bench.subcluster("s1")["state"] == "quarantined")
    quarantine = bench.subcluster("s1")["quarantine"]
    assert quarantine["code"] == "vat-init-failed"
    assert "ended twice, the second time while it was starting: it was killed by SIGKILL" in quarantine["message"]
    assert len(bench.log.named("vat.start-again")) == 1
    bench.run(bench.kernel.repair_subcluster("s1"))
    assert bench.send(root, "ping") == "here"


@pytest.mark.parametrize(
    "fault",
    ["raise ValueError('mine')", "raise SystemExit(3)", "bytearray(1 << 40)"],
    ids=["raises", "leaves", "greedy"],
)
def test_what_the_bundle_itself_does_wrong_is_not_tried_again(bench: Bench, fault: str) -> None:
    source = f"""
    def build_root_object(vat_powers, parameters, baggage):
        {fault}
    """
    with pytest.raises(LaunchError):
        bench.launch(bench.config({"main": bench.bundle("broken", source)}))
    assert bench.log.named("vat.start-again") == []


def test_a_crash_of_the_interpreter_counts_as_the_bundles_own(bench: Bench) -> None:
    begin(bench)
    kill_starting(bench, 1, signal.SIGSEGV)
    bench.run_until(lambda: bench.subcluster("s1")["state"] == "quarantined")
    assert "SIGSEGV" in bench.subcluster("s1")["quarantine"]["message"]
    assert bench.log.named("vat.start-again") == []
