"""What each command imports: start-up time is a feature, and a set of modules does not depend on the machine's mood."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kernel

ROOT = Path(kernel.__file__).parent.parent

HEAVY = {
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "email",
    "http.client",
    "importlib.metadata",
    "importlib.resources",
    "inspect",
    "logging",
    "pathlib",
    "pytest",
    "rich",
    "shtab",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "typing",
    "typing_extensions",
    "unittest",
    "urllib.parse",
    "urllib.request",
}
GROUND = {"errors", "records", "sockets", "timestamps"}

_PROBE = """\
import json, sys
before = set(sys.modules)
from kernel.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)
"""


def imported(*words: str) -> set[str]:
    """Give the modules that a command imports, in an interpreter that has not been given any by its site packages."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _PROBE, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["daemon", "start", "--help"], ["daemon", "strat"]])
def test_help_imports_only_the_grammar(words: list[str]) -> None:
    modules = imported(*words)

    assert not modules & HEAVY
    ours = {name for name in modules if name.startswith("kernel.")}
    assert ours <= {
        "kernel.errors",
        "kernel.errors.base",
        "kernel.errors.of_daemon",
        "kernel.errors.of_kernel",
        "kernel.cli",
        "kernel.cli.app",
        "kernel.cli.arguments",
        "kernel.cli.failure",
        "kernel.cli.logtext",
        "kernel.cli.output",
        "kernel.cli.parser",
        "kernel.cli.parser_daemon",
        "kernel.cli.parser_subcluster",
    }


@pytest.mark.parametrize("command", ["status", "stop", "logs"])
def test_asking_for_the_daemon_imports_neither_engine_nor_store(command: str, short_tmp: Path) -> None:
    modules = imported("--home", str(short_tmp / "h"), "daemon", command)

    assert not modules & HEAVY
    layers = {name.split(".")[1] for name in modules if name.startswith("kernel.")}
    assert layers <= {"cli", "daemon", *GROUND}


def test_starting_and_asking_a_daemon_import_neither_engine_nor_store(short_tmp: Path) -> None:
    home = str(short_tmp / "h")
    try:
        for words in (["daemon", "start"], ["daemon", "start"], ["daemon", "status", "--json"], ["subcluster", "list"]):
            modules = imported("--home", home, *words)
            assert not modules & HEAVY
            layers = {name.split(".")[1] for name in modules if name.startswith("kernel.")}
            assert layers <= {"cli", "daemon", *GROUND}
    finally:
        imported("--home", home, "daemon", "stop")


def test_making_a_bundle_imports_nothing_of_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "vat.py").write_text("def build_root_object(vat_powers, parameters, baggage):\n    return None\n")

    modules = imported("bundle", str(tmp_path / "vat.py"), "-o", str(tmp_path / "vat.bundle"))

    assert not any(name.startswith(("kernel.daemon", "kernel.engine", "kernel.store")) for name in modules)
    assert "rich" not in modules
