"""Kernel services: who may have them, what they are given, and what becomes of their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from vat_sources import SERVICE_USER

from kernel.capdata import Slot
from kernel.config import parse_cluster_config
from kernel.errors import ConfigError, RejectedError, UsageError
from kernel.store.audit import audit

if TYPE_CHECKING:
    from bench import Bench


class Echo:
    """A service of the host's."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def echo(self, *values: Any) -> Any:
        return list(values)

    def keep(self, value: Any) -> int:
        self.kept.append(value)
        return len(self.kept)

    def fail(self) -> None:
        raise KeyError("no such thing")

    def unpassable(self) -> Any:
        return object()

    def invented(self) -> Any:
        return Slot("ko999")

    async def later(self) -> str:
        return "later"

    def _secret(self) -> str:
        return "secret"


def launch(bench: Bench, *services: str, system: str | None = None) -> dict[str, Any]:
    config = bench.config({"main": bench.bundle("user", SERVICE_USER)}, services=list(services))
    if system is None:
        return bench.launch(config)
    return bench.run(bench.kernel.launch_system_subcluster(system, parse_cluster_config(config)))


@pytest.fixture
def root(bench: Bench) -> str:
    bench.kernel.services.register("echo", Echo(), system_only=False)
    return str(launch(bench, "echo", "timer", "ocapURLs")["rootKref"])


def test_bootstrap_is_given_the_services_that_the_configuration_names(bench: Bench) -> None:
    assert launch(bench, "timer", "ocapURLs")["bootstrapResult"]["body"] == '#["ocapURLs","timer"]'


def test_a_service_takes_and_gives_what_can_be_passed(bench: Bench, root: str) -> None:
    value = [1, "two", {"three": None}, 2**70]
    assert bench.send(root, "ask", "echo", "echo", *value) == value
    assert bench.send(root, "ask", "echo", "later") == "later"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("fail", r"echo\.fail\(\) failed: KeyError: 'no such thing'"),
        ("unpassable", r"the result of echo\.unpassable\(\) is of type object"),
        ("invented", "answered with ko999, which does not exist"),
        ("missing", "has no method 'missing'"),
        ("keep", r"echo\.keep\(\) failed: TypeError"),
    ],
)
def test_a_service_that_fails_rejects_and_goes_on(bench: Bench, root: str, method: str, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        bench.send(root, "ask", "echo", method)
    assert bench.send(root, "ask", "echo", "echo", "again") == ["again"]


def test_the_private_methods_of_a_service_cannot_be_called(bench: Bench, root: str) -> None:
    kref = bench.ask(root, "give_away", "echo").slots[0]
    with pytest.raises(RejectedError, match="has no method '_secret'"):
        bench.send(kref, "_secret")


def test_a_reference_passes_through_a_service_and_is_the_same(bench: Bench, root: str) -> None:
    assert bench.send(root, "through_a_url") is True
    kref = bench.ask(root, "own").slots[0]
    assert bench.ask(root, "ask", "echo", "echo", Slot(kref)).slots == (kref,)
    assert bench.send(root, "pass_cell", "echo") == 1
    assert audit(bench.store.connection) == []


def test_a_timer_answers_later(bench: Bench, root: str) -> None:
    assert bench.send(root, "ask", "timer", "delay", 0.01, "now") == "now"
    for wrong in (-1, "1", True, 1e9):
        with pytest.raises(RejectedError, match="a delay is a number of seconds"):
            bench.send(root, "ask", "timer", "delay", wrong)


def test_a_service_is_the_same_object_after_a_restart_and_needs_its_host(bench: Bench, root: str) -> None:
    kref = bench.ask(root, "give_away", "echo").slots[0]
    bench.reopen()
    with pytest.raises(RejectedError, match="nobody has registered the kernel service 'echo'"):
        bench.send(root, "ask", "echo", "echo", 1)
    bench.kernel.services.register("echo", Echo(), system_only=False)
    assert bench.send(root, "ask", "echo", "echo", 1) == [1]
    assert bench.ask(root, "give_away", "echo").slots[0] == kref


def test_a_call_that_has_not_ended_with_the_kernel_is_rejected_at_the_next_start(bench: Bench, root: str) -> None:
    bench.loop.spawn(bench.kernel.queue_message(root, "ask", ["timer", "delay", 1000])).add_done_callback(
        lambda _: None
    )
    bench.run_until(lambda: bench.rows("deliveries") == 0 and bench.rows("subscribers") > 0)
    bench.reopen()
    assert bench.rows("promises WHERE state = 'unresolved'") == 0


def test_names_are_taken_once_and_unknown_ones_are_refused(bench: Bench, root: str) -> None:
    for name in ("echo", "timer", "kernelFacet"):
        with pytest.raises(UsageError, match=name):
            bench.kernel.services.register(name, Echo(), system_only=False)
    with pytest.raises(ConfigError, match="no kernel service named 'disk'") as caught:
        launch(bench, "disk")
    assert "echo, ocapURLs, timer" in str(caught.value.remedy)


def test_what_is_for_system_subclusters_only_is_refused_to_others(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="for system subclusters only"):
        launch(bench, "kernelFacet")
    assert bench.rows("subclusters") == bench.rows("services") == 0


def test_a_system_subcluster_has_the_kernel_facet_and_is_launched_once(bench: Bench) -> None:
    shell = launch(bench, "kernelFacet", system="shell")
    assert launch(bench, "kernelFacet", system="shell")["id"] == shell["id"]
    root = shell["rootKref"]
    counter = bench.bundle("counter")
    launched = bench.send(root, "ask", "kernelFacet", "launchSubcluster", bench.config({"main": counter}))
    assert bench.send(root, "ask", "kernelFacet", "pingVat", "v2") == "pong"
    reference = bench.ask(root, "ask", "kernelFacet", "getRoot", launched["subclusterId"]).slots[0]
    assert reference == launched["rootKref"]
    assert bench.send(reference, "increment") == 1
    assert len(bench.send(root, "ask", "kernelFacet", "getStatus")["subclusters"]) == 2
    assert bench.send(root, "ask", "kernelFacet", "isRevoked", Slot(reference)) is False
    bench.send(root, "ask", "kernelFacet", "revoke", Slot(reference))
    assert bench.kernel.is_revoked(reference) is True
    bench.send(root, "ask", "kernelFacet", "terminateSubcluster", launched["subclusterId"])
    assert bench.rows("subclusters") == 1
    bench.reopen()
    assert launch(bench, "kernelFacet", system="shell")["id"] == shell["id"]
    with pytest.raises(RejectedError, match="there is no subcluster s99"):
        bench.send(root, "ask", "kernelFacet", "terminateSubcluster", "s99")
