"""Run pytest in a process of its own, on a project that tests the little daemon."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"


class Project:
    """A project in a folder of its own, whose tests are run by a pytest of its own."""

    def __init__(self, pytester: pytest.Pytester, patch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self._patch = patch

    def run(self, *words: str, driver: str | None = "little_driver:driver") -> pytest.RunResult:
        chosen = ("--ocap-driver", driver) if driver else ()
        return self.pytester.runpytest_subprocess(
            "-p", "pytest_ocap", "-p", "no:cacheprovider", "-p", "no:randomly", *chosen, *words, timeout=120
        )

    def report(self, *words: str) -> tuple[pytest.RunResult, dict[str, Any]]:
        result = self.run("--ocap-report", "report.json", *words)
        data: dict[str, Any] = json.loads((self.pytester.path / "report.json").read_text())
        return result, data

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
def homes_left(short_tmp: Path) -> Callable[[], set[Path]]:
    """Give a function that lists what the project's test processes have left in their temporary directory."""
    return lambda: set(short_tmp.iterdir())
