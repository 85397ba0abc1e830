"""The driver is found where the user named it, and a wrong setting is a usage error that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

SHOWS = "def test_it(ocap_driver): assert ocap_driver.name == 'little'"


@pytest.fixture
def shows(project: Project) -> Project:
    """Give a project with a test that holds when its driver is the little one's."""
    project.pytester.makepyfile(SHOWS)
    return project


def test_the_ini_key_names_it(shows: Project) -> None:
    shows.pytester.makeini("[pytest]\nocap_driver = little_driver:driver\n")
    shows.run("--strict-config", driver=None).assert_outcomes(passed=1)


def test_pyproject_names_it(shows: Project) -> None:
    shows.pytester.makepyprojecttoml('[tool.pytest_ocap]\ndriver = "little_driver:driver"\n')
    shows.run(driver=None).assert_outcomes(passed=1)


def test_the_hook_gives_it_and_a_class_is_made_an_object(shows: Project) -> None:
    shows.pytester.makeconftest(
        "import little_driver\ndef pytest_ocap_driver(config): return little_driver.LittleDriver()"
    )
    shows.run(driver=None).assert_outcomes(passed=1)
    shows.run(driver="little_driver:LittleDriver").assert_outcomes(passed=1)


def test_the_command_line_comes_first(shows: Project) -> None:
    shows.pytester.makeini("[pytest]\nocap_driver = no_such:thing\n")
    shows.run(driver="little_driver:driver").assert_outcomes(passed=1)


def test_without_a_word_it_is_the_bundled_kernel(project: Project) -> None:
    project.pytester.makepyfile("def test_it(ocap_driver): assert ocap_driver.name == 'kernel' and ocap_driver.version")
    project.run(driver=None).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("driver", "told"),
    [
        ("kernle", "--ocap-driver: no driver is named 'kernle'; bundled: kernel, *did you mean 'kernel'[?]"),
        ("no_such:thing", "--ocap-driver: the driver 'no_such:thing' cannot be loaded: No module named 'no_such'"),
        ("little_driver:drivel", "--ocap-driver: the driver 'little_driver:drivel' cannot be loaded: *'drivel'*"),
        ("json:dumps", "--ocap-driver: json:dumps: * is no driver: it lacks fetch, kill, launch, *"),
    ],
)
def test_a_wrong_driver_is_a_usage_error(shows: Project, driver: str, told: str) -> None:
    result = shows.run(driver=driver)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {told}"])


def test_a_capability_that_does_not_exist_is_a_usage_error(shows: Project) -> None:
    shows.pytester.makepyfile(
        boastful="from little_driver import LittleDriver\ndriver = LittleDriver()\ndriver.supports['fecth'] = 'full'"
    )
    result = shows.run(driver="boastful:driver")
    result.stderr.fnmatch_lines(["ERROR: *unknown capability 'fecth'; did you mean 'fetch'[?]"])


def test_a_capability_is_had_in_full_or_not_at_all_or_not_for_a_reason(shows: Project) -> None:
    shows.pytester.makepyfile(
        vague="from little_driver import LittleDriver\ndriver = LittleDriver()\ndriver.supports['fetch'] = True"
    )
    result = shows.run(driver="vague:driver")
    result.stderr.fnmatch_lines(["ERROR: *the capability 'fetch' is True, neither 'full' nor 'none' nor a reason"])


def test_the_reason_why_a_capability_is_not_had_reaches_skips_table_and_report(project: Project) -> None:
    project.pytester.makepyfile(
        hesitant="from little_driver import LittleDriver\ndriver = LittleDriver()\n"
        "driver.supports |= {'launch': 'its launcher is being rewritten', 'probe': 'none'}\n"
    )
    project.pytester.makepyfile("import pytest\n@pytest.mark.degraded_boot\ndef test_it(): ...")
    reason = "driver 'little' lacks 'launch' (its launcher is being rewritten), 'probe'"
    result, report = project.report("-rs", "--ocap-driver", "hesitant:driver")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"degraded_boot  unsupported *capability: {reason}", f"SKIPPED *{reason}"])
    (entry,) = report["scenarios"]
    assert (entry["verdict"], entry["red"]) == ("unsupported", False)
    assert entry["checks"] == [{"id": "capability", "verdict": "unsupported", "detail": reason, "evidence": None}]


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (
            '[tool.pytest_ocap]\ndirver = "x"\n',
            "*unknown key 'dirver' in [[]tool.pytest_ocap[]]*did you mean 'driver'[?]",
        ),
        ("[tool.pytest_ocap]\ndriver = 3\n", "*[[]tool.pytest_ocap[]] driver is not a string: 3"),
        ("[tool]\npytest_ocap = 3\n", "*[[]tool.pytest_ocap[]] is not a table"),
    ],
)
def test_a_wrong_table_is_a_usage_error(shows: Project, toml: str, told: str) -> None:
    shows.pytester.makepyprojecttoml(toml)
    result = shows.run(driver=None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *pyproject.toml: {told}"])


def test_a_wrong_driver_harms_no_project_that_does_not_use_one(project: Project) -> None:
    project.pytester.makepyfile("def test_it(): ...")
    project.run(driver="no_such:thing").assert_outcomes(passed=1)


@pytest.mark.parametrize("files", ["test_*.py", "check_*.py"])
def test_the_suite_is_collected_once_whatever_a_project_calls_its_tests(project: Project, files: str) -> None:
    project.pytester.makeini(f"[pytest]\npython_files = {files}\n")
    result = project.run("--pyargs", "pytest_ocap.suite", "--collect-only", "-q", "-k", "degraded or stale")
    assert len([line for line in result.outlines if "::" in line]) == 6


def test_a_wrong_driver_is_told_when_the_suite_is_collected(project: Project) -> None:
    result = project.run("--pyargs", "pytest_ocap.suite", driver="kernle")
    assert result.ret != 0
    assert "no driver is named 'kernle'" in result.stdout.str() + result.stderr.str()
    assert "Traceback" not in result.stdout.str()
