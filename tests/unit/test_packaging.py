"""What the distribution promises to those who install it."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import kernel

ROOT = Path(__file__).parents[2]

HEAVY = (
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "inspect",
    "logging",
    "pathlib",
    "rich",
    "subprocess",
    "urllib",
)
"""Each costs more to import than the rest of the daemon; whoever needs one imports it in the function that does."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return settings


def test_the_version_is_written_once(project: dict[str, Any]) -> None:
    assert "version" in project["project"]["dynamic"]
    assert (ROOT / project["tool"]["hatch"]["version"]["path"]) == Path(kernel.__file__)
    assert kernel.__version__.count(".") == 2


def test_the_command_and_the_plugin_are_where_the_entry_points_say(project: dict[str, Any]) -> None:
    module, _, function = project["project"]["scripts"]["ocap"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    (plugin,) = project["project"]["entry-points"]["pytest11"].values()
    assert importlib.import_module(plugin).__name__ == plugin


def test_both_packages_say_that_they_are_typed(project: dict[str, Any]) -> None:
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert (ROOT / package / "py.typed").is_file()


def test_what_is_needed_only_on_linux_is_asked_for_only_there(project: dict[str, Any]) -> None:
    (entry,) = [entry for entry in project["project"]["dependencies"] if entry.startswith("pyseccomp")]
    assert entry.endswith("sys_platform == 'linux'")


def test_the_oldest_releases_that_are_tried_are_the_oldest_that_are_allowed(project: dict[str, Any]) -> None:
    more = project["project"]["optional-dependencies"]
    allowed = [*project["project"]["dependencies"], *more["test"], *more["interplay"]]
    floors = [re.sub(r"\s*;.*", "", entry).replace(">=", "==") for entry in allowed]
    tried = [line for line in (ROOT / ".ci" / "oldest.txt").read_text().splitlines() if not line.startswith("#")]
    assert tried == floors


@pytest.mark.parametrize(
    "module", ["kernel.cli", "kernel.daemon.ensure", "kernel.daemon.client", "kernel.daemon.__main__"]
)
def test_starting_imports_nothing_heavy(module: str) -> None:
    script = (
        f"import sys; before = set(sys.modules); import {module}; "
        f"print(*sorted({set(HEAVY)!r} & (set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


def test_no_file_of_the_project_is_named_for_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a clone: git does not know this folder")
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    found = [
        name for name in names if b"/root/" in (ROOT / name).read_bytes() and name != "tests/unit/test_packaging.py"
    ]
    assert found == []
