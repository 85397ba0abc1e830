"""What the machine lacks for a while is no fault of a subcluster: nothing is set aside for it, and all goes on."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Iterator

import psutil
import pytest
from bench import Bench

from kernel.errors import LaunchError, RepairError, ResourcesExhaustedError
from kernel.refs import vat_id


@contextlib.contextmanager
def no_more_descriptors(spare: int = 0) -> Iterator[None]:
    """Leave this process no descriptor to open, but for a few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unused = os.open("/dev/null", os.O_RDONLY)  # the lowest that is free: what is below it is taken
    os.close(unused)
    resource.setrlimit(resource.RLIMIT_NOFILE, (unused + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("spare", [0, 1], ids=["for the bundle", "for the worker"])
def test_a_vat_that_no_descriptor_is_left_for_starts_when_there_is_one(bench: Bench, spare: int) -> None:
    counter = bench.launch_counter("counter")
    assert bench.send(counter["rootKref"], "increment") == 1
    bench.reopen()
    with no_more_descriptors(spare):
        with pytest.raises(ResourcesExhaustedError) as caught:
            bench.send(counter["rootKref"], "increment")
        assert "kept" in str(caught.value), "the message waits, and the sender learns that it does"
        assert caught.value.data["queued"] is True, "and so does a program"
        assert bench.subcluster("s1")["state"] == "running"
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.send(counter["rootKref"], "read") == 2, "the message that waited was delivered"
    assert bench.log.named("vat.start-postponed")
    assert not bench.log.named("subcluster.quarantined")


def test_a_restore_without_descriptors_sets_nothing_aside(bench: Bench) -> None:
    counter = bench.launch_counter("counter")
    bench.send(counter["rootKref"], "increment")
    bench.close()
    bundle = bench.directory / "counter.bundle"
    bundle.touch()  # what has changed is read again
    os.utime(bundle, (1, 1))
    bench.open(no_more_descriptors())
    assert bench.log.named("subcluster.unchecked")
    assert bench.subcluster("s1")["state"] == "running"
    assert bench.send(counter["rootKref"], "increment") == 2


def test_channels_of_a_subcluster_that_could_not_be_checked_are_opened_all_the_same(bench: Bench) -> None:
    path = bench.directory / "line.sock"
    config = bench.config({"main": bench.bundle("counter")})
    bench.launch({**config, "io": {"line": {"type": "socket", "path": str(path), "direction": "in"}}})
    bench.close()
    os.utime(bench.directory / "counter.bundle", (1, 1))  # what has changed is read again
    bench.open(no_more_descriptors())
    assert bench.log.named("subcluster.unchecked")
    assert bench.subcluster("s1")["state"] == "running"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_launch_that_no_worker_can_be_made_for_says_so_and_is_rolled_back(bench: Bench) -> None:
    bundle = bench.bundle("counter")
    with no_more_descriptors(1), pytest.raises(LaunchError) as caught:
        bench.launch(bench.config({"main": bundle}))
    assert caught.value.data["cause"] == "resources-exhausted"
    assert bench.kernel.status()["subclusters"] == []
    assert bench.launch(bench.config({"main": bundle}))["subclusterId"]


def test_a_repair_that_no_worker_can_be_made_for_leaves_the_cause_as_it_was(bench: Bench) -> None:
    counter = bench.launch_counter("counter")
    bundle = bench.directory / "counter.bundle"
    content = bundle.read_bytes()
    bundle.unlink()
    bench.reopen()
    bundle.write_bytes(content)
    with no_more_descriptors(1), pytest.raises((RepairError, ResourcesExhaustedError)):
        bench.run(bench.kernel.repair_subcluster("s1"))
    assert bench.subcluster("s1")["quarantine"]["code"] == "bundle-missing"
    bench.run(bench.kernel.repair_subcluster("s1"))
    assert bench.send(counter["rootKref"], "increment") == 1


def test_a_template_that_is_killed_while_a_vat_starts_costs_the_subcluster_nothing(bench: Bench) -> None:
    slow = bench.bundle(
        "slow",
        """
        from kernel.vat import Exo

        for _ in range(3_000_000):
            pass

        class Root(Exo):
            def ping(self) -> str:
                return "here"

        def build_root_object(vat_powers, parameters, baggage):
            return Root()
        """,
    )
    launched = bench.launch(bench.config({"main": slow}))
    bench.reopen()
    pending = bench.loop.spawn(bench.kernel.queue_message(launched["rootKref"], "ping", []))
    pending.add_done_callback(lambda _future: None)
    bench.run_until(lambda: bench.kernel.worker_pids().get(vat_id(1)))
    worker = bench.kernel.worker_pids()[vat_id(1)]
    template = psutil.Process(worker).parent()
    assert template is not None
    template.send_signal(signal.SIGKILL)
    bench.run_until(lambda: bench.log.named("workers.template-ended"))
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.subcluster("s1")["state"] == "running"
    assert bench.send(launched["rootKref"], "ping") == "here"
