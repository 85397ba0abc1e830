"""A daemon killed or stopped in the middle of its start, in each phase that its driver names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap.marker_table import MARKERS, PHASE
from pytest_ocap.options import driver_of
from pytest_ocap.scenarios.crashed_init import TAKING
from pytest_ocap.suite.variants import parametrized

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

_HOWS = MARKERS["crashed_init"].parameter("how").words


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item for each phase of the driver; one without phases has the item that is then skipped by name."""
    chosen = [{"how": how, "phase": phase} for how, phase in _variants(metafunc.config)]
    mark = parametrized("crashed_init", chosen).mark
    metafunc.parametrize(*mark.args, **mark.kwargs)


def _variants(config: pytest.Config) -> Iterator[tuple[str, str]]:
    phases = tuple(driver_of(config).phases) or (PHASE,)
    # A hang costs its budget of patience, so it is looked at where daemons differ: as soon as the lock has to be held,
    # in the middle and at the end.
    late = [phase for phase in phases if phase not in TAKING] or phases[-1:]
    hangs = tuple(dict.fromkeys((late[0], PHASE if PHASE in phases else late[0], late[-1])))
    for how, chosen in zip(_HOWS, (phases, hangs), strict=True):
        yield from ((how, phase) for phase in chosen)


def test_crashed_init() -> None:
    """The contract of ``crashed_init`` holds."""
