"""Reports: the table and the JSON file, from one process and from many, and from one that crashed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import psutil
import pytest
from report_page import assert_same
from report_schema import validate
from watching import eventually

from pytest_ocap.editions import EDITION
from pytest_ocap.report import transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugin.conftest import Project

FOUR = """
    import pytest

    @pytest.mark.parametrize("kind", [
        pytest.param(kind, marks=pytest.mark.stale_socket(kind=kind)) for kind in ("dead", "file", "dangling", "live")
    ])
    def test_it(kind): ...
"""


def test_the_report_has_the_form_that_is_promised(project: Project) -> None:
    project.pytester.makepyfile("import pytest\n@pytest.mark.degraded_boot\ndef test_it(): ...")
    result, report = project.report()
    assert result.ret == 0
    validate(report)
    assert (report["schema"], report["driver"]) == (1, {"name": "little", "version": "1"})
    assert (report["edition"], report["pinned"]) == (EDITION, None)
    assert report["summary"] == {verdict: int(verdict == "passed") for verdict in report["summary"]}
    (scenario,) = report["scenarios"]
    assert (scenario["id"], scenario["verdict"], scenario["red"]) == ("degraded_boot", "passed", False)
    assert scenario["nodeid"] == "test_the_report_has_the_form_that_is_promised.py::test_it"
    assert scenario["checks"][0]["id"] == "boots"
    assert not any(check["evidence"] for check in scenario["checks"]), "what passed needs none"


def test_the_report_of_a_run_without_scenarios_is_empty_and_whole(project: Project) -> None:
    project.pytester.makepyfile("def test_it(): ...")
    _, report = project.report()
    validate(report)
    assert report["scenarios"] == []


def test_workers_report_is_merged_and_the_same(project: Project, homes_left: Callable[[], set[Path]]) -> None:
    project.pytester.makepyfile(FOUR)
    result, report = project.report("-n", "2", "--dist", "worksteal")
    result.assert_outcomes(passed=4)
    ids = [entry["id"] for entry in report["scenarios"]]
    assert ids == [f"stale_socket[{kind}]" for kind in ("dangling", "dead", "file", "live")]
    result.stdout.fnmatch_lines(["*ocap scenarios*", "4 passed"])
    assert not homes_left()


def test_a_crashed_worker_is_in_the_report(project: Project, homes_left: Callable[[], set[Path]]) -> None:
    project.pytester.makepyfile(
        """
        import os, pytest

        @pytest.mark.stale_socket
        def test_good(): ...

        @pytest.mark.degraded_boot
        def test_bad(ocap_daemon):
            os._exit(7)
        """
    )
    _, report = project.report("-n", "1")
    validate(report)
    found = {entry["id"]: entry["verdict"] for entry in report["scenarios"]}
    assert found == {"stale_socket[dead]": "passed", "degraded_boot": "harness-broken"}
    eventually(lambda: not homes_left())


@pytest.mark.parametrize("spread", [(), ("-n", "1")], ids=["alone", "spread"])
def test_a_scenario_whose_test_did_not_get_so_far_is_not_measured(project: Project, spread: tuple[str, ...]) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def broken():
            raise OSError("no room")

        @pytest.mark.degraded_boot
        @pytest.mark.stale_socket(kind="live")
        def test_bad(broken): ...

        @pytest.mark.stale_socket
        def test_good(): ...
        """
    )
    result, report = project.report("--ocap-markdown", "report.md", *spread)
    result.assert_outcomes(passed=1, errors=1)
    assert project.verdicts() == {
        "degraded_boot": "not-measured",
        "stale_socket[live]": "not-measured",
        "stale_socket[dead]": "passed",
    }
    (check,) = {str(entry["checks"][0]["detail"]) for entry in report["scenarios"] if entry["red"]}
    assert check == "the test's setup failed: OSError: no room; the contract was not checked"
    assert "ocap: failed" in (project.pytester.path / "report.md").read_text()


