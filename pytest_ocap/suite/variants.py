"""The variants of a scenario as items: what every module of the suite is made with.

Invariant: an item is named as its verdict is: ``test_`` and the scenario's id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_ocap.examination import scenario_id
from pytest_ocap.marker_table import MARKERS
from pytest_ocap.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _pytest.mark import ParameterSet


def variants(scenario: str) -> pytest.MarkDecorator:
    """Make a function an item for each variant of a scenario, as the table of its marker has them."""
    (first, *more) = MARKERS[scenario].variants
    return parametrized(scenario, (first, *more)) if more else getattr(pytest.mark, scenario)(**first)


def parametrized(scenario: str, chosen: Iterable[Mapping[str, Any]]) -> pytest.MarkDecorator:
    """Make a function an item for each of the chosen arguments of a scenario's marker."""
    return pytest.mark.parametrize((), [_item(scenario, values) for values in chosen])


def _item(scenario: str, values: Mapping[str, Any]) -> ParameterSet:
    variant = scenario_id(SCENARIOS[scenario], values).removeprefix(scenario).strip("[]")
    return pytest.param(marks=getattr(pytest.mark, scenario)(**values), id=variant)
