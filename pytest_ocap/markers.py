"""The markers: their signatures, and what a test's markers ask for.

Invariant: a wrong argument is told at collection, by marker, argument, allowed values and the likeliest meaning.
These tables are the one place where the signatures stand; a test compares them with the scenarios' own.  Light:
imported by every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_ocap.options import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable


class Parameter(NamedTuple):
    """One argument of a marker: its default and, for words, those allowed; for numbers, the least and the most."""

    name: str
    default: str | int
    words: tuple[str, ...] = ()
    least: int = 0
    most: int = 0


class Marker(NamedTuple):
    """A marker: what it arranges, its arguments, and a rule between them."""

    name: str
    arranges: str
    parameters: tuple[Parameter, ...] = ()
    rule: Callable[[dict[str, Any]], str | None] = lambda _values: None
    contract: bool = True

    @property
    def signature(self) -> str:
        """The marker as its user writes it, with every default."""
        return f"{self.name}({', '.join(f'{p.name}={p.default!r}' for p in self.parameters)})"

    def parameter(self, name: str) -> Parameter:
        """Give the parameter of that name (KeyError when there is none)."""
        return {parameter.name: parameter for parameter in self.parameters}[name]


class Wish(NamedTuple):
    """What one marker asks for on one test."""

    marker: Marker
    values: dict[str, Any]


MOST_SUBCLUSTERS = 1000


def _not_more_missing(values: dict[str, Any]) -> str | None:
    if values["missing"] > values["subclusters"]:
        return f"missing={values['missing']} is more than subclusters={values['subclusters']}"
    return None


PHASE = "restore"
"""The phase in which a start is interrupted where none is named."""

MARKERS: dict[str, Marker] = {
    marker.name: marker
    for marker in (
        Marker(
            "missing_bundle",
            "a persisted store, then some of its bundles deleted, renamed, made a directory, truncated, or unreadable",
            (
                Parameter("subclusters", 3, least=1, most=MOST_SUBCLUSTERS),
                Parameter("missing", 1, least=1, most=MOST_SUBCLUSTERS),
                Parameter("how", "delete", ("delete", "rename", "directory", "truncate", "unreadable")),
            ),
            _not_more_missing,
        ),
        Marker(
            "bundle_fetch_error",
            "a bundle URL that cannot be fetched",
            (
                Parameter(
                    "how",
                    "missing",
                    (
                        "missing",
                        "directory",
                        "unreadable",
                        "dangling-link",
                        "link-loop",
                        "fifo",
                        "device",
                        "too-large",
                        "truncated",
                        "empty",
                        "not-a-bundle",
                    ),
                ),
            ),
        ),
        Marker(
            "legible_fatal",
            "a start that must fail",
            (
                Parameter(
                    "cause",
                    "store-corrupt",
                    (
                        "store-corrupt",
                        "store-foreign",
                        "store-newer",
                        "store-directory",
                        "log-directory",
                        "home-is-file",
                        "socket-path-too-long",
                    ),
                ),
            ),
        ),
        Marker(
            "crashed_init",
            "a daemon killed or stopped in the middle of its start",
            (Parameter("how", "kill", ("kill", "hang")), Parameter("phase", PHASE)),
        ),
        Marker("degraded_boot", "a store with exactly one missing bundle, and a daemon booted on it"),
        Marker(
            "stale_socket",
            "something else where the daemon's socket belongs",
            (Parameter("kind", "dead", ("dead", "file", "directory", "dangling", "live")),),
        ),
        Marker(
            "persisted_store",
            "a store with that many launched, answered and stopped subclusters",
            (Parameter("subclusters", 3, least=0, most=MOST_SUBCLUSTERS),),
            contract=False,
        ),
    )
}
"""The markers, by their names."""


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
