"""Launch: the whole subcluster, or nothing; a failure names the vat or the channel and leaves no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench import Bench

from kernel.config import parse_cluster_config
from kernel.errors import ConfigError, LaunchError, NotFoundError, StoreFullError

TABLES = ("subclusters", "vats", "bundles", "objects", "clist", "baggage", "promises", "deliveries", "channels")


def rows(bench: Bench) -> dict[str, int]:
    return {table: bench.rows(table) for table in TABLES}


HANGS = "while True:\n    pass\ndef build_root_object(vat_powers, parameters, baggage): ...\n"

BROKEN = {
    "raises at import": (
        "raise RuntimeError('no import')\ndef build_root_object(vat_powers, parameters, baggage): ...\n",
        "no import",
    ),
    "raises in build_root_object": (
        "def build_root_object(vat_powers, parameters, baggage):\n    raise RuntimeError('no root')",
        "no root",
    ),
    "gives no exo": ("def build_root_object(vat_powers, parameters, baggage):\n    return 7", "build_root_object"),
    "imports what it may not": (
        "import socket\ndef build_root_object(vat_powers, parameters, baggage):\n    return None",
        "socket",
    ),
}


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_a_vat_that_does_not_start_fails_the_launch_by_name(bench: Bench, how: str) -> None:
    source, pattern = BROKEN[how]
    before = rows(bench)
    good, bad = bench.bundle("good"), bench.bundle("bad", source)
    with pytest.raises(LaunchError, match=pattern) as caught:
        bench.launch(bench.config({"good": good, "bad": bad}))
    assert caught.value.data["vat"] == "bad"
    assert caught.value.data["cause"] == "vat-init-failed"
    assert rows(bench) == before
    assert bench.kernel.worker_pids() == {}


def test_a_vat_that_hangs_while_starting_fails_the_launch_in_its_deadline(bench: Bench) -> None:
    bench.reopen(init_timeout=0.7)
    bad = bench.bundle("bad", HANGS)
    with pytest.raises(LaunchError, match=r"0\.7 s") as caught:
        bench.launch(bench.config({"bad": bad}))
    assert caught.value.data["cause"] == "vat-init-timeout"
    assert rows(bench) == dict.fromkeys(TABLES, 0)


@pytest.mark.parametrize("verb", ["terminate_vat", "restart_vat", "ping_vat"])
def test_a_vat_of_a_launch_under_way_is_nobody_elses_yet(bench: Bench, verb: str) -> None:
    bench.reopen(init_timeout=0.7)
    good, bad = bench.bundle("good"), bench.bundle("bad", HANGS)
    config = parse_cluster_config(bench.config({"good": good, "bad": bad}))
    launching = bench.loop.spawn(bench.kernel.launch_subcluster(config))
    bench.run_until(lambda: len(bench.kernel.worker_pids()) == 2)
    for name in bench.kernel.worker_pids():
        with pytest.raises(NotFoundError, match=f"there is no vat {name}"):
            bench.run(getattr(bench.kernel, verb)(name))
    bench.run_until(launching.done)
    with pytest.raises(LaunchError) as caught:
        launching.result()
    assert caught.value.data["cause"] == "vat-init-timeout", "nothing has come between"


def bootstrap(body: str) -> str:
    return (
        "from kernel.vat import E, Exo\n"
        "class Root(Exo):\n"
        "    async def bootstrap(self, vats, services):\n"
        f"        {body}\n"
        "    async def never(self):\n"
        "        self.own = E(self).own_answer()\n"
        "        await self.own\n"
        "    async def own_answer(self):\n"
        "        await self.own\n"
        "def build_root_object(vat_powers, parameters, baggage):\n"
        "    return Root()\n"
    )


def test_a_bootstrap_that_fails_fails_the_launch_with_its_message(bench: Bench) -> None:
    bad = bench.bundle("bad", bootstrap("raise ValueError('not today')"))
    with pytest.raises(LaunchError, match="ValueError: not today") as caught:
        bench.launch(bench.config({"main": bad, "other": bench.bundle("good")}))
    assert caught.value.data["vat"] == "main"
    assert rows(bench) == dict.fromkeys(TABLES, 0)


def test_a_bootstrap_that_never_answers_fails_the_launch(bench: Bench) -> None:
    bench.reopen(bootstrap_timeout=0.5)
    bad = bench.bundle("bad", bootstrap("await E(self).never()"))
    with pytest.raises(LaunchError, match=r"0\.5 s"):
        bench.launch(bench.config({"main": bad}))
    bench.run_until(lambda: rows(bench) == dict.fromkeys(TABLES, 0))


def test_a_missing_bundle_fails_the_launch_with_vat_and_path(bench: Bench) -> None:
    config = bench.config({"main": bench.bundle("good"), "other": bench.directory / "gone.bundle"})
    with pytest.raises(LaunchError, match=str(bench.directory / "gone.bundle")) as caught:
        bench.launch(config)
    assert caught.value.data["vat"] == "other"
    assert caught.value.data["cause"] == "bundle-missing"
    assert rows(bench) == dict.fromkeys(TABLES, 0)


def test_a_service_that_there_is_not_is_a_configuration_error(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="'printer'"):
        bench.launch(bench.config({"main": bench.bundle("good")}, services=["printer"]))


def test_a_failed_launch_disturbs_nobody_else(bench: Bench) -> None:
    counter = bench.launch_counter("c1")
    bad = bench.bundle("bad", BROKEN["raises at import"][0])
    with pytest.raises(LaunchError):
        bench.launch(bench.config({"bad": bad}))
    assert bench.send(counter["rootKref"], "increment") == 1
    assert [entry["id"] for entry in bench.kernel.status()["subclusters"]] == ["s1"]
    assert bench.reopen().quarantined == ()


def test_a_full_disk_fails_the_launch_rolls_it_back_and_the_kernel_lives_on(bench: Bench) -> None:
    counter = bench.launch_counter("c1")
    assert bench.send(counter["rootKref"], "increment") == 1
    bundle = bench.bundle("c2")
    config = bench.config({"main": bundle})
    config["vats"]["main"]["parameters"] = {"ballast": "x" * 200_000}
    before = rows(bench)
    pages = bench.store.connection.execute("PRAGMA page_count").fetchone()[0]
    bench.store.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFullError, match="full") as caught:
        bench.launch(config)
    assert str(bench.directory / "kernel.sqlite") in str(caught.value)
    assert rows(bench) == before
    assert [entry["id"] for entry in bench.kernel.status()["subclusters"]] == ["s1"]
    assert bench.send(counter["rootKref"], "read") == 1
    bench.store.connection.execute("PRAGMA max_page_count = 1000000")
    launched = bench.launch(config)
    assert bench.send(launched["rootKref"], "increment") == 1


def test_two_launches_at_once_both_succeed(bench: Bench) -> None:
    from kernel.config import parse_cluster_config

    configs = [parse_cluster_config(bench.config({"main": bench.bundle(f"c{number}")})) for number in range(4)]

    async def both() -> list[Any]:
        pending = [bench.loop.spawn(bench.kernel.launch_subcluster(config)) for config in configs]
        return [await launch for launch in pending]

    assert len({launch["subclusterId"] for launch in bench.run(both())}) == 4


def test_parameters_and_globals_reach_the_vat(bench: Bench) -> None:
    source = """
        from kernel.vat import Exo

        class Root(Exo):
            def __init__(self, parameters):
                self.parameters = parameters

            def shown(self) -> object:
                return self.parameters

        def build_root_object(vat_powers, parameters, baggage):
            return Root(parameters)
    """
    config = bench.config({"main": bench.bundle("echo", source)})
    config["vats"]["main"]["parameters"] = {"a": [1, 2.5, None, True], "b": {"c": "d"}}
    launched = bench.launch(config)
    assert bench.send(launched["rootKref"], "shown") == {"a": [1, 2.5, None, True], "b": {"c": "d"}}


def test_pinned_copies_are_made_before_the_launch_is_acknowledged(bench: Bench) -> None:
    bundle: Path = bench.bundle("c1")
    config = bench.config({"main": bundle})
    config["vats"]["main"]["pin"] = True
    bench.launch(config)
    (copy,) = (bench.directory / "bundles").iterdir()
    assert copy.read_bytes() == bundle.read_bytes()
