"""The recipes for continuous integration are what they say: valid for their service, with options that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "ci.md"
RECIPES = dict(re.findall(r"^```(?:yaml|ini) (\S+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """Give a folder with the files of the page."""
    for name, text in RECIPES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        (".github/workflows/ocap.yml", ["vendor.github-workflows"]),
        (".gitlab-ci.yml", ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
    ids=["github", "gitlab"],
)
def test_a_recipe_is_valid_for_its_service(recipes: Path, name: str, schema: list[str]) -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, name]
    done = subprocess.run(command, cwd=recipes, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_recipe_for_tox_has_the_environments_that_the_page_promises(recipes: Path) -> None:
    pytest.importorskip("tox")
    done = subprocess.run([sys.executable, "-m", "tox", "-l"], cwd=recipes, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["py311", "py313", "ocap-stable", "ocap-next"]


def test_every_option_on_the_page_exists() -> None:
    text = PAGE.read_text("utf-8")
    named = set(re.findall(r"--(?:ocap-[a-z-]+|junit-xml|pyargs|dist)\b", text))
    command = [sys.executable, "-m", "pytest", "-p", "pytest_ocap", "--help"]
    known = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PAGE.parents[1]).stdout
    assert {option for option in named if option not in known} == set()
    assert {"--ocap-report", "--ocap-html"} <= named
