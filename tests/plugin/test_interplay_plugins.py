"""Beside the plugins that most projects have: time-outs, reruns, random order, coverage, asynchronous tests."""

from __future__ import annotations

import importlib.metadata
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from watching import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugin.conftest import Project

pytestmark = pytest.mark.usefixtures("beside_others")

# --- pytest-timeout -------------------------------------------------------------------------------------------------


SLOW_DRIVER = """
    import time
    from little_driver import LittleDriver

    class Slow(LittleDriver):
        def list(self, home, *, timeout):
            if slow:
                time.sleep(600)
            return super().list(home, timeout=timeout)

    slow = True
    driver = Slow()
"""


def test_a_body_that_takes_too_long_is_ended_and_its_scenario_judged_all_the_same(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    project.pytester.makepyfile(
        """
        import time, pytest

        @pytest.mark.timeout(2, method="signal", func_only=True)
        @pytest.mark.degraded_boot
        def test_slow(ocap_daemon):
            assert ocap_daemon.ping().ok
            time.sleep(600)

        @pytest.mark.crashed_init(how="hang")
        def test_next(ocap_daemon):
            assert not ocap_daemon.outcome.ok
        """
    )
    result, report = project.report()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*Failed: Timeout *2.0s*"])
    assert project.verdicts() == {"degraded_boot": "passed", "crashed_init[hang-restore]": "passed"}
    assert {entry["id"]: entry["seconds"] < 20 for entry in report["scenarios"]} == dict.fromkeys(
        project.verdicts(), True
    )
    assert not homes_left()


def test_a_scenario_that_is_interrupted_is_no_pass_and_leaves_nothing(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    project.pytester.makepyfile(slow_driver=SLOW_DRIVER)
    project.pytester.makepyfile(
        """
        import pytest, slow_driver

        @pytest.mark.timeout(3, method="signal")
        @pytest.mark.missing_bundle
        def test_slow(): ...

        @pytest.mark.missing_bundle(how="truncate")
        def test_next(monkeypatch):
            slow_driver.slow = False
        """
    )
    result = project.run("--ocap-report", "report.json", driver="slow_driver:driver")
    result.assert_outcomes(failed=1, passed=1)
    assert project.verdicts() == {"missing_bundle[delete]": "harness-broken", "missing_bundle[truncate]": "passed"}
    broken = next(entry for entry in project.written()["scenarios"] if entry["verdict"] == "harness-broken")
    assert "interrupted from outside: Timeout" in broken["checks"][0]["detail"]
    assert not homes_left()


def test_a_start_that_is_interrupted_leaves_nothing(project: Project, homes_left: Callable[[], set[Path]]) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.timeout(1, method="signal")
        @pytest.mark.crashed_init(how="hang")
        def test_slow(ocap_daemon):
            raise SystemError("ran")
        """
    )
    project.run().assert_outcomes(errors=1)
    assert not homes_left()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_process_that_is_ended_for_its_time_leaves_nothing(
    project: Project, homes_left: Callable[[], set[Path]], workers: int
) -> None:
    project.pytester.makepyfile(
        """
        import pathlib, time, pytest

        @pytest.mark.timeout(2, method="thread", func_only=True)
        @pytest.mark.degraded_boot
        def test_slow(ocap_daemon):
            assert ocap_daemon.ping().ok
            pathlib.Path("booted").touch()
            time.sleep(600)
        """
    )
    result = project.run("-n", str(workers), "--ocap-report", "report.json")
    assert result.ret != 0
    assert (project.pytester.path / "booted").exists()
    if workers:
        assert project.verdicts() == {"degraded_boot": "harness-broken"}
    eventually(lambda: not homes_left())


# --- pytest-rerunfailures --------------------------------------------------------------------------------------------


EACH_RUN_IS_A_CASE = (16, 6, 1)
"""The release of pytest-rerunfailures since which the end of each run is reported, and closes its case in a JUnit file.
Before, all runs of a test shared one case, with the properties of the last."""


def version_of(distribution: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", importlib.metadata.version(distribution)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_test_that_is_run_again_gets_a_situation_of_its_own_and_counts_once(
    project: Project, homes_left: Callable[[], set[Path]], workers: int
) -> None:
    pytest.importorskip("pytest_rerunfailures")
    project.pytester.makepyfile(
        """
        import pathlib, pytest

        @pytest.mark.missing_bundle
        def test_body(ocap_daemon, ocap_store):
            with open("bodies", "a") as file:
                print(ocap_daemon.home.exists(), ocap_daemon.ping().ok, file=file)
            ocap_daemon.kill()
            assert len(pathlib.Path("bodies").read_text().splitlines()) == 3
        """
    )
    words = ("--reruns", "3", "-n", str(workers), "--junitxml", "junit.xml", "--ocap-report", "report.json")
    result = project.run(*words)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*1 passed, 2 rerun*"])
    assert (project.pytester.path / "bodies").read_text().split() == ["True"] * 6
    assert project.verdicts() == {"missing_bundle[delete]": "passed"}
    told = [
        [entry.get("value") for entry in case.iter("property") if entry.get("name") == "ocap_verdict"]
        for case in ET.parse(project.pytester.path / "junit.xml").iter("testcase")
    ]
    assert told == [["passed"]] * (3 if version_of("pytest-rerunfailures") >= EACH_RUN_IS_A_CASE else 1)
    assert not homes_left()


def test_the_last_run_is_what_counts(project: Project, homes_left: Callable[[], set[Path]]) -> None:
    pytest.importorskip("pytest_rerunfailures")
    project.pytester.makepyfile(
        flaky="""
        from little_driver import LittleDriver
        from pytest_ocap.driver import Outcome

        class Flaky(LittleDriver):
            asked = 0

            def list(self, home, *, timeout):
                self.asked += 1
                return Outcome(False, "not now", 0.0) if self.asked == 1 else super().list(home, timeout=timeout)

        driver = Flaky()
        """
    )
    project.pytester.makepyfile("import pytest\n@pytest.mark.missing_bundle\ndef test_it(): ...")
    project.run("--ocap-report", "report.json", driver="flaky:driver").assert_outcomes(failed=1)
    assert project.verdicts() == {"missing_bundle[delete]": "failed"}
    result = project.run("--reruns", "1", "--ocap-report", "report.json", driver="flaky:driver")
    result.stdout.fnmatch_lines(["*1 passed, 1 rerun*"])
    assert project.verdicts() == {"missing_bundle[delete]": "passed"}
    assert not homes_left()


# --- pytest-randomly -------------------------------------------------------------------------------------------------


@pytest.mark.slow  # four runs of pytest; the project's own tests run in a random order, too
def test_the_order_of_tests_changes_no_verdict(project: Project, homes_left: Callable[[], set[Path]]) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("how", [
            pytest.param(how, marks=pytest.mark.missing_bundle(how=how)) for how in ("delete", "rename", "truncate")
        ])
        def test_missing(how, ocap_daemon):
            with open("order", "a") as file:
                print(how, file=file)

        @pytest.mark.degraded_boot
        def test_degraded(ocap_daemon, ocap_home):
            ocap_daemon.kill()
        """
    )
    found = []
    orders = set()
    for seed in range(4):
        words = (f"--randomly-seed={seed}", "--ocap-report", "report.json")
        project.run(*words, without=("cacheprovider",)).assert_outcomes(passed=4)
        found.append(project.verdicts())
        orders.add((project.pytester.path / "order").read_text())
        (project.pytester.path / "order").unlink()
    assert len(orders) > 1
    assert all(verdicts == found[0] for verdicts in found)
    assert set(found[0].values()) == {"passed"}
    assert not homes_left()


# --- asynchronous tests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugin", "mark", "more"),
    [
        ("pytest_asyncio", "pytest.mark.asyncio", ("-o", "asyncio_default_fixture_loop_scope=function")),
        ("anyio", "pytest.mark.anyio", ()),
    ],
)
def test_asynchronous_tests_have_the_fixtures_and_the_contracts(
    project: Project, homes_left: Callable[[], set[Path]], plugin: str, mark: str, more: tuple[str, ...]
) -> None:
    pytest.importorskip(plugin)
    project.pytester.makepyfile(
        f"""
        import asyncio, pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @{mark}
        @pytest.mark.degraded_boot
        async def test_good(ocap_daemon):
            answer = await asyncio.to_thread(ocap_daemon.ping)
            assert answer.ok

        @{mark}
        @pytest.mark.degraded_boot
        async def test_bad(ocap_daemon):
            await asyncio.sleep(0)
            assert ocap_daemon.healthy == ()
        """
    )
    without = ("cacheprovider", "randomly", *({"asyncio", "anyio"} - {plugin.removeprefix("pytest_")}))
    project.run("-W", "error", *more, without=without).assert_outcomes(passed=1, failed=1)
    assert not homes_left()
