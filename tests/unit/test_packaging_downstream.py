"""A stranger's project, on the built wheel, in an environment and a folder that have nothing else of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.downstream, pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], folder)
    (built,) = folder.glob("pytest_ocap-*.whl")
    return built


@pytest.fixture(scope="module")
def stranger(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of commands of an environment with the wheel, and what it asks for, and nothing more."""
    folder = tmp_path_factory.mktemp("stranger")
    venv.create(folder, with_pip=True)
    _run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", str(wheel)], folder)
    return folder / "bin"


def test_the_wheel_holds_both_packages_typed_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"kernel", "pytest_ocap"}
    assert {"kernel/py.typed", "pytest_ocap/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_a_strangers_project_passes_on_the_wheel(stranger: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "downstream", project, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    done = _run([str(stranger / "pytest"), "-p", "no:cacheprovider"], project)
    assert " passed" in done.stdout
    assert "failed" not in done.stdout


@pytest.mark.parametrize(
    ("words", "autoload"),
    [
        pytest.param([], True, id="as it is"),
        pytest.param(["-p", "pytest_ocap"], True, id="named as well"),
        pytest.param(["-p", "pytest_ocap"], False, id="named, plugin autoload off"),
        pytest.param(["--strict-markers", "--strict-config"], True, id="strict"),
    ],
)
def test_the_suite_runs_on_the_wheel_from_an_empty_folder(
    stranger: Path, tmp_path: Path, words: list[str], autoload: bool
) -> None:
    suite = ["-p", "no:cacheprovider", "--pyargs", "pytest_ocap.suite", "-k", "degraded_boot"]
    more = {} if autoload else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    assert "1 passed" in _run([str(stranger / "pytest"), *suite, *words], tmp_path, **more).stdout


def test_the_plugin_can_be_turned_off(stranger: Path, tmp_path: Path) -> None:
    words = ["-p", "no:cacheprovider", "-p", "no:pytest_ocap", "--fixtures"]
    assert "ocap_daemon" not in _run([str(stranger / "pytest"), *words], tmp_path).stdout


def test_the_command_is_installed(stranger: Path, tmp_path: Path) -> None:
    assert _run([str(stranger / "ocap"), "--version"], tmp_path).stdout.startswith("ocap ")


def test_an_unrelated_project_sees_nothing_of_the_plugin(stranger: Path, tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing() -> None: ...\n")
    done = _run([str(stranger / "pytest"), "-p", "no:cacheprovider", "--strict-markers", "-q", "--no-header"], tmp_path)
    assert "ocap" not in done.stdout


def _run(command: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON", "COV"))
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done