def test_junit_shows_properties_that_a_person_can_use_and_not_the_whole_verdict(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.degraded_boot
        @pytest.mark.stale_socket(kind="live")
        def test_it(): ...

        @pytest.mark.crashed_init
        def test_skipped(): ...
        """
    )
    project.environment(LITTLE_DEFECT="unlinks-live", LITTLE_LACKS="phases")
    project.run("--junitxml", "junit.xml", "-n", "1")
    cases = ET.parse(project.pytester.path / "junit.xml").iter("testcase")
    shown = {
        case.get("name"): [(line.attrib["name"], line.attrib["value"]) for line in case.iter("property")]
        for case in cases
    }
    size = len(transport.PROPERTIES)
    assert [name for name, _ in shown["test_it"]] == 2 * list(transport.PROPERTIES)
    live, degraded = dict(shown["test_it"][:size]), dict(shown["test_it"][size:])
    assert (live["ocap_scenario"], live["ocap_verdict"]) == ("stale_socket[live]", "failed")
    assert "left-alone (failed)" in live["ocap_broken_checks"]
    assert (degraded["ocap_scenario"], degraded["ocap_verdict"]) == ("degraded_boot", "passed")
    assert (degraded["ocap_edition"], degraded["ocap_broken_checks"]) == ("2026.1", "")
    assert (live["ocap_red"], live["ocap_declared_checks"], degraded["ocap_red"]) == ("true", "", "false")
    assert dict(shown["test_skipped"])["ocap_verdict"] == "unsupported"


def test_every_form_is_written_and_the_run_says_where(project: Project) -> None:
    project.pytester.makepyfile("import pytest\n@pytest.mark.degraded_boot\ndef test_it(): ...")
    names = {
        "--ocap-report": "deep/r.json",
        "--ocap-html": "deep/r.html",
        "--ocap-badge": "deep/b.svg",
        "--ocap-markdown": "deep/v.md",
    }
    result = project.run(*(word for pair in names.items() for word in pair))
    assert result.ret == 0
    for name in names.values():
        path = project.pytester.path / name
        assert path.read_text().strip()
        result.stdout.fnmatch_lines([f"ocap report: {path}"])
    page = (project.pytester.path / "deep" / "r.html").read_text()
    embedded = json.loads(page.split('id="ocap-report">')[1].split("</script>")[0])
    assert embedded == json.loads((project.pytester.path / "deep" / "r.json").read_text())
    assert "little 1 passed the only scenario" in (project.pytester.path / "deep" / "v.md").read_text()


def test_the_page_of_a_careless_daemon_says_what_its_report_says(project: Project) -> None:
    project.pytester.makepyfile(FOUR)
    project.environment(LITTLE_DEFECT="unlinks-live")
    _, report = project.report("--ocap-html", "r.html")
    broken = [check for entry in report["scenarios"] for check in entry["checks"] if check["verdict"] != "passed"]
    assert broken
    assert all(check["evidence"] for check in broken)
    assert_same((project.pytester.path / "r.html").read_text(), report)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--ocap-report", "taken"), "--ocap-report: */taken is a directory"),
        (("--ocap-markdown", "test_it.py/v.md"), "--ocap-markdown: */test_it.py is not a directory"),
        (("--ocap-badge", "b.png"), "--ocap-badge: */b.png ends in none of: .svg, .json"),
        (("--ocap-badge", "b.json", "--ocap-report", "b.json"), "--ocap-badge: */b.json is also that of report"),
    ],
)
def test_a_report_that_cannot_be_written_is_a_usage_error_before_anything_runs(
    project: Project, words: tuple[str, ...], told: str
) -> None:
    project.pytester.makepyfile(test_it="def test_it(): print('ran')")
    project.pytester.mkdir("taken")
    result = project.run("-s", *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {told}"])
    result.stdout.no_fnmatch_line("*ran*")


def test_a_report_that_can_no_longer_be_written_fails_the_run_and_harms_no_other(project: Project) -> None:
    project.pytester.makepyfile("import os\ndef test_it(): os.mkdir('report.json')")
    result = project.run("--ocap-report", "report.json", "--ocap-markdown", "v.md")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["ocap report: */v.md", "ERROR: --ocap-report: */report.json cannot be written: *"])
    assert [path.name for path in project.pytester.path.iterdir() if path.name.startswith(".ocap")] == []


def test_collecting_alone_leaves_the_last_report_as_it_is(project: Project) -> None:
    project.pytester.makepyfile("def test_it(): ...")
    (project.pytester.path / "report.json").write_text("the last one")
    project.run("--ocap-report", "report.json", "--collect-only")
    assert (project.pytester.path / "report.json").read_text() == "the last one"


def test_a_test_process_that_is_killed_leaves_nothing(project: Project, homes_left: Callable[[], set[Path]]) -> None:
    project.pytester.makepyfile(
        """
        import pathlib, time

        def test_it(ocap_daemon):
            assert ocap_daemon.ping().ok
            pathlib.Path("ready").write_text(str(ocap_daemon.home))
            time.sleep(600)
        """
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_ocap", "--ocap-driver", "little_driver:driver"]
    ready = project.pytester.path / "ready"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        eventually(lambda: ready.exists() and bool(ready.read_text()))
        home = ready.read_text()
        users = [process for process in psutil.process_iter() if home in " ".join(cmdline(process))]
        assert users, "the daemon runs"
        os.kill(run.pid, signal.SIGKILL)
    eventually(lambda: not homes_left())
    eventually(lambda: not any(process.is_running() and process.status() != "zombie" for process in users))


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
