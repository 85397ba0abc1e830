"""Beside pytest-xdist: however tests are spread and whichever worker dies, the run ends with one verdict each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugin.conftest import Project

KINDS = ("dead", "file", "dangling", "live")

GROUPED = """
    import pytest

    @pytest.mark.parametrize("kind", [
        pytest.param(
            kind,
            marks=[pytest.mark.stale_socket(kind=kind), pytest.mark.xdist_group(name="ab"[number % 2])],
        )
        for number, kind in enumerate(("dead", "file", "dangling", "live"))
    ])
    def test_it(kind, ocap_daemon, worker_id):
        with open(f"seen-{worker_id}", "a") as file:
            print(kind, file=file)
"""


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["load", "worksteal", "loadgroup", "each"])
def test_every_way_to_spread_tests_gives_each_verdict_once(
    project: Project, homes_left: Callable[[], set[Path]], how: str
) -> None:
    project.pytester.makepyfile(GROUPED)
    result, _ = project.report("-n", "2", "--dist", how)
    result.assert_outcomes(passed=8 if how == "each" else 4)
    assert project.verdicts() == {f"stale_socket[{kind}]": "passed" for kind in KINDS}
    if how == "loadgroup":
        seen = [set(path.read_text().split()) for path in project.pytester.path.glob("seen-*")]
        assert all({"dead", "dangling"} in (one, one - {"file", "live"}) or not one & {"dead", "dangling"} for one in seen)
    assert not homes_left()


@pytest.mark.parametrize("how", ["load", "worksteal", "loadgroup"])
@pytest.mark.parametrize("death", ["os._exit(7)", "os.kill(os.getpid(), signal.SIGKILL)", "os.abort()"])
def test_a_worker_that_dies_while_it_judges_costs_its_own_scenario_only(
    project: Project, homes_left: Callable[[], set[Path]], how: str, death: str
) -> None:
    project.pytester.makepyfile(
        dying=f"""
        import os, signal
        from little_driver import LittleDriver

        class Dying(LittleDriver):
            def list(self, home, *, timeout):
                {death}

        driver = Dying()
        """
    )
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.xdist_group(name="one")
        @pytest.mark.missing_bundle
        def test_bad(): ...

        @pytest.mark.xdist_group(name="one")
        @pytest.mark.stale_socket
        def test_good(): ...

        @pytest.mark.xdist_group(name="two")
        @pytest.mark.crashed_init
        def test_other(): ...
        """
    )
    result = project.run("-n", "2", "--dist", how, "--ocap-report", "report.json", driver="dying:driver")
    result.assert_outcomes(passed=2, failed=1)
    report = project.written()
    assert project.verdicts() == {
        "missing_bundle[delete]": "harness-broken",
        "stale_socket[dead]": "passed",
        "crashed_init[kill-restore]": "passed",
    }
    (broken,) = [entry for entry in report["scenarios"] if entry["verdict"] == "harness-broken"]
    assert "test worker crashed while it ran" in broken["checks"][0]["detail"]
    wait_until(lambda: not homes_left())


def test_a_run_whose_workers_may_not_be_replaced_ends_with_a_report(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    project.pytester.makepyfile(
        """
        import os, pytest

        @pytest.mark.degraded_boot
        def test_bad(ocap_daemon):
            os._exit(7)
        """
    )
    result, _ = project.report("-n", "1", "--max-worker-restart", "0")
    assert result.ret != 0
    assert project.verdicts() == {"degraded_boot": "harness-broken"}
    wait_until(lambda: not homes_left())
