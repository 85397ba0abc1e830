"""Markers: what they accept, how a wrong argument is told, and what happens after the body of a marked test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

WRONG = [
    ("missing_bundle(how='delte')", "how='delte' is not one of 'delete', *did you mean 'delete'[?]*"),
    ("missing_bundle(hwo='delete')", "has no argument 'hwo'; its arguments are *did you mean 'how'[?]*"),
    ("missing_bundle(missing=4)", "missing=4 is more than subclusters=3*"),
    ("missing_bundle(subclusters='3')", "subclusters='3' is not a whole number*"),
    ("missing_bundle(True)", "subclusters=True is not a whole number*"),
    ("missing_bundle(3, 1, 'delete', 5)", "takes at most 3 arguments, got 4*"),
    ("missing_bundle(3, subclusters=3)", "argument 'subclusters' is given twice*"),
    ("missing_bundle(missing=0)", "missing=0 is not between 1 and 1000*"),
    ("degraded_boot(1)", "takes at most 0 arguments*"),
    ("degraded_boot(how='x')", "has no argument 'how'; it takes none*"),
    ("crashed_init(phase='restor')", "phase='restor' is not one of *did you mean 'restore'[?]*"),
    ("crashed_init(how=None)", "how=None is not a string; allowed: 'kill', 'hang'*"),
    ("legible_fatal('store_corrupt')", "cause='store_corrupt' is not one of *did you mean 'store-corrupt'[?]*"),
]


@pytest.mark.parametrize(("mark", "told"), WRONG, ids=[mark for mark, _ in WRONG])
def test_a_wrong_argument_is_a_usage_error_at_collection(project: Project, mark: str, told: str) -> None:
    project.pytester.makepyfile(f"import pytest\n@pytest.mark.{mark}\ndef test_it(): raise SystemError('ran')")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    name = mark.partition("(")[0]
    result.stderr.fnmatch_lines([f"ERROR: *::test_it: @pytest.mark.{name}: {told}(signature: {name}(*"])


def test_markers_that_contradict_each_other_are_a_usage_error(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.missing_bundle(subclusters=4)
        @pytest.mark.persisted_store(subclusters=2)
        def test_it(): ...
        """
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*one store cannot have 2 subclusters for persisted_store, 4 * for missing_bundle*"])


def test_a_wrong_argument_is_told_under_xdist_too(project: Project) -> None:
    project.pytester.makepyfile("import pytest\n@pytest.mark.missing_bundle(how='delte')\ndef test_it(): ...")
    result = project.run("-n", "2")
    assert result.ret != 0
    assert "how='delte' is not one of 'delete'" in result.stdout.str() + result.stderr.str()


def test_every_marker_works_bare(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.missing_bundle
        def test_missing(): ...

        @pytest.mark.legible_fatal
        def test_fatal(): ...

        @pytest.mark.degraded_boot
        def test_degraded(): ...

        @pytest.mark.stale_socket
        def test_stale(): ...

        @pytest.mark.crashed_init
        def test_crashed(): ...

        @pytest.mark.bundle_fetch_error
        def test_fetch(): ...

        @pytest.mark.persisted_store
        def test_persisted(): ...
        """
    )
    result = project.run("--strict-markers")
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(["*ocap scenarios*", "missing_bundle[[]delete[]]  *passed*", "6 passed"])


def test_markers_combine_on_one_test(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.missing_bundle(subclusters=2)
        @pytest.mark.stale_socket
        @pytest.mark.crashed_init(phase="store")
        def test_it(ocap_daemon, ocap_missing_bundle):
            assert ocap_daemon.outcome.ok
            assert ocap_daemon.probe(*ocap_daemon.healthy).ok
            assert not ocap_daemon.probe(*ocap_daemon.missing).ok
        """
    )
    result = project.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["crashed_init*", "missing_bundle*", "stale_socket*", "3 passed"])


def test_each_broken_check_is_reported_by_its_own_name(project: Project) -> None:
    project.environment(LITTLE_DEFECT="warns-without-bundle")
    project.pytester.makepyfile("import pytest\n@pytest.mark.missing_bundle\ndef test_it(): ...")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "missing_bundle[[]delete[]]: failed (1 of 11 checks did not pass)",
            "  FAILED warning-names-subcluster-and-bundle: no warning names the subcluster and its bundle: *'s2'*",
            "missing_bundle[[]delete[]]  failed * warning-names-subcluster-and-bundle",
        ]
    )


def test_a_broken_contract_is_shown_beside_the_failure_of_the_body(project: Project) -> None:
    project.environment(LITTLE_DEFECT="forgets")
    project.pytester.makepyfile("import pytest\n@pytest.mark.missing_bundle\ndef test_it(): assert 'body' == 'wrong'")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 'body' == 'wrong'", "*ocap contract of missing_bundle[[]delete[]]*"])
    result.stdout.fnmatch_lines(["  FAILED repaired-on-return: *"])


def test_a_test_that_skips_itself_has_no_contract_to_keep(project: Project) -> None:
    project.pytester.makepyfile("import pytest\n@pytest.mark.degraded_boot\ndef test_it(): pytest.skip('today')")
    result = project.run()
    result.assert_outcomes(skipped=1)
    result.stdout.no_fnmatch_line("*ocap scenarios*")


def test_a_lacking_capability_skips_at_collection_by_its_name(project: Project) -> None:
    project.environment(LITTLE_LACKS="probe,phases")
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.missing_bundle
        def test_missing(ocap_daemon): ...

        def test_crashed(ocap_crashed_init): ...

        @pytest.mark.stale_socket
        def test_stale(): ...
        """
    )
    result, report = project.report("-rs")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*driver 'little' lacks 'probe'", "SKIPPED*driver 'little' lacks 'phases'"])
    (missing,) = [entry for entry in report["scenarios"] if entry["id"] == "missing_bundle[delete]"]
    assert missing["verdict"] == "unsupported"
    assert missing["checks"][0]["detail"] == "driver 'little' lacks 'probe'"


def test_what_markers_arrange_is_there_at_every_stage_and_can_be_asked_for(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.concurrent_start(callers=3)
        @pytest.mark.missing_bundle(subclusters=2)
        def test_around_the_start(ocap_daemon):
            assert len(ocap_daemon.arranged("concurrent_start").calls) == 3
            assert len(ocap_daemon.arranged("missing_bundle").missing) == 1
            assert ocap_daemon.ping().ok

        @pytest.mark.log_unwritable(how="later")
        def test_after_the_start(ocap_daemon):
            assert ocap_daemon.arranged("log_unwritable").fired()
            assert ocap_daemon.ping().ok

        @pytest.mark.pid_reuse
        @pytest.mark.store_locked(how="shared")
        def test_in_the_home(ocap_daemon):
            assert ocap_daemon.outcome.ok
            assert ocap_daemon.arranged("pid_reuse").bystander.harm() is None
            assert ocap_daemon.arranged("store_locked").holder.harm() is None
        """
    )
    result = project.run()
    result.assert_outcomes(passed=3)
