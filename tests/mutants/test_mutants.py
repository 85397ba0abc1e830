"""The scenarios turn red on every mutant, on the check that names its defect, and stay green on the kernel itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ocap.verdict import Finding
from tests.mutants.mutation import Catch, Mutant, Variant, examine, failed, read_mutants

TRIALS = [(mutant, catch) for mutant in read_mutants() for catch in mutant.caught]
VARIANTS = sorted({catch.variant for _, catch in TRIALS}, key=str)


def trial(mutant: Mutant, catch: Catch) -> object:
    marks = [] if catch.blind is None else [pytest.mark.xfail(strict=True, reason=catch.blind)]
    return pytest.param(mutant, catch, marks=marks, id=f"{mutant.name}-{catch.variant}")


@pytest.mark.parametrize(("mutant", "catch"), [trial(*pair) for pair in TRIALS])
def test_a_mutant_is_caught_by_the_check_that_names_its_defect(mutant: Mutant, catch: Catch, workplace: Path) -> None:
    verdict = examine(catch.variant, mutant, workplace)
    assert verdict.verdict is Finding.FAILED, verdict.explain()
    assert set(catch.checks) <= failed(verdict), f"{mutant.defect}\n{verdict.explain()}"


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_kernel_itself_passes_where_its_mutants_fail(variant: Variant, workplace: Path) -> None:
    verdict = examine(variant, None, workplace)
    assert verdict.verdict is Finding.PASSED, verdict.explain()
