"""Sweeps turn red on every mutant of theirs, on the oracle that names its defect, and stay green on the kernel itself.

A few mutants, one for each kind of fault, are tried in every run; the others are marked as slow.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ocap.sweeps.promises import ORACLES
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.trial import Result, Trial
from pytest_ocap.sweeps.workloads import WORKLOADS
from tests.mutants.mutation import ROOT, make_copy, read_mutants
from tests.mutants.sweeping import Swept, chosen, kind_of, read_swept, trials

SWEPT = read_swept()
LACKING = Supervisor().missing()
KINDS_OF_SAMPLES = ["errno", "hang", "kill", "powerloss", "short", "slow"]

intercepts = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


def sampled(swept: Swept) -> object:
    marks = () if swept.caught.sample else (pytest.mark.slow,)
    return pytest.param(swept, marks=marks, id=swept.mutant.name)


def said(tried: list[Trial]) -> str:
    return "\n".join(f"{trial.case.id}: {trial.result} {trial.broken}" for trial in tried)


def test_there_are_at_least_thirty_and_no_two_have_one_name() -> None:
    names = [swept.mutant.name for swept in SWEPT]
    assert len(set(names)) == len(names) >= 30
    assert not set(names) & {mutant.name for mutant in read_mutants() if mutant.name != "error-as-an-object-name"}
    assert all(swept.mutant.defect.endswith(".") for swept in SWEPT)


def test_each_kind_of_fault_has_one_that_is_tried_in_every_run() -> None:
    samples = [swept.caught for swept in SWEPT if swept.caught.sample]
    kinds = ["short" if caught.cases.endswith("=short") else kind_of(caught.cases) for caught in samples]
    assert sorted(kinds) == KINDS_OF_SAMPLES


def test_every_oracle_has_a_mutant() -> None:
    assert {check for swept in SWEPT for check in swept.caught.checks} == ORACLES.keys()


@pytest.mark.parametrize("swept", SWEPT, ids=[swept.mutant.name for swept in SWEPT])
def test_the_changes_of_a_mutant_of_sweeps_apply_and_leave_valid_code(swept: Swept, tmp_path: Path) -> None:
    copy = make_copy(tmp_path, swept.mutant)
    for change in swept.mutant.changes:
        text = (copy / "kernel" / change.file).read_text(encoding="utf-8")
        assert text != (ROOT / "kernel" / change.file).read_text(encoding="utf-8")
        compile(text, change.file, "exec")


@intercepts
@pytest.mark.parametrize("swept", [sampled(swept) for swept in SWEPT])
def test_a_mutant_is_caught_by_the_oracle_that_names_its_defect_and_by_no_other(swept: Swept, workplace: Path) -> None:
    with trials(workplace, swept.mutant, swept.caught) as there:
        tried: list[Trial] = []
        for case in chosen(there, swept.caught.cases):
            tried.append(there.attempt(WORKLOADS[case.workload], case))
            if tried[-1].result in (Result.FAILED, Result.HARNESS_BROKEN):
                break
    failed = tuple(check for check, _ in tried[-1].broken)
    assert sorted(failed) == sorted(swept.caught.checks), f"{swept.mutant.defect} And yet:\n{said(tried)}"


@intercepts
@pytest.mark.parametrize("swept", [sampled(swept) for swept in SWEPT])
def test_the_kernel_itself_passes_where_its_mutant_fails(swept: Swept, workplace: Path) -> None:
    with trials(workplace, None, swept.caught) as there:
        tried = [there.attempt(WORKLOADS[case.workload], case) for case in chosen(there, swept.caught.cases)[:3]]
    assert {trial.result for trial in tried} <= {Result.PASSED, Result.NOT_REACHED}, said(tried)
