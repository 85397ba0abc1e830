"""Sweeps turn red on every mutant of theirs, on the oracle that names its defect, and stay green on the kernel itself.

The ``sweeps/*.toml`` files hold the mutants, in the form that ``mutation.py`` explains, but for what catches them:
``cases`` is a pattern (as of a shell) for the cases of a sweep, of which a few are tried (of kills, some that are
spread over the whole run) until one fails the ``checks``.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_ocap.drivers.kernel import KernelDriver
from pytest_ocap.homes import Homes
from pytest_ocap.persisted import Templates
from pytest_ocap.sweeps.cases import KINDS, Case, most_telling_first
from pytest_ocap.sweeps.choosing import cuts_for, injector_for
from pytest_ocap.sweeps.oracles import ORACLES
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.trial import Result, Trials
from pytest_ocap.sweeps.workloads import WORKLOADS
from tests.mutants.mutation import ROOT, Change, Mutant, make_copy

FOLDER = Path(__file__).with_name("sweeps")
MOST = 40
"""How many cases are tried at most before a mutant counts as missed."""

LACKING = Supervisor().missing()


class Swept(NamedTuple):
    """A mutant, and what catches it."""

    mutant: Mutant
    cases: str
    checks: frozenset[str]


def read() -> list[Swept]:
    tables: list[dict[str, Any]] = []
    for path in sorted(FOLDER.glob("*.toml")):
        tables += tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return [
        Swept(
            Mutant(table["name"], table["defect"], tuple(Change(**change) for change in table["change"]), ()),
            caught["cases"],
            frozenset(caught["checks"]),
        )
        for table in tables
        for caught in table["caught"]
    ]


SWEPT = read()


@contextmanager
def trials(folder: Path, mutant: Mutant | None) -> Iterator[Trials]:
    driver = KernelDriver(env={"PYTHONPATH": str(make_copy(folder, mutant))})
    homes = Homes("mutants")
    found = Trials(driver, homes, Templates(homes), injector_for(driver), cuts_for())
    try:
        yield found
    finally:
        found.close()
        homes.close()


def chosen(trials: Trials, pattern: str) -> list[Case]:
    workload = WORKLOADS[pattern.partition(":")[0]]
    fault = pattern.rpartition("=")[2]
    kind = fault.partition("~")[0] if fault.partition("~")[0] in KINDS else "errno"
    trials.unharmed(workload)
    cases = [case for case in trials.cases(workload, [kind]) if fnmatch.fnmatchcase(case.id, pattern)]
    assert cases, f"no case is like {pattern}"
    telling = most_telling_first(cases)
    return telling[:: 1 + len(telling) // MOST] if kind == "kill" else telling[:MOST]


@pytest.mark.parametrize("swept", SWEPT, ids=[swept.mutant.name for swept in SWEPT])
def test_the_changes_of_a_mutant_of_sweeps_apply_and_leave_valid_code(swept: Swept, tmp_path: Path) -> None:
    copy = make_copy(tmp_path, swept.mutant)
    for change in swept.mutant.changes:
        text = (copy / "kernel" / change.file).read_text(encoding="utf-8")
        assert text != (ROOT / "kernel" / change.file).read_text(encoding="utf-8")
        compile(text, change.file, "exec")
    assert swept.checks <= ORACLES.keys()


@pytest.mark.slow
@pytest.mark.skipif(LACKING is not None, reason=str(LACKING))
@pytest.mark.parametrize("swept", SWEPT, ids=[swept.mutant.name for swept in SWEPT])
def test_a_mutant_is_caught_by_the_oracle_that_names_its_defect(swept: Swept, workplace: Path) -> None:
    with trials(workplace, swept.mutant) as tried:
        seen = []
        for case in chosen(tried, swept.cases):
            trial = tried.attempt(WORKLOADS[case.workload], case)
            seen.append(f"{case.id}: {trial.result} {trial.broken}")
            if swept.checks <= {check for check, _ in trial.broken}:
                return
    pytest.fail(f"{swept.mutant.defect} And yet:\n" + "\n".join(seen))


@pytest.mark.slow
@pytest.mark.skipif(LACKING is not None, reason=str(LACKING))
@pytest.mark.parametrize("pattern", sorted({swept.cases for swept in SWEPT}))
def test_the_kernel_itself_passes_where_its_mutants_fail(pattern: str, workplace: Path) -> None:
    with trials(workplace, None) as tried:
        for case in chosen(tried, pattern)[:3]:
            trial = tried.attempt(WORKLOADS[case.workload], case)
            assert trial.result in (Result.PASSED, Result.NOT_REACHED), trial.broken
