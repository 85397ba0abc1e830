"""Fixtures: what they hand out, and that a fake file system or a frozen clock does not fool them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugin.conftest import Project


def test_the_daemon_is_booted_with_the_faults_of_its_test(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.missing_bundle(subclusters=3, missing=2, how="truncate")
        def test_degraded(ocap_daemon, ocap_missing_bundle, ocap_store, ocap_home):
            assert ocap_daemon.home == ocap_store.home == ocap_home
            assert ocap_daemon.outcome.ok and ocap_daemon.ping().ok
            assert [len(ocap_daemon.healthy), len(ocap_daemon.missing)] == [1, 2]
            listed = ocap_daemon.list()
            assert [listed[sub.id].state for sub in ocap_daemon.missing] == ["quarantined"] * 2
            assert ocap_daemon.probe(ocap_daemon.launch()).value == 1
            ocap_missing_bundle.restore()
            assert ocap_daemon.stop().ok and ocap_daemon.start().ok
            assert all(ocap_daemon.probe(sub).ok for sub in ocap_daemon.missing)

        @pytest.mark.bundle_fetch_error(how="directory")
        def test_fetch(ocap_daemon):
            assert ocap_daemon.fetch(ocap_daemon.bad_url).code == "bundle-unreadable"

        @pytest.mark.legible_fatal(cause="store-newer")
        def test_fatal(ocap_daemon):
            assert not ocap_daemon.outcome.ok

        def test_kill(ocap_daemon):
            assert ocap_daemon.kill().ok and not ocap_daemon.ping().ok and ocap_daemon.start().ok
        """
    )
    project.run().assert_outcomes(passed=4)


def test_fixtures_arrange_their_faults_without_a_marker(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import os

        def test_missing(ocap_missing_bundle):
            (missing,) = ocap_missing_bundle.missing
            assert not missing.bundle.exists()
            ocap_missing_bundle.restore()
            assert missing.bundle.exists()

        def test_stale(ocap_stale_socket, ocap_driver, ocap_home):
            assert ocap_driver.socket(ocap_home) == ocap_stale_socket.path and os.path.lexists(ocap_stale_socket.path)

        def test_crashed(ocap_crashed_init, ocap_daemon):
            assert ocap_crashed_init.fired() and not ocap_crashed_init.client().ok and ocap_daemon.outcome.ok

        def test_fresh(ocap_home, ocap_driver):
            assert not ocap_home.exists() and len(str(ocap_home)) < 64
            assert ocap_driver.start(ocap_home, timeout=5).ok
        """
    )
    project.run().assert_outcomes(passed=4)


def test_nothing_is_left_even_by_tests_that_leave_everything_running(
    project: Project, homes_left: Callable[[], set[Path]]
) -> None:
    project.pytester.makepyfile(
        """
        import signal, subprocess, sys

        def test_one(ocap_daemon):
            subprocess.Popen(["sleep", "600"], cwd=ocap_daemon.home)
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(ocap_daemon.home / "x")])

        def test_two(ocap_home, ocap_driver):
            assert ocap_driver.start(ocap_home, timeout=5).ok
        """
    )
    project.run("-p", "no:unraisableexception").assert_outcomes(passed=2)
    assert not homes_left()


@pytest.mark.usefixtures("beside_others")
def test_a_fake_file_system_is_refused_loudly(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.degraded_boot
        def test_marked(fs): ...

        def test_fixture(fs, ocap_daemon): ...

        def test_without(fs): ...
        """
    )
    result = project.run()
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines(["test_marked: pyfakefs is active, and it fakes neither SQLite nor sockets*"])


def test_a_frozen_clock_neither_stops_budgets_nor_starts(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import time
        import freezegun, pytest

        @pytest.fixture(autouse=True)
        def frozen():
            with freezegun.freeze_time("2020-02-02"):
                yield

        @pytest.mark.crashed_init(how="hang", phase="store")
        def test_it(ocap_clock, ocap_daemon):
            before, frozen = ocap_clock.now(), time.monotonic()
            assert not ocap_daemon.outcome.ok
            assert time.monotonic() == frozen
            assert not ocap_clock.wait_until(lambda: False, 0.05)
            assert 0.05 <= ocap_clock.now() - before < 60
            ocap_clock.advance(3600)
            assert ocap_clock() - before > 3600
        """
    )
    project.run().assert_outcomes(passed=1)
