"""What is known to fail keeps a run green, what passes after all turns it red, and one option keeps the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from report_schema import validate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import Project

TWO = """
    import pytest

    @pytest.mark.stale_socket(kind="live")
    def test_live(): ...

    @pytest.mark.stale_socket(kind="dangling")
    def test_dangling(): ...
"""
FILE = "ocap-expectations-little.toml"
KNOWN = '["stale_socket[live]"]\n'


@pytest.fixture
def careless(project: Project) -> Project:
    """Give a project whose daemon takes over the socket of a live listener."""
    project.pytester.makepyfile(TWO)
    project.environment(LITTLE_DEFECT="unlinks-live")
    return project


def file_of(project: Project) -> Path:
    return project.pytester.path / FILE


def declare(project: Project, *lines: str) -> None:
    file_of(project).write_text(KNOWN + "".join(f"{line}\n" for line in lines))


ALL = [
    'refused = "it takes over any socket: issue 7"',
    'names-path = "follows from refused"',
    'names-owner = "follows from refused"',
    'left-alone = "issue 7"',
]


def test_what_is_declared_fails_as_expected_and_no_run(careless: Project) -> None:
    declare(careless, *ALL)
    result, report = careless.report("-rx")
    validate(report)
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "stale_socket[[]live[]] * failed * declared: refused, names-path, names-owner, left-alone",
            "1 passed, 1 failed, 1 declared",
            "XFAIL *declared: refused: it takes over any socket: issue 7; *",
        ]
    )
    found = {entry["id"]: entry for entry in report["scenarios"]}
    assert (found["stale_socket[live]"]["verdict"], found["stale_socket[live]"]["red"]) == ("failed", False)
    assert found["stale_socket[live]"]["declared"]["checks"]["left-alone"] == "issue 7"
    assert (report["summary"]["failed"], report["summary"]["declared"]) == (1, 1)


def test_what_is_declared_fails_the_run_when_pytest_is_told_to_take_no_failure_as_expected(careless: Project) -> None:
    declare(careless, *ALL)
    careless.run("--runxfail").assert_outcomes(passed=1, failed=1)


def test_what_is_not_declared_fails_beside_what_is(careless: Project) -> None:
    declare(careless, *ALL[1:])
    result = careless.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*FAILED refused:*", "*expected: the start fails", "*declared: issue 7"])


def test_what_passes_after_all_fails_the_run_and_names_the_line_to_remove(careless: Project) -> None:
    declare(careless, *ALL, 'starts-when-free = "it did not"')
    result, report = careless.report()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            f"*MENDED starts-when-free: it passed after all; remove {FILE}:6: 'it did not'",
            "stale_socket[[]live[]] * mended: starts-when-free; declared: refused, *",
        ]
    )
    (entry,) = [entry for entry in report["scenarios"] if entry["declared"]]
    assert (entry["declared"]["mended"], entry["red"]) == (["starts-when-free"], True)


def test_a_daemon_that_became_careful_fails_until_its_file_is_empty(careless: Project) -> None:
    declare(careless, *ALL)
    careless.environment(LITTLE_DEFECT="")
    result = careless.run()
    result.assert_outcomes(passed=1, failed=1)
    assert "FAILED refused" not in result.stdout.str()
    result.stdout.fnmatch_lines([f"*MENDED refused: it passed after all; remove {FILE}:2: *"])


def test_a_fault_that_did_not_fire_fails_the_run_unless_that_is_declared(project: Project) -> None:
    project.pytester.makepyfile(
        "import pytest\n@pytest.mark.crashed_init(how='kill', phase='never')\ndef test_it(): ..."
    )
    project.pytester.makepyfile(
        unreachable="from little_driver import LittleDriver\n"
        "class Unreachable(LittleDriver):\n    phases = ('lock', 'never')\ndriver = Unreachable()\n"
    )
    result, report = project.report("--ocap-driver", "unreachable:driver")
    result.assert_outcomes(failed=1)
    (entry,) = report["scenarios"]
    assert (entry["verdict"], entry["red"], entry["checks"][0]["id"]) == ("not-measured", True, "fired")
    evidence = entry["checks"][0]["evidence"]
    assert [call["verb"] for call in evidence["client"]][-1] == "start", "it can be seen that nothing stopped it"
    assert "daemon" in [process["role"] for process in evidence["processes"]]
    file_of(project).write_text('["crashed_init[kill-never]"]\nfired = "this daemon has no such phase"\n')
    result = project.run("--ocap-driver", "unreachable:driver")
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["1 not-measured, 1 declared"])


def test_a_harness_that_broke_is_never_excused(project: Project) -> None:
    project.pytester.makepyfile("import pytest\n@pytest.mark.stale_socket\ndef test_it(): ...")
    project.environment(LITTLE_DEFECT="early-zero", LITTLE_FAILPOINT="restore=kill")
    file_of(project).write_text('["stale_socket[dead]"]\nboots = "known"\n')
    result, report = project.report()
    validate(report)
    result.assert_outcomes(failed=1)
    (entry,) = report["scenarios"]
    ((check,), evidence) = entry["checks"], entry["checks"][0]["evidence"]
    assert (entry["verdict"], check["id"], entry["red"]) == ("harness-broken", "baseline", True)
    assert evidence["expected"].startswith("the daemon does what it is asked for")
    assert evidence["client"][0]["verb"] == "start"
    result.stdout.fnmatch_lines(["*HARNESS-BROKEN baseline: *", "*verbs (as of *", "* start(timeout=4 s)*"])
    file_of(project).unlink()
    result = project.run("--ocap-expect-update")
    result.assert_outcomes(failed=1)
    assert not file_of(project).exists()


@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_update_writes_what_fails_and_the_next_run_refuses_it_until_the_reasons_are_given(
    careless: Project, words: tuple[str, ...]
) -> None:
    file_of(careless).write_text(
        "# ours\n"
        + KNOWN
        + 'refused = "issue 7"  # see there\nquickly = "once"\n\n'
        + '[degraded_boot]\nboots = "not run"\n'
    )
    result, report = careless.report("--ocap-expect-update", *words)
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.fnmatch_lines([f"ocap expectations: *{FILE}: 3 added, for each of which a reason *; 1 removed"])
    assert report["summary"]["declared"] == 1
    added = 'names-path = ""\nnames-owner = ""\nleft-alone = ""\n'
    assert file_of(careless).read_text() == (
        "# ours\n" + KNOWN + 'refused = "issue 7"  # see there\n' + added + '\n[degraded_boot]\nboots = "not run"\n'
    )
    refused = careless.run()
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(
        [f"ERROR: *{FILE}:4: stale_socket[[]live[]]: the check 'names-path' is declared without a reason", "*:5: *"]
    )
    file_of(careless).write_text(file_of(careless).read_text().replace('""', '"follows"'))
    careless.run().assert_outcomes(passed=1, xfailed=1)


def test_the_update_touches_only_what_ran(careless: Project) -> None:
    declare(careless, 'starts-when-free = "it did not"')
    before = file_of(careless).read_text()
    careless.run("--ocap-expect-update", "-k", "dangling").assert_outcomes(passed=1, deselected=1)
    assert file_of(careless).read_text() == before


@pytest.mark.parametrize(
    "text",
    [KNOWN + 'refussed = "x"\n', '["stale_socket[dad]"]\nboots = "x"\n', KNOWN + 'refused = ""\n', 'driver = "x"\n'],
    ids=["check", "scenario", "reason", "driver"],
)
def test_a_wrong_file_is_a_usage_error_that_names_file_and_line(careless: Project, text: str) -> None:
    file_of(careless).write_text(text)
    result = careless.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{FILE}:[12]: *"])
    beside = careless.run("-n", "1")
    beside.assert_outcomes(errors=2)
    beside.stdout.fnmatch_lines([f"*{FILE}:[12]: *"])


def test_the_file_is_where_the_settings_say_and_has_to_be_there(careless: Project) -> None:
    careless.pytester.makepyprojecttoml('[tool.pytest_ocap]\nexpectations = "known/{driver}.toml"\n')
    result = careless.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: [[]tool.pytest_ocap[]] expectations: there is no file *known/little.toml; *"])
    careless.run("--ocap-expect-update").assert_outcomes(passed=1, xfailed=1)
    assert KNOWN in (careless.pytester.path / "known" / "little.toml").read_text()
    careless.run("--ocap-expectations", "mine.toml", "--ocap-expect-update").assert_outcomes(passed=1, xfailed=1)
    assert KNOWN in (careless.pytester.path / "mine.toml").read_text()


def test_a_project_without_scenarios_never_reads_the_file(project: Project) -> None:
    project.pytester.makepyfile("def test_it(): ...")
    file_of(project).write_text("no toml")
    project.run().assert_outcomes(passed=1)
