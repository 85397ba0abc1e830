"""What vats may import is held as byte code, and is to each of them what it is to any other program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from workerbench import Bench

from kernel.vat.modules import ALLOWED
from kernel.workers.held import HELD, HeldModules

ROOT = Path(__file__).parents[2]

AS_IN_THE_TEMPLATE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import kernel.workers.template
from kernel.vat.modules import preload
from kernel.workers.held import HeldModules, import_extensions
held = HeldModules()
sys.meta_path.insert(0, held)
import_extensions()
preload(but=held)
before = set(sys.modules)
preload()
loaders = {name: type(sys.modules[name].__spec__.loader).__name__ for name in set(sys.modules) - before}
print(json.dumps(loaders))
"""


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def loaders(**environment: str) -> dict[str, str]:
    """Give what the template leaves to be imported when it is needed, and by which loader each comes then."""
    words = (sys.executable, "-S", "-s", "-P", "-X", "utf8", "-c", AS_IN_THE_TEMPLATE, str(ROOT))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    run = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60, env={**clean, **environment})
    found: dict[str, str] = json.loads(run.stdout)
    return found


def names_in(module: ModuleType) -> list[str]:
    """Give the names in a module but those of its submodules, of which somebody may have imported more."""
    return [name for name in dir(module) if not isinstance(getattr(module, name), ModuleType)]


def test_what_is_left_for_later_needs_no_file() -> None:
    found = loaders()
    assert set(found.values()) == {"HeldModules"}
    assert {"dataclasses", "datetime", "decimal", "inspect", "statistics"} <= set(found)


def test_without_byte_code_everything_is_imported_at_once(tmp_path: Path) -> None:
    assert loaders(PYTHONPYCACHEPREFIX=str(tmp_path), PYTHONDONTWRITEBYTECODE="1") == {}


def test_byte_code_of_another_source_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("graphlib", "colorsys")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
        shutil.copy2(Path(os.__file__).with_name(f"{name}.py"), tmp_path)
    subprocess.run((sys.executable, "-m", "compileall", "-q", str(tmp_path)), check=True, timeout=60)
    monkeypatch.setattr(os, "__file__", str(tmp_path / "os.py"))
    assert [name for name in names if name in HeldModules()] == ["graphlib", "colorsys"]
    (tmp_path / "colorsys.py").write_text("changed = True")
    assert [name for name in names if name in HeldModules()] == ["graphlib"]


def test_a_held_module_is_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    import html.entities

    names = ("html", "html.entities")
    theirs = {name: sys.modules[name] for name in names}
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    held = HeldModules(names)
    monkeypatch.setattr(sys, "meta_path", [held, *sys.meta_path])
    __import__("html.entities")
    for name in names:
        ours = sys.modules[name]
        assert ours is not theirs[name]
        for attribute in ("__name__", "__package__", "__file__", "__cached__", "__doc__"):
            assert getattr(ours, attribute, None) == getattr(theirs[name], attribute, None), attribute
        assert names_in(ours) == names_in(theirs[name])
    assert list(sys.modules["html"].__path__) == list(theirs["html"].__path__)
    assert sys.modules["html"].escape("<") == html.escape("<")


def test_a_confined_vat_can_import_each_allowed_module_first(bench: Bench) -> None:
    for name in sorted(ALLOWED - {"__future__"}):
        vat = bench.vat(
            f"""
            import {name} as found
            from kernel.vat import Exo

            class Root(Exo):
                def name(self):
                    return found.__name__

            def build_root_object(vat_powers, parameters, baggage):
                return Root()
            """
        )
        assert vat.call("name") == name
        vat.worker.kill()


@pytest.mark.parametrize("settled", [False, True], ids=["at-once", "settled"])
def test_a_confined_vat_can_use_what_is_imported_late(bench: Bench, settled: bool) -> None:
    if settled:
        bench.vat(start=False)
        bench.until(lambda: bench.pool.settled)
    vat = bench.vat(
        """
        import dataclasses, datetime, decimal, difflib, pprint, statistics
        from kernel.vat import Exo

        @dataclasses.dataclass(order=True)
        class Point:
            x: int

        class Root(Exo):
            def compute(self):
                return [
                    str(datetime.datetime.strptime("2024-02-29", "%Y-%m-%d").date()),
                    str(decimal.Decimal("0.1") + 1),
                    "".join(difflib.ndiff(["a"], ["b"])),
                    pprint.pformat([Point(2), Point(1)]),
                    str(statistics.mean([1, 2, 3, 4])),
                    *["ä".encode(name).decode(name) for name in ("idna", "utf-7", "cp1252", "utf-16", "latin-1")],
                ]

        def build_root_object(vat_powers, parameters, baggage):
            return Root()
        """
    )
    assert vat.call("compute") == [
        "2024-02-29",
        "1.1",
        "- a+ b",
        "[Point(x=2), Point(x=1)]",
        "2.5",
        *["ä"] * 5,
    ]


def test_every_name_that_is_held_is_of_the_standard_library() -> None:
    assert {name.partition(".")[0] for name in HELD} <= sys.stdlib_module_names | {
        "_colorize",
        "_opcode_metadata",
        "_pydatetime",
    }
