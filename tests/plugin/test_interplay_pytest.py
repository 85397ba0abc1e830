"""Beside pytest's own options, and tests that are methods of a unittest.TestCase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugin.conftest import Project

STRICT = """
    [pytest]
    addopts = --strict-markers --strict-config
    filterwarnings = error
    xfail_strict = true
    ocap_driver = little_driver:driver
"""

EACH = """
    import pytest

    @pytest.mark.missing_bundle
    @pytest.mark.stale_socket
    def test_two(ocap_daemon, ocap_stale_socket): ...

    @pytest.mark.bundle_fetch_error
    @pytest.mark.persisted_store(subclusters=1)
    def test_fetch(ocap_daemon): ...

    @pytest.mark.crashed_init
    def test_crash(ocap_crashed_init): ...

    @pytest.mark.legible_fatal
    def test_fatal(ocap_home): ...

    def test_clock(ocap_clock): ...
"""


@pytest.mark.usefixtures("beside_others")
def test_everything_strict_and_every_warning_an_error(project: Project, homes_left: Callable[[], set[Path]]) -> None:
    project.pytester.makeini(STRICT)
    project.pytester.makepyfile(EACH)
    project.environment(PYTHONDEVMODE="1", PYTHONWARNDEFAULTENCODING="1")
    result = project.run("-W", "error", driver=None, without=("cacheprovider", "randomly", "asyncio"))
    result.assert_outcomes(passed=5)
    assert result.errlines == []
    assert not homes_left()


@pytest.mark.parametrize(
    "without",
    [
        "xdist",
        "terminal",
        "junitxml",
        "logging",
        "capture",
        "debugging",
        "doctest",
        "faulthandler",
        "unraisableexception",
    ],
)
def test_none_of_pytest_s_parts_is_needed(project: Project, homes_left: Callable[[], set[Path]], without: str) -> None:
    project.pytester.makepyfile("import pytest\n@pytest.mark.stale_socket\ndef test_it(ocap_daemon): ...")
    left_out = ("cacheprovider", "randomly", "asyncio", without)
    assert project.run("--ocap-report", "report.json", without=left_out).ret == 0
    assert project.verdicts() == {"stale_socket[dead]": "passed"}
    assert not homes_left()


def test_collecting_and_choosing_starts_nothing(project: Project, homes_left: Callable[[], set[Path]]) -> None:
    project.pytester.makepyfile(
        never="""
        from little_driver import LittleDriver

        class Never(LittleDriver):
            def start(self, home, **circumstances):
                open("started", "w").close()
                raise SystemError("started")

        driver = Never()
        """
    )
    project.pytester.makepyfile(EACH)
    words = ("--collect-only", "-q", "--pyargs", "pytest_ocap.suite", str(project.pytester.path))
    result = project.run(*words, driver="never:driver")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*::test_two", "*::test_clock"])
    result.stdout.no_fnmatch_line("*ocap scenarios*")
    result = project.run("-k", "clock", driver="never:driver")
    result.assert_outcomes(passed=1, deselected=4)
    assert not (project.pytester.path / "started").exists()
    assert not homes_left()


FAILING = """
    import pytest

    @pytest.mark.stale_socket
    def test_good(): ...

    @pytest.mark.missing_bundle
    def test_bad(): ...

    @pytest.mark.degraded_boot
    def test_later(): ...
"""


def test_the_first_failure_ends_a_run_and_the_next_run_begins_with_it(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    project.pytester.makepyfile(FAILING)
    project.environment(LITTLE_DEFECT="deletes-record")
    project.run("-x", "--ocap-report", "report.json", without=("randomly",)).assert_outcomes(passed=1, failed=1)
    assert project.verdicts() == {"stale_socket[dead]": "passed", "missing_bundle[delete]": "failed"}
    project.environment(LITTLE_DEFECT="")
    project.run("--lf", "--ocap-report", "report.json", without=("randomly",)).assert_outcomes(passed=1)
    assert project.verdicts() == {"missing_bundle[delete]": "passed"}
    project.run("-k", "later", "--ocap-report", "report.json").assert_outcomes(passed=1, deselected=2)
    assert project.verdicts() == {"degraded_boot": "passed"}
    assert not homes_left()


def debug(project: Project, commands: str) -> pytest.RunResult:
    words = ["-p", "pytest_ocap", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio"]
    command = project.pytester._getpytestargs()  # what runpytest_subprocess runs, and gives no input
    more = ["--ocap-driver", "little_driver:driver", "--ocap-report", "report.json", "--pdb"]
    return project.pytester.run(*command, *words, *more, stdin=commands.encode(), timeout=60)


def test_a_debugger_finds_the_daemon_of_a_test_that_failed(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.degraded_boot
        def test_body(ocap_daemon):
            assert ocap_daemon.missing == ()

        @pytest.mark.stale_socket
        def test_next(): ...
        """
    )
    result = debug(project, "p 'alive' if ocap_daemon.ping().ok else 'dead'\nc\n")
    result.stdout.fnmatch_lines(["*'alive'*"])
    result.assert_outcomes(failed=1, passed=1)
    assert project.verdicts() == {"degraded_boot": "not-measured", "stale_socket[dead]": "passed"}
    assert not homes_left()


def test_a_debugger_that_is_quit_leaves_nothing(project: Project, homes_left: Callable[[], set[Path]]) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.degraded_boot
        def test_body(ocap_daemon):
            assert ocap_daemon.ping().ok
            breakpoint()
        """
    )
    result = debug(project, "p 'alive' if ocap_daemon.ping().ok else 'dead'\nq\n")
    result.stdout.fnmatch_lines(["*'alive'*", "*_pytest.outcomes.Exit: Quitting debugger*"])
    assert not homes_left()


def test_methods_of_a_test_case_are_judged_as_functions_are(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    project.pytester.makepyfile(
        """
        import unittest, pytest

        @pytest.mark.missing_bundle
        class TestMissing(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def hand_over(self, ocap_daemon):
                self.daemon = ocap_daemon

            def test_good(self):
                self.assertEqual(len(self.daemon.missing), 1)

            @pytest.mark.missing_bundle(how="truncate")
            def test_bad(self):
                self.assertEqual(len(self.daemon.missing), 7)

            @pytest.mark.missing_bundle(how="rename")
            def test_skipped(self):
                self.skipTest("not today")

        @pytest.mark.usefixtures("ocap_daemon")
        class TestDegraded(unittest.TestCase):
            @pytest.mark.degraded_boot
            def test_good(self): ...
        """
    )
    result = project.run("--ocap-report", "report.json")
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*AssertionError: 1 != 7*"])
    passed = {"missing_bundle[delete]": "passed", "missing_bundle[truncate]": "passed", "degraded_boot": "passed"}
    assert project.verdicts() == passed
    project.environment(LITTLE_DEFECT="deletes-record")
    result = project.run("--ocap-report", "report.json")
    result.assert_outcomes(failed=2, passed=1, skipped=1)
    beside = ["*AssertionError: 1 != 7*", "*ocap contract of missing_bundle?truncate?*", "*FAILED record-kept*"]
    result.stdout.fnmatch_lines(beside)
    result.stdout.fnmatch_lines(["missing_bundle?delete?: failed (*", "*FAILED record-kept*"])
    assert project.verdicts()["missing_bundle[truncate]"] == "failed"
    assert not homes_left()
