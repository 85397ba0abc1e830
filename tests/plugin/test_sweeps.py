"""Sweeps as a user runs them: options, shards, failures that are kept and replayed, sweeps that are stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from pytest_ocap.report.json import schema
from pytest_ocap.sweeps.kinds import KINDS
from pytest_ocap.sweeps.options import WORKLOADS
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugin.conftest import Project

LACKING = Supervisor().missing()
intercepts = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))

SWEEPS = ("--pyargs", "pytest_ocap.sweeps")
PHASES = (*SWEEPS, "--ocap-sweep-means", "phases", "--ocap-workload", "start")
AT_A_COMMIT = "session:write:store.sqlite-wal#12"
"""The first write of the transaction by which the first message is counted."""


@pytest.fixture
def sweep(project: Project) -> Callable[..., tuple[pytest.RunResult, list[dict[str, Any]]]]:
    """Give a function that sweeps the little daemon, with pytest's cache, and gives what the report says."""

    def run(*words: str, driver: str = "little_driver:driver") -> tuple[pytest.RunResult, list[dict[str, Any]]]:
        path = project.pytester.path / "report.json"
        path.unlink(missing_ok=True)
        words = ("-p", "no:randomly", "--ocap-driver", driver, "--ocap-report", "report.json", *words)
        result = project.pytester.runpytest_subprocess(*project.plugins(words), *words, timeout=240)
        if not path.exists():
            return result, []
        report = json.loads(path.read_text())
        jsonschema.validate(report, schema())
        return result, report.get("sweeps", [])

    return run


