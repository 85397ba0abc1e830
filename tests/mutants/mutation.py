"""Mutants: our own kernel with one defect put back, as data, and what it takes to run a scenario against one.

The ``*.toml`` files beside this module hold them.  A ``[[mutant]]`` has a ``name``, one sentence on its ``defect``, its
``[[mutant.change]]`` (mostly one; more where several things stand against the defect): a ``file`` below ``kernel/`` and
the text to ``replace`` ``by`` another.  Each ``[[mutant.caught]]`` names a ``scenario`` with its ``variant`` (its
parameters, where they are not the defaults) and the ``checks`` that have to fail; ``patience`` is how many seconds the
harness then waits, where its own patience would make a hang slow to watch; ``blind`` says why those checks do not fail
yet.  ``unmutated.toml`` lists the checks that have no mutant, with the reasons.

Invariants: a text that does not occur exactly once is an error that names the mutant; a mutant and the kernel itself
are run in the same way, from a copy that says in its version what it is, and what the daemon logged is the proof of
what ran.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_ocap import processes
from pytest_ocap.drivers.kernel import KernelDriver
from pytest_ocap.examination import scenario_id
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.verdict import Finding

if TYPE_CHECKING:
    from pytest_ocap.verdict import Verdict

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UNMUTATED = "unmutated.toml"
CONTROL = "unchanged"
"""The name of the copy without a defect."""


class Change(NamedTuple):
    """A text of a file below ``kernel/``, and what stands in its place in the mutant."""

    file: str
    replace: str
    by: str


class Variant(NamedTuple):
    """A scenario with its parameters, and for how many seconds the harness is patient (None: as it always is)."""

    scenario: str
    parameters: tuple[tuple[str, Any], ...] = ()
    patience: float | None = None

    @property
    def id(self) -> str:
        """The name that the scenario gives its verdict."""
        return scenario_id(SCENARIOS[self.scenario], dict(self.parameters))

    def __str__(self) -> str:
        return self.id if self.patience is None else f"{self.id}-within-{self.patience:g}s"


class Catch(NamedTuple):
    """What turns red on a mutant: a variant, by these checks; or does not yet, because these are ``blind``."""

    variant: Variant
    checks: tuple[str, ...]
    blind: str | None = None


class Mutant(NamedTuple):
    """A kernel with one defect, and what turns red on it."""

    name: str
    defect: str
    changes: tuple[Change, ...]
    caught: tuple[Catch, ...]


class Unmutated(NamedTuple):
    """A check for which there is no mutant, and why not."""

    scenario: str
    id: str
    reason: str


class StaleMutantError(Exception):
    """The kernel has changed, and a mutant with it: it says which, and what to look for."""


def read_mutants() -> tuple[Mutant, ...]:
    """Read every mutant, in the order of the files' names.

    Raises:
        KeyError, TypeError: One is not of the form that the head of this module describes.
    """
    tables = [
        table
        for path in sorted(HERE.glob("*.toml"))
        if path.name != UNMUTATED
        for table in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    ]
    return tuple(_mutant(**table) for table in tables)


def read_unmutated() -> tuple[Unmutated, ...]:
    """Read which checks have no mutant."""
    return tuple(Unmutated(**table) for table in tomllib.loads((HERE / UNMUTATED).read_text(encoding="utf-8"))["check"])


def _mutant(name: str, defect: str, change: list[dict[str, str]], caught: list[dict[str, Any]]) -> Mutant:
    return Mutant(name, defect, tuple(Change(**table) for table in change), tuple(_caught(**table) for table in caught))


def _caught(
    scenario: str,
    checks: list[str],
    variant: dict[str, Any] | None = None,
    patience: float | None = None,
    blind: str | None = None,
) -> Catch:
    return Catch(Variant(scenario, tuple(sorted((variant or {}).items())), patience), tuple(checks), blind)


def make_copy(folder: Path, mutant: Mutant | None) -> Path:
    """Copy the package ``kernel`` into an empty folder and put the mutant's defect in; gives what belongs on the path.

    Raises:
        StaleMutantError: A text that the mutant changes is not there exactly once.
    """
    root = folder / "copy"
    package = root / "kernel"
    shutil.copytree(ROOT / "kernel", package)  # compiled code too: it is valid for files with these times
    for change in () if mutant is None else mutant.changes:
        assert mutant is not None
        path = package / change.file
        count = path.read_text(encoding="utf-8").count(change.replace) if path.is_file() else 0
        if count != 1:
            raise StaleMutantError(
                f"mutant {mutant.name!r} replaces a text that occurs {count} times in kernel/{change.file}, not once:\n"
                f"{change.replace}"
            )
        _write(path, path.read_text(encoding="utf-8").replace(change.replace, change.by))
    init = package / "__init__.py"
    _write(init, f"{init.read_text(encoding='utf-8')}\n__version__ = {_label(mutant)!r}\n")
    return root


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()  # else a text of the same length, written within the same second, would not be seen


def _label(mutant: Mutant | None) -> str:
    """Give the version of a copy: a digest, because the words of a name may be those that a check looks for."""
    name = CONTROL if mutant is None else mutant.name
    return f"0+x{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def examine(variant: Variant, mutant: Mutant | None, folder: Path) -> Verdict:
    """Run a scenario against a mutant, or against the kernel itself, in an empty folder with a short path.

    Raises:
        StaleMutantError: The mutant does not fit the kernel any more.
        AssertionError: What ran was not the copy.
    """
    driver = KernelDriver(env={"PYTHONPATH": str(make_copy(folder, mutant)), "TMPDIR": str(folder)})
    home = folder / "h"
    with pytest.MonkeyPatch.context() as patch:
        if variant.patience is not None:
            _shorten(patch, driver, variant.scenario, variant.patience)
        verdict = SCENARIOS[variant.scenario](driver, home, **dict(variant.parameters))
    assert versions(home) == {_label(mutant)}, f"other daemons ran than the copy's: {versions(home)}"
    return verdict


def _shorten(patch: pytest.MonkeyPatch, driver: KernelDriver, scenario: str, seconds: float) -> None:
    patch.setattr(driver, "start_timeout", seconds)
    module = sys.modules[SCENARIOS[scenario].body.__module__]
    for name, value in (("ANSWER_SECONDS", seconds), ("QUICK_SECONDS", seconds / 2)):
        if hasattr(module, name):
            patch.setattr(module, name, value)


def versions(home: Path) -> set[str]:
    """Give what the daemons that ran in a home have said that they are, as their log has it."""
    records = [json.loads(line) for line in (home / "daemon.log").read_text().splitlines() if line.startswith("{")]
    return {record["version"] for record in records if record.get("event") == "daemon.starting"}


def failed(verdict: Verdict) -> set[str]:
    """Give the names of the checks that failed; one that was not reached has not."""
    return {check.id for check in verdict.checks if check.verdict is Finding.FAILED}


def end_all(folder: Path) -> list[str]:
    """End what a mutant has left running in a folder, or from the copy in it, and say what that was."""
    return processes.end(folder)
