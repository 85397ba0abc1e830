"""The scenarios turn red on every mutant, on the check that names its defect, and stay green on the kernel itself.

In every run is, of each scenario, the first mutant that it has to catch; further trials are marked as slow.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from pytest_ocap.verdict import Finding
from tests.mutants.mutation import Catch, Mutant, Variant, examine, failed, read_mutants

MUTANTS = read_mutants()
VARIANTS = sorted({catch.variant for mutant in MUTANTS for catch in mutant.caught}, key=str)
SAMPLE = 1
"""How many mutants of each scenario are tried in every run."""


def sample() -> set[str]:
    """Give the names of the mutants that are tried in every run, where they have to be caught first."""
    of_scenario: defaultdict[str, list[str]] = defaultdict(list)
    for mutant in MUTANTS:
        of_scenario[mutant.caught[0].variant.scenario].append(mutant.name)
    return {name for names in of_scenario.values() for name in names[:SAMPLE]}


SAMPLED = sample()


def trial(mutant: Mutant, catch: Catch) -> object:
    marks = [] if mutant.name in SAMPLED and catch is mutant.caught[0] else [pytest.mark.slow]
    if catch.blind is not None:
        marks.append(pytest.mark.xfail(strict=True, reason=catch.blind))
    return pytest.param(mutant, catch, marks=marks, id=f"{mutant.name}-{catch.variant}")


@pytest.mark.parametrize(("mutant", "catch"), [trial(mutant, catch) for mutant in MUTANTS for catch in mutant.caught])
def test_a_mutant_is_caught_by_the_check_that_names_its_defect(mutant: Mutant, catch: Catch, workplace: Path) -> None:
    verdict = examine(catch.variant, mutant, workplace)
    assert verdict.verdict is Finding.FAILED, verdict.explain()
    assert set(catch.checks) <= failed(verdict), f"{mutant.defect}\n{verdict.explain()}"


@pytest.mark.slow  # the suite itself, which is run in every run, is most of it
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_kernel_itself_passes_where_its_mutants_fail(variant: Variant, workplace: Path) -> None:
    verdict = examine(variant, None, workplace)
    assert verdict.verdict is Finding.PASSED, verdict.explain()
