"""Beside fake clocks and fake file systems: neither is believed where it would lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugin.conftest import Project

pytestmark = pytest.mark.usefixtures("beside_others")

FROZEN = {
    "freezegun": "freezegun.freeze_time('2001-02-03')",
    "freezegun that ticks": "freezegun.freeze_time('2001-02-03', auto_tick_seconds=3600)",
    "time-machine": "time_machine.travel('2001-02-03', tick=False)",
    "time-machine that ticks": "time_machine.travel('2041-02-03', tick=True)",
}


@pytest.mark.parametrize(
    "clock", [pytest.param(clock, marks=[pytest.mark.slow] if "ticks" in clock else []) for clock in FROZEN]
)
def test_a_fake_clock_breaks_no_deadline_no_verdict_and_no_duration(
    project: Project, homes_left: Callable[[], set[Path]], clock: str
) -> None:
    module = FROZEN[clock].partition(".")[0]
    pytest.importorskip(module)
    project.pytester.makepyfile(
        f"""
        import time
        import pytest, {module}

        @pytest.fixture(autouse=True)
        def frozen():
            with {FROZEN[clock]}:
                yield

        @pytest.mark.missing_bundle
        def test_healthy(ocap_daemon):
            assert time.gmtime().tm_year in (2001, 2041)
            assert ocap_daemon.outcome.ok and 0 < ocap_daemon.outcome.seconds < 60

        @pytest.mark.crashed_init(how="hang", phase="store")
        def test_hang(ocap_daemon):
            assert not ocap_daemon.outcome.ok and not ocap_daemon.outcome.timed_out
            assert 0.2 < ocap_daemon.outcome.seconds < 60

        @pytest.mark.legible_fatal
        def test_fatal(): ...

        def test_kernel(ocap_kernel, ocap_clock): ...
        """
    )
    before = datetime.now(UTC)
    result, report = project.report()
    result.assert_outcomes(passed=4)
    passed = {"missing_bundle[delete]", "crashed_init[hang-store]", "legible_fatal[store-corrupt]"}
    assert project.verdicts() == dict.fromkeys(passed, "passed")
    seconds = {entry["id"]: entry["seconds"] for entry in report["scenarios"]}
    assert 0.2 < seconds["crashed_init[hang-store]"] < 60
    assert all(0 < each < 60 for each in seconds.values())
    if "run" in report:
        assert 0 < report["run"]["seconds"] < 120
        assert abs(datetime.fromisoformat(report["run"]["started"]) - before) < timedelta(minutes=2)
    assert not homes_left()


def test_the_kernel_itself_is_judged_under_a_frozen_clock(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    pytest.importorskip("time_machine")
    project.pytester.makepyfile(
        """
        import freezegun, time_machine, pytest

        @pytest.fixture(params=[freezegun.freeze_time, time_machine.travel])
        def frozen(request):
            with request.param("2001-02-03"):
                yield

        @pytest.mark.missing_bundle
        def test_it(frozen, ocap_daemon, ocap_kernel):
            assert ocap_daemon.outcome.ok
            listed = ocap_kernel().status()["subclusters"]
            assert [entry["state"] for entry in listed].count("quarantined") == 1
        """
    )
    project.run(driver="kernel").assert_outcomes(passed=2)
    assert not homes_left()


def test_a_fake_file_system_that_comes_later_is_refused_just_as_loudly(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    project.pytester.makepyfile(
        """
        import pytest
        from pyfakefs.fake_filesystem_unittest import Patcher

        @pytest.mark.degraded_boot
        def test_before(ocap_daemon): ...

        @pytest.fixture
        def faked():
            with Patcher():
                yield

        @pytest.mark.degraded_boot
        def test_marked(faked): ...

        def test_fixture(faked, ocap_daemon): ...

        @pytest.mark.degraded_boot
        def test_after(ocap_daemon):
            assert ocap_daemon.ping().ok
        """
    )
    result = project.run("--ocap-report", "report.json", "-p", "no:randomly")
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*pyfakefs is active, and it fakes neither SQLite nor sockets*"])
    assert not homes_left()


def test_bundles_and_manifests_are_read_from_a_fake_file_system(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import json, pytest

        from kernel.bundle import build_bundle, parse_bundle
        from kernel.config_files import read_cluster_config
        from kernel.errors import OcapError
        from kernel.fetch_file import read_file

        VAT = "def build_root_object(vat_powers, parameters, baggage): return None"

        def test_bundle(fs):
            fs.create_file("/vats/counter.py", contents=VAT)
            fs.create_file("/bundles/counter.bundle", contents=build_bundle("/vats/counter.py"))
            data, _ = read_file("/bundles/counter.bundle", "file:///bundles/counter.bundle", 1 << 20)
            assert parse_bundle(data, "here").entry == "counter"
            with pytest.raises(OcapError, match="/bundles/other.bundle") as error:
                read_file("/bundles/other.bundle", "file:///bundles/other.bundle", 1 << 20)
            assert error.value.code == "bundle-missing"

        def test_manifest(fs):
            cluster = {"bootstrap": "main", "vats": {"main": {"bundleSpec": "bundles/counter.bundle"}}}
            fs.create_file("/project/cluster.json", contents=json.dumps(cluster))
            assert read_cluster_config("/project/cluster.json").bootstrap == "main"
        """
    )
    project.run().assert_outcomes(passed=2)
