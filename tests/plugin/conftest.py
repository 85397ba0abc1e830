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

    def run(
        self,
        *words: str,
        driver: str | None = "little_driver:driver",
        without: tuple[str, ...] = ("cacheprovider", "randomly"),
    ) -> pytest.RunResult:
        chosen = ("--ocap-driver", driver) if driver else ()
        left_out = [word for name in without for word in ("-p", f"no:{name}")]
        return self.pytester.runpytest_subprocess("-p", "pytest_ocap", *left_out, *chosen, *words, timeout=120)

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
def homes_left(short_tmp: Path) -> Callable[[], set[Path]]:
    """Give a function that lists what the project's test processes have left in their temporary directory."""
    return lambda: set(short_tmp.iterdir())