def test_without_the_option_nothing_is_swept_and_whoever_names_the_sweeps_is_told_of_it(project: Project) -> None:
    result = project.run(*SWEEPS)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--ocap-sweep KIND,*{', '.join(KINDS)}*"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--ocap-sweep", "kil"), "*'kil' is no kind of fault*did you mean 'kill'?"),
        (("--ocap-sweep", "kill", "--ocap-workload", "star"), "*'star' is no workload*did you mean 'start'?"),
        (("--ocap-sweep", "kill", "--ocap-budget", "soon"), "*'soon' is no time*"),
        (("--ocap-sweep", "kill", "--ocap-sweep-shards", "0"), "*'0' is no number from 1 to 10000"),
        (("--ocap-sweep", "kill", "--ocap-point", "nowhere"), "*'nowhere' names no workload*"),
        (
            ("--ocap-sweep", "all", "--ocap-point", "start:write:a#1=powerloss~all-lost~0&start:write:a#2=EIO"),
            "*a power cut is no fault of a run: it cannot stand beside others*",
        ),
        (("--ocap-sweep", "kill", "--ocap-sweep-means", "magic"), "*'magic' is no means*"),
        (("--ocap-budget", "60s"), "*--ocap-budget does nothing without --ocap-sweep*"),
        (("--ocap-sweep-every",), "*--ocap-sweep-every does nothing without --ocap-sweep*"),
    ],
)
def test_an_option_that_makes_no_sense_is_a_usage_error(
    project: Project, words: tuple[str, ...], complaint: str
) -> None:
    result = project.run(*words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([complaint])


def test_shards_are_collected_without_a_daemon_and_the_same_in_every_process(project: Project) -> None:
    words = ("--ocap-sweep", "kill", "--ocap-sweep-shards", "3", "--collect-only", "-q")
    project.environment(LITTLE_LACKS="probe")
    result = project.run(*SWEEPS, *words)
    items = [line.rpartition("::")[2] for line in result.outlines if "::" in line]
    assert items == [
        *(f"test_sweep[start-{number}of3]" for number in (1, 2, 3)),
        *(f"test_sweep[{workload}]" for workload in WORKLOADS if workload != "start"),
    ]


def test_a_workload_that_the_daemon_cannot_do_is_skipped_by_name(project: Project) -> None:
    project.environment(LITTLE_LACKS="probe")
    result = project.run(*SWEEPS, "--ocap-sweep", "kill", "--ocap-workload", "session", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*workload 'session': driver 'little' lacks 'probe'*"])


def test_a_sweep_on_two_workers_says_what_it_covered_and_how_far_it_went(
    sweep: Callable[..., Any], homes_left: Callable[[], set[Path]]
) -> None:
    words = ("--ocap-sweep", "kill,errno", "--ocap-sweep-shards", "2", "-n", "2", "--dist", "worksteal")
    result, (found,) = sweep(*PHASES, *words)
    result.assert_outcomes(passed=2)
    assert (found["means"], found["points"], found["cases"]) == ("phases", 4, 4)
    assert (found["fired"], found["passed"], found["not_reached"], found["left"]) == (4, 4, [], 0)
    assert found["not_offered"] == ["errno"]
    assert found["recovery_entered"] == 4
    assert "the phases of a start that the driver names" in found["bound"]
    result.stdout.fnmatch_lines(["*ocap sweeps*", "start: 4 points, 4 cases, 4 fired: 4 passed, 0 failed"])
    assert not homes_left()


@pytest.mark.skipif(Witness().missing() is not None, reason=str(Witness().missing()))
def test_a_sweep_by_strace_says_that_it_is_one_and_what_it_could_not_make(sweep: Callable[..., Any]) -> None:
    words = ("--ocap-sweep-means", "strace", "--ocap-sweep", "kill,powerloss")
    result, (found,) = sweep(*SWEEPS, *words, "--ocap-point", "start:write:phase.new#2=kill")
    result.assert_outcomes(passed=1)
    assert (found["means"], found["passed"], found["not_offered"]) == ("strace", 1, ["powerloss"])
    assert any(note.endswith("strace kills before a call, not after it") for note in found["notes"])


@intercepts
def test_an_acknowledgement_before_the_commit_is_caught_kept_and_replayed(
    sweep: Callable[..., Any], project: Project
) -> None:
    project.environment(LITTLE_DEFECT="reply-before-commit")
    words = ("--ocap-sweep", "kill", "--ocap-point", f"{AT_A_COMMIT}=kill")
    result, (found,) = sweep(*SWEEPS, *words)
    result.assert_outcomes(failed=1)
    assert [(place["point"], place["worst"]) for place in found["places"]] == [(AT_A_COMMIT, "failed")]
    steps = [step["what"] for step in found["steps"] if step["lane"] == "client"]
    assert steps == ["start", "launch", "probe", "launch", "probe", "probe", "stop"]
    (group,) = found["failures"]
    assert (group["check"], group["cases"], group["again"]) == ("state-kept", [f"{AT_A_COMMIT}=kill"], 1)
    assert group["message"] == "s# answered #, and should have answered #"
    assert group["detail"].splitlines()[0] == "s1 answered 1, and should have answered 2"
    assert group["requires"].startswith("each goes on where it was")
    folder = Path(group["directory"])
    assert folder.is_relative_to(project.pytester.path / ".pytest_cache"), "where nobody has said otherwise"
    verdict = json.loads((folder / "verdict.json").read_text())
    assert [check["id"] for check in verdict["checks"] if check["verdict"] == "failed"] == ["state-kept"]
    assert [operation["fate"] for operation in verdict["operations"]] == ["done", "done", "done", "unknown"]
    assert "store.sqlite-wal" in verdict["files"]["faulted"]
    assert (folder / "faulted" / "store.sqlite-wal").is_file()
    assert (folder / "after" / "store.sqlite").is_file()
    assert "[injected: kill]" in (folder / "recording.txt").read_text()
    assert "s1 answered 1, and should have answered 2" in (folder / "report.md").read_text()
    replayed = subprocess.run(["/bin/sh", folder / "replay.sh"], cwd="/", capture_output=True, text=True, check=False)
    assert replayed.returncode == pytest.ExitCode.TESTS_FAILED, replayed.stdout + replayed.stderr
    assert "s1 answered 1, and should have answered 2" in replayed.stdout
    project.environment(LITTLE_DEFECT="")
    mended = subprocess.run(["/bin/sh", folder / "replay.sh"], cwd="/", capture_output=True, text=True, check=False)
    assert mended.returncode == pytest.ExitCode.OK, mended.stdout + mended.stderr


def test_every_form_of_the_report_says_what_was_swept(sweep: Callable[..., Any], project: Project) -> None:
    forms = ("--ocap-html", "r.html", "--ocap-markdown", "r.md", "--ocap-badge", "r.json", "--junitxml", "r.xml")
    _, (found,) = sweep(*PHASES, "--ocap-sweep", "kill", "--ocap-sweep-shards", "2", *forms)
    said = "4 points, 4 cases, 4 fired: 4 passed, 0 failed"
    assert {place["worst"] for place in found["places"]} == {"passed"}
    page, markdown, badge, junit = ((project.pytester.path / name).read_text() for name in forms[1::2])
    assert said in page
    assert page.count('<use href="#shape-passed" x=') == 4
    assert markdown.splitlines()[2] == f"- Sweep of `start`: passed. {said}."
    assert json.loads(badge)["message"] == "4 faults survived"
    properties = {(entry.get("name"), entry.get("value")) for entry in ET.fromstring(junit).iter("property")}
    assert {("ocap_sweep", f"start, shard {number} of 2") for number in (1, 2)} < properties
    assert ("ocap_sweep_left", "0") in properties


def test_a_pid_file_that_nobody_clears_away_is_caught_at_each_point_and_grouped_as_one_cause(
    sweep: Callable[..., Any], project: Project
) -> None:
    project.environment(LITTLE_DEFECT="refuses-stale-pid")
    result, (found,) = sweep(*PHASES, "--ocap-sweep", "kill", "--ocap-sweep-shards", "1", "--ocap-sweep-dir", "kept")
    result.assert_outcomes(failed=1)
    (group,) = found["failures"]
    assert (group["check"], len(group["cases"])) == ("recovers", 4)
    assert Path(group["directory"]).is_relative_to(project.pytester.path / "kept")
    result.stdout.fnmatch_lines(["*FAILED recovers (4)*", "*replay: sh */replay.sh"])


@intercepts
def test_of_a_fault_that_lasts_it_is_found_out_whether_once_would_have_been_enough(
    sweep: Callable[..., Any], project: Project
) -> None:
    project.environment(LITTLE_DEFECT="object-name")  # whatever goes wrong, nobody is told what
    words = ("--ocap-sweep", "errno", "--ocap-point", "start:open:store.sqlite-wal#1=EACCES+")
    result, (found,) = sweep(*SWEEPS, *words)
    (group,) = found["failures"]
    assert (group["check"], group["least"]) == ("failure-legible", "start:open:store.sqlite-wal#1=EACCES")
    (place,) = found["places"]
    start = next(step for step in found["steps"] if step["what"] == "start")
    assert start["at"] < place["at"] < start["until"]
    assert place["within"] == ["start"]
    result.stdout.fnmatch_lines(["*one fault is enough: start:open:store.sqlite-wal#1=EACCES"])


@intercepts
def test_the_least_of_the_faults_of_one_that_lasts_is_found_kept_and_replayed(
    sweep: Callable[..., Any], project: Project
) -> None:
    project.environment(LITTLE_DEFECT="nameless-at-the-second-attempt")
    words = ("--ocap-sweep", "errno", "--ocap-point", "start:open:phase.new#2=EIO+")
    result, (found,) = sweep(*SWEEPS, *words)
    (group,) = found["failures"]
    both = "start:open:phase.new#2=EIO&start:open:phase.new#3=EIO"
    assert (group["check"], group["least"]) == ("failure-legible", both)
    result.stdout.fnmatch_lines([f"*2 faults are enough: {both}"])
    folder = Path(group["directory"])
    _, _, least = (folder / "report.md").read_text().partition("## The least that fails")
    assert "without any one of them it does not fail in this way" in least
    assert both.replace("&", "\n") in least
    replayed = subprocess.run(
        ["/bin/sh", folder / "replay-least.sh"], cwd="/", capture_output=True, text=True, check=False
    )
    assert replayed.returncode == pytest.ExitCode.TESTS_FAILED, replayed.stdout + replayed.stderr
    assert "failure-legible" in replayed.stdout


@intercepts
def test_several_faults_of_different_kinds_that_fail_in_one_run_are_replayed_as_such(
    sweep: Callable[..., Any], project: Project
) -> None:
    project.environment(LITTLE_DEFECT="refuses-stale-pid")
    both = "start:open:phase.new#1=EINTR&start:write:phase.new#2=kill"
    result, (found,) = sweep(*SWEEPS, "--ocap-sweep", "kill,errno", "--ocap-point", both)
    result.assert_outcomes(failed=1)
    (group,) = found["failures"]
    assert (group["check"], group["cases"]) == ("recovers", [both])
    assert group["least"] == "start:write:phase.new#2=kill"
    folder = Path(group["directory"])
    assert f"--ocap-sweep errno,kill --ocap-point '{both}'" in (folder / "replay.sh").read_text()
    assert "--ocap-sweep kill --ocap-point" in (folder / "replay-least.sh").read_text()


@pytest.mark.slow
def test_a_sweep_runs_over_gateways_to_separate_environments(sweep: Callable[..., Any], short_tmp: Path) -> None:
    gateways = []
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", short_tmp / name], check=True)
        (packages,) = (short_tmp / name).glob("lib/python*/site-packages")
        (packages / "all.pth").write_text("\n".join([path for path in sys.path if path.endswith("site-packages")]))
        gateways += ["--tx", f"popen//python={short_tmp / name}/bin/python"]
    words = ("--ocap-sweep", "kill", "--ocap-sweep-shards", "4", "-v", *gateways, "--dist", "load")
    result, (found,) = sweep(*PHASES, *words)
    result.assert_outcomes(passed=4)
    assert (found["fired"], found["shards"]) == (4, {"run": 4, "of": 4, "numbers": [0, 1, 2, 3]})
    text = result.stdout.str()
    assert "[gw0]" in text, "both took part"
    assert "[gw1]" in text


def test_a_point_that_there_is_not_is_told_with_those_that_are_close(sweep: Callable[..., Any]) -> None:
    result, _ = sweep(*PHASES[:4], "--ocap-sweep", "kill", "--ocap-point", "start:phase:stor")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*'start:phase:stor' is none of the 4 cases*close to it: start:phase:store*"])


def test_a_sweep_of_which_a_part_was_run_goes_on_there_and_one_that_was_finished_begins_anew(
    sweep: Callable[..., Any], project: Project
) -> None:
    words = (*PHASES, "--ocap-sweep", "kill", "--ocap-sweep-shards", "2")
    _, (part,) = sweep(*words, "-k", "1of2")
    assert part["shards"] == {"run": 1, "of": 2, "numbers": [0]}
    assert 0 < part["tried"] == part["cases"] < 4
    assert "1 of 2 shards were run" in part["bound"]
    assert list(project.pytester.path.glob(".pytest_cache/d/ocap-sweeps/results/**/phases/start/kill/*.jsonl"))
    _, (whole,) = sweep(*words)
    assert (whole["tried"], whole["taken_over"]) == (4, part["tried"])
    assert [note for note in whole["notes"] if "driver 'little' does not say which build" in note]
    _, (again,) = sweep(*words)
    assert (again["tried"], again["taken_over"]) == (4, 0)


def test_a_finished_sweep_begins_anew_although_some_workloads_could_not_be_done(
    sweep: Callable[..., Any], project: Project
) -> None:
    project.pytester.makeconftest(
        "from pytest_ocap.sweeps import trial\n"
        "from pytest_ocap.verdict import UnsupportedError\n"
        "unharmed = trial.Trials.unharmed\n"
        "def refuse(trials, workload):\n"
        "    if workload.name == 'session':\n"
        "        raise UnsupportedError('not on this machine')\n"
        "    return unharmed(trials, workload)\n"
        "trial.Trials.unharmed = refuse\n"
    )
    words = (*PHASES[:4], "--ocap-workload", "start,session,pin", "--ocap-sweep", "kill", "--ocap-sweep-shards", "1")
    for _ in range(2):
        result, (found,) = sweep(*words, "-rs")
        result.assert_outcomes(passed=1, skipped=2)
        result.stdout.fnmatch_lines(["*not on this machine*"])
        result.stdout.fnmatch_lines(["*workload 'pin': driver 'little' lacks 'pin'*"])
        assert (found["tried"], found["taken_over"], found["notes"]) == (4, 0, [])


def test_who_wants_to_begins_a_stopped_sweep_anew(sweep: Callable[..., Any]) -> None:
    words = (*PHASES, "--ocap-sweep", "kill", "--ocap-sweep-shards", "2")
    sweep(*words, "-k", "1of2")
    _, (whole,) = sweep(*words, "--ocap-sweep-fresh")
    assert (whole["tried"], whole["taken_over"]) == (4, 0)


def test_a_budget_is_shared_out_among_the_shards_of_what_the_daemon_can_do(project: Project) -> None:
    project.environment(LITTLE_LACKS="probe")
    project.pytester.makeconftest(
        "from pytest_ocap.sweeps.face import face_of\n"
        "def pytest_collection_finish(session): print('a share is', face_of(session.config).share(2), 'seconds')\n"
    )
    result = project.run(
        *SWEEPS, "--ocap-sweep", "kill", "--ocap-sweep-shards", "3", "--ocap-budget", "60", "--collect-only"
    )
    result.stdout.fnmatch_lines(["*a share is 40.0 seconds"])


def test_a_budget_that_is_spent_before_anything_was_tried_measures_nothing_and_is_red(
    sweep: Callable[..., Any],
) -> None:
    words = (*PHASES, "--ocap-sweep", "kill", "--ocap-sweep-shards", "1", "--ocap-budget", "0.01s")
    result, (found,) = sweep(*words)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert (found["tried"], found["left"], found["verdict"]) == (0, 4, "not-measured")
    result.stdout.fnmatch_lines(["*4 of 4 cases were left, since the time was up*", "*nothing was measured*"])


@intercepts
def test_of_cases_that_are_alike_a_few_stand_for_the_others_but_for_whoever_wants_every_one(
    sweep: Callable[..., Any],
) -> None:
    words = (*SWEEPS, "--ocap-workload", "start", "--ocap-sweep", "errno", "--ocap-budget", "0.001")
    _, (few,) = sweep(*words)
    _, (every,) = sweep(*words, "--ocap-sweep-every")
    assert few["cases"] < every["cases"]
    assert few["alike"] > every["alike"] == 0
    assert f"{few['cases']} stand for {few['alike']} more, which --ocap-sweep-every tries too" in few["bound"]
    assert "stand for" not in every["bound"]
    assert few["points"] > len({(place["kind"], place["path"]) for place in few["places"]}), "none is left out"


def test_a_daemon_that_does_not_work_unharmed_is_the_harness_trouble_and_no_verdict(
    sweep: Callable[..., Any], project: Project
) -> None:
    project.environment(LITTLE_DEFECT="aborts")
    result, found = sweep(
        *SWEEPS, "--ocap-sweep-means", "phases", "--ocap-workload", "restore", "--ocap-sweep", "kill",
        "--ocap-sweep-shards", "1",
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*nothing was done to the daemon, and yet restore stopped*"])
    result.stdout.no_fnmatch_line("*During handling of*")
    assert found == []
