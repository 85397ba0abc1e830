"""A project that is pinned to an edition sees newer scenarios, and is not failed by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from report_schema import validate

from pytest_ocap.editions import EDITIONS, is_newer
from pytest_ocap.scenarios import SCENARIOS

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

OLD, NEW = EDITIONS[0], EDITIONS[-1]


@pytest.fixture
def careless(project: Project) -> Project:
    """Give a project with a scenario of the newest edition which fails, and one of the oldest which passes."""
    project.pytester.makeconftest(
        f"""
        from dataclasses import replace
        from pytest_ocap.scenarios import SCENARIOS
        SCENARIOS["stale_socket"] = replace(SCENARIOS["stale_socket"], edition={NEW!r})
        """
    )
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.stale_socket(kind="live")
        def test_new(): ...

        @pytest.mark.degraded_boot
        def test_old(): ...
        """
    )
    project.environment(LITTLE_DEFECT="unlinks-live")
    return project


def test_without_a_pin_every_scenario_counts(careless: Project) -> None:
    result, report = careless.report()
    result.assert_outcomes(passed=1, failed=1)
    assert (report["pinned"], report["edition"], report["summary"]["new"]) == (None, NEW, 0)


@pytest.mark.parametrize("where", ["command line", "ini key", "table"])
def test_a_newer_scenario_is_shown_as_new_and_does_not_fail_the_run(careless: Project, where: str) -> None:
    words = ("--ocap-edition", OLD) if where == "command line" else ()
    if where == "ini key":
        careless.pytester.makeini(f"[pytest]\nocap_edition = {OLD}\n")
    if where == "table":
        careless.pytester.makepyprojecttoml(f'[tool.pytest_ocap]\nedition = "{OLD}"\n')
    result, report = careless.report("-rx", "--strict-config", *words)
    validate(report)
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            f"stale_socket[[]live[]] * failed * new in {NEW}; *left-alone*",
            "1 passed, 1 failed, 1 new",
            f"XFAIL *new in edition {NEW}, and the project is pinned to {OLD}: failed: *left-alone*",
        ]
    )
    found = {entry["id"]: entry for entry in report["scenarios"]}
    assert report["pinned"] == OLD
    assert (found["stale_socket[live]"]["new"], found["stale_socket[live]"]["red"]) == (True, False)
    assert (found["stale_socket[live]"]["edition"], found["degraded_boot"]["edition"]) == (NEW, OLD)
    assert not found["degraded_boot"]["new"]


def test_a_new_scenario_that_passes_has_passed_and_is_shown_as_new(careless: Project) -> None:
    careless.environment(LITTLE_DEFECT="")
    result = careless.run("--ocap-edition", OLD)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"stale_socket[[]live[]] * passed * new in {NEW}", "2 passed, 1 new"])


def test_a_body_that_fails_beside_a_new_scenario_fails(careless: Project) -> None:
    careless.pytester.makepyfile("import pytest\n@pytest.mark.stale_socket(kind='live')\ndef test_it(): assert False")
    careless.run("--ocap-edition", OLD).assert_outcomes(failed=1)


def test_an_edition_that_does_not_exist_is_a_usage_error_that_names_those_that_do(careless: Project) -> None:
    for words in ((), ("-n", "1")):
        result = careless.run("--ocap-edition", "2026.11", *words)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: --ocap-edition: there is no edition '2026.11'; known: {OLD}, *"])
    careless.pytester.makepyprojecttoml('[tool.pytest_ocap]\nedition = "1999.1"\n')
    result = careless.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: [[]tool.pytest_ocap[]] edition: there is no edition '1999.1'; known: *"])


def test_editions_are_ordered_and_every_scenario_is_of_one() -> None:
    assert list(EDITIONS) == sorted(EDITIONS)
    assert is_newer(NEW, OLD)
    assert not is_newer(OLD, NEW)
    assert not is_newer(NEW, NEW)
    assert not is_newer(NEW, None)
    assert {scenario.edition for scenario in SCENARIOS.values()} <= set(EDITIONS)
