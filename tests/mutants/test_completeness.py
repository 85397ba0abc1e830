"""No check without a mutant or a reason, no mutant that no longer applies unnoticed, none that the suite would miss."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, run

import pytest

from pytest_ocap.scenarios import SCENARIOS
from tests.mutants.mutation import (
    ROOT,
    Change,
    Mutant,
    StaleMutantError,
    make_copy,
    read_mutants,
    read_unmutated,
)

MUTANTS = read_mutants()
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}

AS_A_USER_RUNS_IT = [
    (None, "missing_bundle and delete", None),
    ("restore-failure-aborts-start", "missing_bundle and delete", "boots"),
    ("error-as-an-object-name", "legible_fatal and store-corrupt", "no-masked-text"),
]


def suite(folder: Path, *words: str, path: tuple[Path, ...] = ()) -> tuple[int, str]:
    """Run the bundled suite in a process of its own, from another directory; gives exit status and output."""
    command = [sys.executable, "-P", "-m", "pytest", "-p", "pytest_ocap", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += ["--rootdir", str(folder), "-c", os.devnull, "--pyargs", "pytest_ocap.suite", *words]
    unset = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))), "TMPDIR": str(folder)}
    ended = run(command, cwd=folder, env=environment, stdout=PIPE, stderr=STDOUT, text=True, timeout=120, check=False)
    return ended.returncode, ended.stdout


def test_every_check_has_a_mutant_or_a_reason_why_not() -> None:
    catches = [catch for mutant in MUTANTS for catch in mutant.caught if catch.blind is None]
    mutated = {(catch.variant.scenario, check) for catch in catches for check in catch.checks}
    excused = {(entry.scenario, entry.id) for entry in read_unmutated()}
    every = {(scenario.name, check) for scenario in SCENARIOS.values() for check in scenario.checks}
    assert every - mutated - excused == set()
    assert mutated - every == set()
    assert excused - every == set()
    assert excused & mutated == set(), "these have a mutant by now"


def test_every_reason_is_one() -> None:
    assert all(len(entry.reason.split()) > 3 for entry in read_unmutated())


def test_no_two_mutants_have_one_name_and_each_says_its_defect() -> None:
    assert len(BY_NAME) == len(MUTANTS) >= 16
    assert all(mutant.defect.endswith(".") and mutant.caught for mutant in MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_the_changes_of_a_mutant_apply_and_leave_valid_code(mutant: Mutant, tmp_path: Path) -> None:
    copy = make_copy(tmp_path, mutant)
    for change in mutant.changes:
        text = (copy / "kernel" / change.file).read_text(encoding="utf-8")
        assert text != (ROOT / "kernel" / change.file).read_text(encoding="utf-8")
        compile(text, change.file, "exec")


@pytest.mark.parametrize(
    ("file", "replace"),
    [("refs.py", "a text that is nowhere"), ("config.py", "class "), ("no_such_module.py", "anything")],
    ids=["nowhere", "more-than-once", "no-such-file"],
)
def test_a_mutant_that_no_longer_applies_is_an_error_that_names_it(file: str, replace: str, tmp_path: Path) -> None:
    mutant = Mutant("left-behind", "None.", (Change(file, replace, ""),), ())
    with pytest.raises(StaleMutantError, match=f"'left-behind'(.|\n)*kernel/{file}(.|\n)*{replace}"):
        make_copy(tmp_path, mutant)


def test_the_bundled_suite_has_every_variant_that_catches_a_mutant(workplace: Path) -> None:
    status, output = suite(workplace, "--collect-only", "-q")
    assert status == 0, output
    items = {line.rpartition("::test_")[2] for line in output.splitlines() if "::test_" in line}
    assert {catch.variant.id for mutant in MUTANTS for catch in mutant.caught} - items == set()


@pytest.mark.parametrize(("name", "chosen", "check"), AS_A_USER_RUNS_IT, ids=[str(row[0]) for row in AS_A_USER_RUNS_IT])
def test_the_suite_as_a_user_runs_it_turns_red_on_a_mutant_and_on_nothing_else(
    name: str | None, chosen: str, check: str | None, workplace: Path
) -> None:
    copy = make_copy(workplace, None if name is None else BY_NAME[name])
    (workplace / "tampered.py").write_text(
        "from pytest_ocap.drivers.kernel import KernelDriver\n"
        f"driver = KernelDriver(env={{'PYTHONPATH': {str(copy)!r}}})\n"
    )
    report = workplace / "report.json"
    words = ("-k", chosen, "--ocap-driver", "tampered:driver", "--ocap-report", str(report))
    status, output = suite(workplace, *words, path=(workplace,))
    (verdict,) = json.loads(report.read_text())["scenarios"]
    failed = {found["id"] for found in verdict["checks"] if found["verdict"] == "failed"}
    if check is None:
        assert (status, verdict["verdict"], failed) == (0, "passed", set()), output
    else:
        assert (status, verdict["verdict"]) == (1, "failed"), output
        assert check in failed, output
