"""Mutants of sweeps, as data, and what it takes to try a case of a sweep on one.

The ``sweeps/*.toml`` files hold them, in the form that ``mutation.py`` explains, but for what catches them.  The one
``[mutant.caught]`` of each has ``cases``, the name of a case or a pattern (as of a shell) of names, of which a few are
tried until one fails, and the ``checks`` that it has to fail: those, and no other.  ``mended`` says what the oracles
lacked when the defect was tried first, and is left out where they lacked nothing.  ``patience`` is for how many seconds
a client of a start waits, where its own patience would make a hang slow to watch; ``sample`` has the trial made in
every run of the tests.

Invariant: a mutant and the kernel itself are tried in the same way, from copies.
"""

from __future__ import annotations

import fnmatch
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_ocap.drivers.kernel import KernelDriver
from pytest_ocap.homes import Homes
from pytest_ocap.persisted import Templates
from pytest_ocap.sweeps.cases import Case
from pytest_ocap.sweeps.choosing import cuts_for, injector_for
from pytest_ocap.sweeps.kinds import KINDS
from pytest_ocap.sweeps.representatives import most_telling_first
from pytest_ocap.sweeps.running import named
from pytest_ocap.sweeps.trial import Trials
from pytest_ocap.sweeps.workloads import WORKLOADS
from tests.mutants.mutation import Change, Mutant, make_copy

if TYPE_CHECKING:
    from collections.abc import Iterator


FOLDER = Path(__file__).with_name("sweeps")
MOST = 40
"""How many cases are tried at most before a mutant counts as missed."""


class Caught(NamedTuple):
    """What turns red on a mutant; see the head of this module."""

    cases: str
    checks: tuple[str, ...]
    mended: str | None = None
    patience: float | None = None
    sample: bool = False


class Swept(NamedTuple):
    """A mutant, and what catches it."""

    mutant: Mutant
    caught: Caught


def read_swept() -> tuple[Swept, ...]:
    """Read every mutant of sweeps, in the order of the files' names.

    Raises:
        KeyError, TypeError: One is not of the form that the head of this module describes.
    """
    tables = [
        table
        for path in sorted(FOLDER.glob("*.toml"))
        for table in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    ]
    return tuple(_swept(**table) for table in tables)


def _swept(name: str, defect: str, change: list[dict[str, str]], caught: dict[str, Any]) -> Swept:
    mutant = Mutant(name, defect, tuple(Change(**table) for table in change), ())
    return Swept(mutant, Caught(**{**caught, "checks": tuple(caught["checks"])}))


@contextmanager
def trials(folder: Path, mutant: Mutant | None, caught: Caught) -> Iterator[Trials]:
    """Give what tries cases on a mutant, or on the kernel itself, in an empty folder with a short path."""
    env = {"PYTHONPATH": str(make_copy(folder, mutant)), "TMPDIR": str(folder)}
    driver = KernelDriver(env=env)
    if caught.patience is not None:
        driver.start_timeout = caught.patience
    homes = Homes("mutants")
    found = Trials(driver, homes, Templates(homes), injector_for(driver), cuts_for())
    try:
        yield found
    finally:
        found.close()
        homes.close()


def chosen(trials: Trials, pattern: str) -> list[Case]:
    """Run a workload unharmed, record it, and give the cases that are like the pattern, the most telling first."""
    workload = WORKLOADS[pattern.partition(":")[0]]
    trials.unharmed(workload)
    cases = trials.cases(workload, [kind_of(pattern)], asked=True)
    found = named(pattern, cases) or [case for case in cases if fnmatch.fnmatchcase(case.id, pattern)]
    assert found, f"no case is like {pattern}"
    telling = most_telling_first(found)
    if kind_of(pattern) == "powerloss":
        return telling[:MOST]
    return telling[:: 1 + len(telling) // MOST]  # spread over the whole run


def kind_of(pattern: str) -> str:
    """Say of which kind the fault of a case, or of a pattern, is."""
    fault = pattern.partition("=")[2]
    word = fault.partition("~")[0].partition("=")[0].removesuffix("-after")
    return word if word in KINDS else "errno"
