"""The tables agree: markers with scenarios, declared checks with those made, capabilities with their use."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_ocap
from pytest_ocap.arrangements import ARRANGEMENTS
from pytest_ocap.driver import Capability
from pytest_ocap.editions import EDITIONS
from pytest_ocap.faults.bundles import BUNDLE_FAULTS
from pytest_ocap.faults.sockets import SOCKET_FAULTS
from pytest_ocap.faults.startup import START_FAULTS
from pytest_ocap.marker_table import MARKERS
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.scenarios.bundle_fetch_error import fault_of

PACKAGE = Path(pytest_ocap.__file__).parent
SOURCE = {path: path.read_text() for path in PACKAGE.rglob("*.py")}

_PAGE = (PACKAGE.parent / "docs" / "drivers.md").read_text().partition("## Capabilities\n")[2].partition("\n## ")[0]
DOCUMENTED = re.findall(r"^\| `([\w-]+)` \|", _PAGE, re.MULTILINE)
"""The capabilities that the page on drivers names, once in each of its two tables."""


def test_every_marker_with_a_contract_has_its_scenario_its_arrangement_and_its_suite() -> None:
    names = {marker.name for marker in MARKERS.values() if marker.contract}
    assert set(SCENARIOS) == set(ARRANGEMENTS) == names
    assert {path.stem for path in (PACKAGE / "scenarios").glob("*.py")} - {"__init__", "contracts"} == names
    assert {path.stem.removeprefix("test_") for path in (PACKAGE / "suite").glob("test_*.py")} == names


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_found_by_its_name(name: str) -> None:
    assert SCENARIOS[name].name == name


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_marker_has_the_arguments_and_defaults_of_its_scenario(name: str) -> None:
    defaults = {
        key: value
        for key, value in (SCENARIOS[name].body.__kwdefaults__ or {}).items()
        if key not in ("store", "running")
    }
    assert {parameter.name: parameter.default for parameter in MARKERS[name].parameters} == defaults


def test_the_words_of_markers_are_the_faults_that_exist() -> None:
    assert MARKERS["legible_fatal"].parameter("cause").words == tuple(START_FAULTS)
    assert MARKERS["stale_socket"].parameter("kind").words == tuple(SOCKET_FAULTS)
    assert set(MARKERS["missing_bundle"].parameter("how").words) < set(BUNDLE_FAULTS)
    for how in MARKERS["bundle_fetch_error"].parameter("how").words:
        assert fault_of(how, Path("x.bundle")).id in BUNDLE_FAULTS


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_makes_the_checks_that_it_declares(name: str) -> None:
    source = SOURCE[PACKAGE / "scenarios" / f"{name}.py"] + SOURCE[PACKAGE / "scenarios" / "contracts.py"]
    for check in SCENARIOS[name].checks:
        assert len(re.findall(rf'"{re.escape(check)}"', source)) >= 2, f"{check} is declared and not made"


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_says_its_edition_and_what_each_check_requires(name: str) -> None:
    assert SCENARIOS[name].edition in EDITIONS
    for check, expected in SCENARIOS[name].checks.items():
        assert len(expected.split()) >= 3, f"{check}: {expected!r} says nothing"
        assert expected[0].islower(), f"{check}: {expected!r} is shown in the middle of a line"
        assert not expected.endswith("."), f"{check}: {expected!r} is shown in the middle of a line"


@pytest.mark.parametrize("capability", Capability)
def test_every_capability_is_explained_documented_and_asked_for(capability: Capability) -> None:
    driver = SOURCE[PACKAGE / "driver.py"]
    assert re.search(rf'    {capability.name} = "{capability}"\n    """', driver), "it has its docstring"
    assert DOCUMENTED.count(capability) == 2, "what it is, and how it is described"
    judging = [path for path in SOURCE if path.parent.name in ("scenarios", "faults", "sweeps")]
    assert any(f"Capability.{capability.name}" in SOURCE[path] for path in judging), "somebody asks for it"


def test_every_capability_that_a_page_or_a_scenario_names_exists() -> None:
    assert set(DOCUMENTED) == {str(capability) for capability in Capability}
    for scenario in SCENARIOS.values():
        assert scenario.needs <= set(Capability)


def test_scenarios_run_without_pytest() -> None:
    program = "import sys, pytest_ocap.scenarios, pytest_ocap.drivers.kernel; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PACKAGE.parent)


def test_scenarios_and_faults_know_neither_a_driver_nor_pytest() -> None:
    for path, text in SOURCE.items():
        if path.parent.name in ("scenarios", "faults"):
            assert not re.search(
                r"^\s*(?:from|import) (?:pytest\b(?!_ocap)|kernel|pytest_ocap\.drivers)", text, re.MULTILINE
            ), path
