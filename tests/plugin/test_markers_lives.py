"""Markers about the life of a daemon: each arranges its fault for a test's own body, alone and with others."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project


def test_each_arranges_its_fault_for_the_body(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import os, signal
        import pytest

        @pytest.mark.long_socket_path
        def test_longest(ocap_daemon, ocap_driver):
            assert ocap_daemon.outcome.ok
            assert len(os.fsencode(ocap_driver.socket(ocap_daemon.home))) == 107
            assert ocap_daemon.ping().ok

        @pytest.mark.long_socket_path(length="too-long")
        def test_too_long(ocap_daemon):
            assert "too long" in ocap_daemon.outcome.text

        @pytest.mark.kill_at_stop
        def test_killed_at_stop(ocap_daemon):
            assert ocap_daemon.outcome.ok
            assert ocap_daemon.arranged("kill_at_stop").fired().startswith("killed")
            assert [ocap_daemon.probe(sub).value for sub in ocap_daemon.healthy] == [2, 3, 4]

        @pytest.mark.ready_then_dies(how="crash")
        def test_died(ocap_daemon):
            assert "SIGSEGV" in ocap_daemon.arranged("ready_then_dies").fired()
            assert ocap_daemon.ping().ok

        @pytest.mark.slow_init
        def test_slow(ocap_daemon):
            assert ocap_daemon.outcome.ok
            assert ocap_daemon.arranged("slow_init").pauses >= 3
        """
    )
    result = project.run("--strict-markers", "-rs")
    result.assert_outcomes(passed=5)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_clock_of_the_daemon_jumps_and_no_other(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import time
        import pytest

        @pytest.mark.clock_step
        def test_back(ocap_daemon):
            assert ocap_daemon.outcome.ok
            clock = ocap_daemon.arranged("clock_step")
            before = time.time()
            assert clock.fired() == "the wall clock is off by -86400 s"
            assert abs(time.time() - before) < 60
            clock.right()
            assert clock.fired() is None
            assert ocap_daemon.ping().ok
        """
    )
    project.run().assert_outcomes(passed=1)


def test_what_needs_a_capability_is_skipped_by_its_name(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.io_channel_conflict
        def test_io(ocap_daemon): ...

        @pytest.mark.orphaned_worker
        def test_orphans(ocap_daemon): ...
        """
    )
    result = project.run("-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*lacks 'io'*", "SKIPPED*lacks 'workers'*"])


def test_they_combine_with_the_others(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.missing_bundle(subclusters=2)
        @pytest.mark.kill_at_stop
        @pytest.mark.ready_then_dies
        @pytest.mark.stale_socket
        @pytest.mark.slow_init
        def test_it(ocap_daemon):
            assert ocap_daemon.outcome.ok
            assert ocap_daemon.probe(*ocap_daemon.healthy).ok
            assert not ocap_daemon.probe(*ocap_daemon.missing).ok
        """
    )
    project.run().assert_outcomes(passed=1)


def test_the_kernel_s_workers_and_channels(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.mark.orphaned_worker
        def test_orphans(ocap_daemon, ocap_store):
            assert ocap_daemon.outcome.ok
            assert ocap_daemon.arranged("orphaned_worker").workers
            assert [ocap_daemon.probe(sub).value for sub in ocap_daemon.healthy] == [3, 4, 5]

        @pytest.mark.io_channel_conflict(kind="file")
        def test_channel(ocap_daemon):
            assert ocap_daemon.outcome.ok
            (conflicting,) = ocap_daemon.missing
            assert ocap_daemon.list()[conflicting.id].code == "io-channel-failed"
            ocap_daemon.stop()
            ocap_daemon.arranged("io_channel_conflict").undo()
            ocap_daemon.start()
            assert ocap_daemon.probe(conflicting).value == 2
        """
    )
    project.run(driver="kernel").assert_outcomes(passed=2)


def test_a_driver_that_claims_a_verb_has_to_have_it(project: Project) -> None:
    (project.pytester.path / "claims.py").write_text(
        "from little_driver import LittleDriver\ndriver = LittleDriver()\ndriver.supports['status'] = 'full'\n"
    )
    project.environment(PYTHONPATH=os.pathsep.join([os.environ["PYTHONPATH"], str(project.pytester.path)]))
    project.pytester.makepyfile("def test_it(ocap_driver): ...")
    result = project.run(driver="claims:driver")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *claims the capability 'status' and lacks status"])
