"""Tables in the documentation say what the code says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_every_generated_table_is_as_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_a_table_that_is_out_of_date_is_shown_as_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("docs.generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("before\n<!-- generated: error-codes -->\nold\n<!-- end of error-codes -->\nafter\n")
    monkeypatch.setattr(generate, "DOCS", page.parent)

    assert generate.main(["--check"]) == 1
    assert "old" in page.read_text()
    assert generate.main([]) == 0
    assert "`bundle-missing`" in page.read_text()
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")
    assert generate.main(["--check"]) == 0


def test_each_dependency_is_listed_with_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[>=;\[ ]", entry)[0]
        for entry in [*project["dependencies"], *(entry for extra in extras.values() for entry in extra)]
        if not entry.startswith(project["name"])
    }
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w-]+)` \|.*\| ([^|]+) \|$", page, re.MULTILINE))
    assert set(listed) == wanted
    assert all(len(reason.split()) > 3 for reason in listed.values())


def test_the_page_on_the_wire_protocol_names_every_method_with_its_parameters() -> None:
    from kernel.daemon.methods import METHODS

    page = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    described = {
        name: re.findall(r"`(\w+)`", parameters) for names, parameters in rows for name in re.findall(r"`(\w+)`", names)
    }
    assert {name: described.get(name) for name in METHODS} == {
        name: [param.name for param in method.params] for name, method in METHODS.items()
    }


def test_the_page_on_failpoints_names_every_phase() -> None:
    from kernel.daemon.failpoint import PHASES

    page = (ROOT / "docs" / "failpoints.md").read_text(encoding="utf-8")
    assert [phase for phase in PHASES if f"`{phase}`" not in page] == []


def test_the_page_on_exit_codes_has_every_code_that_an_error_can_give() -> None:
    from kernel.errors import OcapError

    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d) \|", page, re.MULTILINE)}
    assert listed == {0, *(kind.exit_code for kind in OcapError.by_code.values())}


def test_the_page_on_reports_names_every_form_and_every_property_of_junit() -> None:
    from pytest_ocap.report.outputs import OUTPUTS
    from pytest_ocap.report.transport import PROPERTIES
    from pytest_ocap.sweeps import summary

    page = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(ocap_\w+)` \|", page, re.MULTILINE) == [*PROPERTIES, *summary.PROPERTIES]
    assert [output.option for output in OUTPUTS if f"| `{output.option} " not in page] == []
