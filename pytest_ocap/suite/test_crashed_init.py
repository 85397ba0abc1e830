"""A daemon killed or stopped in the middle of its start, in each phase that its driver names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ocap.markers import MARKERS, PHASE
from pytest_ocap.options import driver_of
from pytest_ocap.scenarios.crashed_init import TAKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOWS = MARKERS["crashed_init"].parameter("how").words


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item for each phase of the driver; one without phases has the item that is then skipped by name."""
    metafunc.parametrize(("how", "phase"), [_variant(how, phase) for how, phase in _variants(metafunc.config)])


def _variants(config: pytest.Config) -> Iterator[tuple[str, str]]:
    phases = tuple(driver_of(config).phases) or (PHASE,)
    # A hang costs its budget of patience, so it is looked at where daemons differ: as soon as the lock has to be held,
    # in the middle and at the end.
    late = [phase for phase in phases if phase not in TAKING] or phases[-1:]
    hangs = tuple(dict.fromkeys((late[0], PHASE if PHASE in phases else late[0], late[-1])))
    for how, chosen in zip(_HOWS, (phases, hangs), strict=True):
        yield from ((how, phase) for phase in chosen)


def _variant(how: str, phase: str) -> object:
    return pytest.param(how, phase, marks=pytest.mark.crashed_init(how=how, phase=phase), id=f"{how}-{phase}")


def test_crashed_init(how: str, phase: str) -> None:
    """The contract of ``crashed_init`` holds."""
