"""The bundled suite judges the bundled kernel: everything passes, from a plain clone and on two workers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from pytest_ocap.drivers.kernel import driver
from pytest_ocap.examination import scenario_id
from pytest_ocap.marker_table import MARKERS
from pytest_ocap.report.chart import LANES
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.verdict import Finding

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, short_tmp: Path) -> pytest.Pytester:
    """Give a folder in which the packages can be imported, and nothing is installed."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", os.fspath(short_tmp))
    return pytester


def variants() -> set[str]:
    """Give the ids of what the suite has to judge."""
    crashes = {f"crashed_init[kill-{phase}]" for phase in driver.phases}
    others = [(name, values) for name in SCENARIOS if name != "crashed_init" for values in MARKERS[name].variants]
    return crashes | {scenario_id(SCENARIOS[name], values) for name, values in others}


@pytest.mark.slow  # CI runs the suite by itself, in two ways
def test_the_suite_is_green(clone: pytest.Pytester, short_tmp: Path) -> None:
    words = ("-p", "pytest_ocap", "-p", "no:cacheprovider", "--strict-markers", "--strict-config")
    result = clone.runpytest_subprocess(
        *words,
        "--pyargs",
        "pytest_ocap.suite",
        "--ocap-report",
        "r.json",
        "-n",
        "2",
        "--dist",
        "worksteal",
        timeout=300,
    )
    report = json.loads((clone.path / "r.json").read_text())
    found = {entry["id"]: entry["verdict"] for entry in report["scenarios"]}
    assert result.ret == 0
    assert set(found.values()) == {"passed"}
    assert variants() | {f"crashed_init[hang-{phase}]" for phase in ("log", "restore", "listen")} == set(found)
    assert list(short_tmp.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes and files are observed on Linux only")
def test_a_timeline_shows_what_the_daemon_did_in_every_lane(short_tmp: Path) -> None:
    verdict = SCENARIOS["stale_socket"](driver, short_tmp / "h")
    assert verdict.verdict is Finding.PASSED, verdict.explain()
    lanes = {lane: [event for event in verdict.timeline if event.lane == lane] for lane in LANES}
    assert [event.what for event in lanes["client"]][:2] == ["start", "ping"]
    phases = [event.what for event in lanes["phase"]]
    assert phases[:6] == ["store", "identity", "restore", "io", "listen", "ready"]
    assert "daemon.ready" in {event.what for event in lanes["log"]}
    assert ("daemon.sock", "created") in {(event.what, event.detail) for event in lanes["file"]}
    assert [event.what for event in lanes["fault"]] == ["dead"]
    assert [event.what for event in lanes["check"]] == [check.id for check in verdict.checks]
    daemons = [event for event in lanes["process"] if ", daemon, " in event.detail]
    assert len(daemons) == 2, "one made the store, and one was judged"
    for daemon, ready in zip(daemons, [event for event in lanes["phase"] if event.what == "ready"], strict=True):
        assert daemon.until is not None
        assert daemon.at < ready.at < daemon.until
        assert ready.until is not None, "a daemon that has ended is not ready any more"
        assert abs(ready.until - daemon.until) < 0.2


def test_a_restore_is_reproduced_in_process_without_touching_the_home(clone: pytest.Pytester) -> None:
    clone.makepyfile(
        """
        import pytest

        def content(home):
            return {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}

        @pytest.mark.missing_bundle(subclusters=2, how="truncate")
        def test_stopped(ocap_kernel, ocap_missing_bundle, ocap_home):
            before = content(ocap_home)
            kernel = ocap_kernel()
            (missing,), (healthy,) = ocap_missing_bundle.missing, ocap_missing_bundle.healthy
            status = {entry["id"]: entry for entry in kernel.status()["subclusters"]}
            assert status[missing.id]["quarantine"]["code"] == "bundle-corrupt"
            assert status[healthy.id]["state"] == "running"
            (warning,) = [record for record in kernel.log.records if record["event"] == "subcluster.quarantined"]
            assert warning["subclusterId"] == missing.id
            reply = kernel.call(kernel.kernel.queue_message(healthy.root, "increment", []))
            assert reply.body == "#+2" or reply.body == "#2"
            assert content(ocap_home) == before

        @pytest.mark.persisted_store(subclusters=1)
        def test_running(ocap_kernel, ocap_daemon, ocap_clock):
            (subcluster,) = ocap_daemon.healthy
            assert ocap_daemon.probe(subcluster).value == 2
            kernel = ocap_kernel(ocap_daemon.home)
            ocap_clock.advance(5.0)
            reply = kernel.call(kernel.kernel.queue_message(subcluster.root, "increment", []))
            assert reply.body in ("#3", "#+3")
            assert ocap_daemon.probe(subcluster).value == 3, "the daemon's own store knows nothing of it"
        """
    )
    result = clone.runpytest_subprocess("-p", "pytest_ocap", "-p", "no:cacheprovider", timeout=120)
    result.assert_outcomes(passed=2)
