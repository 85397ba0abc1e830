"""Run pytest in a process of its own, on a project that tests the little daemon.

There are no plugins but ours, and xdist where it is used: to load all that are installed takes longer than most of
these tests.  Modules about how we get on with others use ``beside_others``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"


class Project:
    """A project in a folder of its own, whose tests are run by a pytest of its own."""

    def __init__(self, pytester: pytest.Pytester, patch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self._patch = patch
        self._alone = True
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(
        self,
        *words: str,
        driver: str | None = "little_driver:driver",
        without: tuple[str, ...] = ("cacheprovider", "randomly"),
    ) -> pytest.RunResult:
        chosen = ("--ocap-driver", driver) if driver else ()
        left_out = [word for name in without for word in ("-p", f"no:{name}")]
        return self.pytester.runpytest_subprocess(*self.plugins(words), *left_out, *chosen, *words, timeout=120)

    def plugins(self, words: Sequence[str]) -> tuple[str, ...]:
        """Give the words of a command line that load the plugins that its other words need."""
        spread = self._alone and any(word in ("-n", "--tx") or word.startswith("--tx=") for word in words)
        return ("-p", "pytest_ocap", *(("-p", "xdist") if spread else ()))

    def beside_others(self) -> None:
        """Load every plugin that is installed."""
        self._alone = False
        self._patch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")

    def report(self, *words: str) -> tuple[pytest.RunResult, dict[str, Any]]:
        result = self.run("--ocap-report", "report.json", *words)
        return result, self.written()

    def written(self) -> dict[str, Any]:
        """Give the report that the latest run wrote to ``report.json``."""
        data: dict[str, Any] = json.loads((self.pytester.path / "report.json").read_text())
        return data

    def verdicts(self) -> dict[str, str]:
        """Give each scenario's verdict in that report; each must be there once."""
        scenarios = self.written()["scenarios"]
        found = {entry["id"]: entry["verdict"] for entry in scenarios}
        assert len(found) == len(scenarios), scenarios
        return found

    def environment(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(name, value)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, short_tmp: Path) -> Project:
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(short_tmp))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(SUPPORT)]))
    return Project(pytester, monkeypatch)


@pytest.fixture
def beside_others(project: Project) -> None:
    """Let the project's runs load every plugin that is installed."""
    project.beside_others()


@pytest.fixture
def homes_left(short_tmp: Path) -> Callable[[], set[Path]]:
    """Give a function that lists what the project's test processes have left in their temporary directory."""
    return lambda: set(short_tmp.iterdir())
