"""Expectations: the checks of a daemon that are known not to pass, each with its reason, in one file for each driver.

Invariant: a file is read whole or refused whole, and everything that is wrong with it is named at once, with its line.
Nothing is declared without a reason.  Knows scenarios and verdicts, and nothing of pytest.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_ocap.examination import scenario_id
from pytest_ocap.marker_table import MARKERS
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.toml_lines import NotEditableError, edited, places, value
from pytest_ocap.verdict import Declared, Finding
from pytest_ocap.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.verdict import Verdict

DRIVER_KEY = "driver"

FIRED = "fired"
"""The check by which every scenario says that its fault was in force; it may be declared like the others."""

UNDECLARABLE = frozenset({"harness", "baseline", "interrupted", "test-worker", "contract"})
"""What is said of the harness, or of a daemon with which nothing is wrong: always red, and never declared."""

HEAD = """\
# Checks of this driver that are known not to pass, each with its reason: a run stays green as long as they fail, and
# turns red when one of them passes, until its line is removed.  Kept by --ocap-expect-update; comments are yours.
driver = {driver}
"""


class ExpectationsError(ValueError):
    """Something is wrong with the file; the message names all of it."""


@dataclass(frozen=True)
class Expectations:
    """What is declared, and where.

    Attributes:
        path: The file, whether it is there or not.
        driver: The driver that it is about.
        entries: For each scenario (with its variant) the checks that are declared, each with its reason.
        lines: The line of each of them, where it is known.
        text: The whole file; ``""`` when there is none.
    """

    path: Path
    driver: str
    entries: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)
    text: str = ""

    def of(self, verdict: Verdict) -> Declared | None:
        """Say what is declared of the scenario of a verdict, and what of that is out of date by it."""
        entries = self.entries.get(verdict.id)
        return Declared(entries, _mended(verdict, entries)) if entries else None

    def taken_up(self, verdict: Verdict) -> Declared | None:
        """Say what is declared once the file has been brought up to date with a verdict; new entries have no reason."""
        entries = dict(self.entries.get(verdict.id, {}))
        for check in _mended(verdict, entries):
            del entries[check]
        if not verdict.new and verdict.verdict in (Finding.FAILED, Finding.NOT_MEASURED):
            declarable = (*SCENARIOS[verdict.scenario].checks, FIRED)
            entries |= dict.fromkeys(
                (check.id for check in verdict.undeclared if check.id in declarable and check.id not in entries), ""
            )
        return Declared(entries) if entries else None

    def place(self, scenario: str, check: str) -> str:
        """Name the file, with the line in which a check is declared when that is known."""
        line = self.lines.get((scenario, check))
        return self.path.name if line is None else f"{self.path.name}:{line}"

    def updated(self, verdicts: Sequence[Verdict]) -> Update:
        """Bring the file up to date with what a run declares; scenarios that did not run stay as they are.

        Raises:
            ExpectationsError: The file has to be changed by hand.
        """
        after = {name: dict(entries) for name, entries in self.entries.items()}
        ran = {verdict.id for verdict in verdicts}
        for name in ran:
            after[name] = {}
        for verdict in sorted(verdicts, key=lambda verdict: verdict.id):
            after[verdict.id] |= {} if verdict.declared is None else verdict.declared.checks
        for name in ran:  # in the order that they have
            after[name] = {
                key: after[name][key] for key in (*self.entries.get(name, {}), *after[name]) if key in after[name]
            }
        text = self.text or HEAD.format(driver=value(self.driver))
        try:
            result = edited(text, self.entries, after)
        except NotEditableError as error:
            raise ExpectationsError(f"{self.path}: {error}; it has to be mended by hand") from error
        before, now = set(_pairs(self.entries)), set(_pairs(after))
        changed = before != now
        return Update(result if changed else self.text, len(now - before), len(before - now))


@dataclass(frozen=True)
class Update:
    """A file brought up to date: its text, and how many checks were added to it and removed from it."""

    text: str
    added: int
    removed: int


def read(path: Path, driver: KernelDriver, *, lenient: bool = False) -> Expectations:
    """Read a file, which need not be there.

    Args:
        path: Where it is.
        driver: The driver of this run.
        lenient: Entries without a reason are accepted.

    Raises:
        ExpectationsError: Something is wrong with it.
    """
    if not path.is_file():
        return Expectations(path, driver.name)
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExpectationsError(f"{path}: {error}") from error
    lines = {(place.table, place.key): place.first for place in places(text)}
    problems = list(_problems(data, driver, lenient=lenient))
    if problems:
        named = [(lines.get(where), problem) for where, problem in problems]
        raise ExpectationsError("\n".join(f"{path}{f':{line}' if line else ''}: {problem}" for line, problem in named))
    entries = {name: dict(checks) for name, checks in data.items() if name != DRIVER_KEY}
    return Expectations(path, driver.name, entries, lines, text)


def _problems(data: Mapping[str, Any], driver: KernelDriver, *, lenient: bool) -> Iterator[tuple[tuple[str, str], str]]:
    """Give everything that is wrong, each with the table and the key of which it is."""
    if data.get(DRIVER_KEY, driver.name) != driver.name:
        yield ("", DRIVER_KEY), f"it is about the driver {data[DRIVER_KEY]!r}, and this run's is {driver.name!r}"
    for name, checks in data.items():
        if name == DRIVER_KEY:
            continue
        if not isinstance(checks, dict):
            yield ("", name), f"{name!r} is no table of a scenario, and no setting; known: {DRIVER_KEY}"
            continue
        unknown = _unknown(name, driver.phases)
        if unknown:
            yield (name, ""), unknown
            continue
        known = (*SCENARIOS[name.partition("[")[0]].checks, FIRED)
        for check, reason in checks.items():
            if check not in known:
                told = "is the harness's own, and cannot be declared" if check in UNDECLARABLE else "does not exist"
                yield (name, check), f"{name}: the check {check!r} {told}{suggestion(check, known)}"
            elif not isinstance(reason, str) or not (reason.strip() or lenient):
                yield (name, check), f"{name}: the check {check!r} is declared without a reason"


def _unknown(name: str, phases: Sequence[str]) -> str | None:
    """Say that there is no such scenario, or no such variant of it; ``None`` when there is."""
    scenario, bracket, variant = name.partition("[")
    if scenario not in SCENARIOS:
        return f"there is no scenario {scenario!r}{suggestion(scenario, SCENARIOS)}"
    known = variants(scenario, phases)
    numbers = [parameter.name for parameter in MARKERS[scenario].parameters if isinstance(parameter.default, int)]
    words = re.sub(rf"-?\b(?:{'|'.join(numbers) or '(?!)'})=\d+", "", variant.removesuffix("]"))
    if (bracket and not variant.endswith("]")) or (f"{scenario}[{words}]" if words else scenario) not in known:
        return f"the scenario {scenario!r} has no variant {name!r}{suggestion(name, known)}"
    return None


def variants(scenario: str, phases: Sequence[str]) -> tuple[str, ...]:
    """Give the ids of a scenario with each combination of the words of its arguments, and every number the default."""
    words = {
        parameter.name: parameter.words or tuple(phases) or (parameter.default,)
        for parameter in MARKERS[scenario].parameters
        if isinstance(parameter.default, str)
    }
    chosen = (dict(zip(words, values, strict=True)) for values in itertools.product(*words.values()))
    return tuple(scenario_id(SCENARIOS[scenario], values) for values in chosen)


def _mended(verdict: Verdict, entries: Iterable[str]) -> tuple[str, ...]:
    """Give the declared checks that passed after all, or that are not made (any more) although all was measured."""
    if verdict.verdict in (Finding.UNSUPPORTED, Finding.HARNESS_BROKEN):
        return ()
    found = {check.id: check.verdict for check in verdict.checks}
    measured = verdict.verdict in (Finding.PASSED, Finding.FAILED)
    return tuple(check for check in entries if found.get(check) is Finding.PASSED or (measured and check not in found))


def _pairs(entries: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    return ((name, check) for name, checks in entries.items() for check in checks)
