"""Beside pytest-xdist: however tests are spread and whichever worker dies, the run ends with one verdict each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from watching import eventually

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


@pytest.mark.parametrize("how", ["load", "worksteal", "loadgroup"])
def test_every_way_to_spread_tests_gives_each_verdict_once(
    project: Project, homes_left: Callable[[], set[Path]], how: str
) -> None:
    project.pytester.makepyfile(GROUPED)
    result, _ = project.report("-n", "2", "--dist", how)
    result.assert_outcomes(passed=4)
    assert project.verdicts() == {f"stale_socket[{kind}]": "passed" for kind in KINDS}
    if how == "loadgroup":
        seen = sorted(path.read_text().split() for path in project.pytester.path.glob("seen-*"))
        assert seen == [["dead", "dangling"], ["file", "live"]]
    assert not homes_left()


@pytest.mark.parametrize(
    ("how", "death"), [("load", "os._exit(7)"), ("worksteal", "os.kill(os.getpid(), signal.SIGKILL)")]
)
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

        @pytest.mark.missing_bundle
        def test_bad(): ...

        @pytest.mark.stale_socket
        def test_good(): ...

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
    eventually(lambda: not homes_left())


@pytest.mark.parametrize("how", ["load", "loadgroup"])
def test_a_run_whose_workers_may_not_be_replaced_ends_with_a_report(
    project: Project, homes_left: Callable[[], set[Path]], how: str
) -> None:
    # With loadgroup, pytest-xdist 3.8 and older wait for ever where a worker is replaced (pytest-xdist issue 1323).
    project.pytester.makepyfile(
        """
        import os, pytest

        @pytest.mark.xdist_group(name="one")
        @pytest.mark.degraded_boot
        def test_bad(ocap_daemon):
            os._exit(7)

        @pytest.mark.xdist_group(name="one")
        @pytest.mark.stale_socket
        def test_good(): ...
        """
    )
    result = project.run("-n", "1", "--dist", how, "--max-worker-restart", "0", "--ocap-report", "report.json")
    assert result.ret != 0
    assert project.verdicts()["degraded_boot"] == "harness-broken"
    eventually(lambda: not homes_left())


def test_what_a_daemon_leaves_or_prints_that_is_no_text_travels_all_the_same(project: Project) -> None:
    project.environment(LITTLE_DEFECT="unlinks-live")
    project.pytester.makepyfile(
        leaving="""
        import os
        from little_driver import LittleDriver

        class Leaving(LittleDriver):
            def start(self, home, **how):
                started = super().start(home, **how)
                open(os.fsencode(home) + b"/\\xff\\x1b[2J", "w").close()
                return started

        driver = Leaving()
        """
    )
    project.pytester.makepyfile("import pytest\n\n@pytest.mark.stale_socket(kind='live')\ndef test_it(): ...")
    result = project.run("-n", "1", "--ocap-report", "report.json", driver="leaving:driver")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([r"*files (as of *", r"*\udcff\x1b[[]2J: file, 0 bytes*"])
    (scenario,) = project.written()["scenarios"]
    assert scenario["verdict"] == "failed"
    shown = [file["path"] for check in scenario["checks"] for file in (check["evidence"] or {}).get("files", ())]
    assert "\\udcff\x1b[2J" in shown
