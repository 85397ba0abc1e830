"""The markers as pytest sees them: registered, and read from a test.

Invariant: a wrong argument is told at collection, by marker, argument, allowed values and the likeliest meaning.
What there is to register and to read stands in :mod:`pytest_ocap.marker_table`.  Light: imported by every run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from pytest_ocap.marker_table import MARKERS, PHASE, Marker, Parameter
from pytest_ocap.words import suggestion


class Wish(NamedTuple):
    """What one marker asks for on one test."""

    marker: Marker
    values: dict[str, Any]


def register(config: pytest.Config) -> None:
    """Register every marker with its full signature, for ``--markers`` and ``--strict-markers``."""
    for marker in MARKERS.values():
        checked = "; its contract is checked after the test" if marker.contract else ""
        config.addinivalue_line("markers", f"{marker.signature}: arranges {marker.arranges}{checked}.")


def wishes(item: pytest.Item) -> dict[str, Wish]:
    """Read a test's markers; the nearest of several of one name counts, as with pytest's own.

    Raises:
        pytest.UsageError: One of them has a wrong argument.
    """
    found: dict[str, Wish] = {}
    for mark in item.iter_markers():
        if mark.name in MARKERS and mark.name not in found:
            found[mark.name] = Wish(MARKERS[mark.name], read(MARKERS[mark.name], mark, item.nodeid))
    return found


def read(marker: Marker, mark: pytest.Mark, where: str) -> dict[str, Any]:
    """Bind and check a marker's arguments.

    Raises:
        pytest.UsageError: An argument is unknown, given twice, of the wrong kind or not among the allowed.
    """

    def wrong(problem: str) -> pytest.UsageError:
        return pytest.UsageError(f"{where}: @pytest.mark.{marker.name}: {problem} (signature: {marker.signature})")

    names = [parameter.name for parameter in marker.parameters]
    if len(mark.args) > len(names):
        raise wrong(f"takes at most {len(names)} arguments, got {len(mark.args)}")
    given = dict(zip(names, mark.args, strict=False))
    for key, value in mark.kwargs.items():
        if key in given:
            raise wrong(f"argument {key!r} is given twice")
        if key not in names:
            allowed = f"its arguments are {', '.join(names)}" if names else "it takes none"
            raise wrong(f"has no argument {key!r}; {allowed}{suggestion(key, names)}")
        given[key] = value
    values: dict[str, Any] = {}
    for parameter in marker.parameters:
        value = given.get(parameter.name, parameter.default)
        problem = _problem(parameter, value)
        if problem:
            raise wrong(f"{parameter.name}={value!r} {problem}")
        values[parameter.name] = value
    problem = marker.rule(values)
    if problem:
        raise wrong(problem)
    return values


def default_phase(phases: tuple[str, ...]) -> str:
    """Say which phase is meant where none is named: the one in the middle for a driver that has no ``restore``."""
    return PHASE if PHASE in phases or not phases else phases[len(phases) // 2]


def check_phase(wish: Wish, phases: tuple[str, ...], where: str) -> None:
    """Insist that a marker's phase is one of the driver's, which are known once the driver is.

    Raises:
        pytest.UsageError: It is not.
    """
    phase = wish.values.get("phase")
    if phase is not None and phases and phase not in phases:
        raise pytest.UsageError(
            f"{where}: @pytest.mark.{wish.marker.name}: phase={phase!r} is not one of {', '.join(map(repr, phases))}"
            f"{suggestion(phase, phases)} (signature: {wish.marker.signature})"
        )


def _problem(parameter: Parameter, value: Any) -> str | None:
    if isinstance(parameter.default, int):
        if not isinstance(value, int) or isinstance(value, bool):
            return "is not a whole number"
        if not parameter.least <= value <= parameter.most:
            return f"is not between {parameter.least} and {parameter.most}"
        return None
    if not isinstance(value, str):
        return "is not a string" + (f"; allowed: {', '.join(map(repr, parameter.words))}" if parameter.words else "")
    if parameter.words and value not in parameter.words:
        return f"is not one of {', '.join(map(repr, parameter.words))}{suggestion(value, parameter.words)}"
    return None
