from __future__ import annotations

import sys
import textwrap
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from kernel.vat.modules import ALLOWED, BundleModules, Source, preload

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _modules_as_before() -> Iterator[None]:
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


def bundle(**sources: str) -> BundleModules:
    """Make a bundle; ``a__b`` names the module ``a.b``, and a name that others begin with is a package."""
    names = {key.replace("__", "."): textwrap.dedent(text) for key, text in sources.items()}
    return BundleModules(
        {
            name: Source(name.replace(".", "/") + ".py", text, any(other.startswith(name + ".") for other in names))
            for name, text in names.items()
        }
    )


def run(entry: str = "main", **sources: str) -> dict[str, Any]:
    return vars(bundle(**sources).load(entry))


def test_a_module_of_the_bundle_is_a_module_like_any_other() -> None:
    module = bundle(main="x = 1").load("main")
    assert (module.__name__, module.__file__, module.__package__) == ("main", "main.py", "")
    assert module.__spec__ is not None
    assert module.__spec__.origin == "main.py"


def test_modules_of_the_bundle_import_each_other() -> None:
    found = run(main="import other\nfrom other import x\ny = other.x + x", other="x = 2")
    assert found["y"] == 4


@pytest.mark.parametrize(
    "statement",
    [
        "import pack.deep.leaf as leaf",
        "from pack.deep import leaf",
        "from pack.deep.leaf import *",
        "import pack.deep.leaf; leaf = pack.deep.leaf",
        "from pack import leaf_of_neighbour as leaf",
    ],
)
def test_packages_absolute(statement: str) -> None:
    found = run(
        main=statement + "\nleaf_name = 'pack.deep.leaf'",
        pack="from .deep import leaf as leaf_of_neighbour",
        pack__deep="from . import leaf",
        pack__deep__leaf="from ..top import x\nfrom .. import top as t\nassert t.x == x\nleaf = x",
        pack__top="x = 7",
    )
    leaf = found["leaf"]
    assert (leaf if isinstance(leaf, int) else leaf.leaf) == 7


def test_a_star_import_brings_the_submodules_that_a_package_names() -> None:
    found = run(main="from pack import *\ny = part.x", pack="__all__ = ['part']", pack__part="x = 3")
    assert found["y"] == 3


def test_circular_imports_work_as_they_do_elsewhere() -> None:
    found = run(main="import a", a="import b\nx = 1", b="import a\ndef f(): return a.x")
    assert found["a"].b.f() == 1


def test_a_relative_import_beyond_the_top_is_an_error() -> None:
    with pytest.raises(ImportError, match="beyond the top of the bundle"):
        run(main="from .. import x")


def test_a_module_that_fails_can_be_imported_again_and_fails_again() -> None:
    modules = bundle(main="1 / 0")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            modules.load("main")
    assert "main" not in sys.modules


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_the_allowed_standard_modules_can_be_imported(name: str) -> None:
    assert run(main=f"import {name} as found" if name != "__future__" else "import __future__ as found")["found"]


def test_parts_of_allowed_modules_can_be_imported() -> None:
    found = run(main="import collections.abc\nfrom collections import abc, OrderedDict\nx = collections.abc is abc")
    assert found["x"] is True


def test_the_kernels_vat_package_can_be_imported() -> None:
    from kernel.vat import Exo

    assert run(main="from kernel.vat import E, Exo\nimport kernel.vat")["Exo"] is Exo


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("os", "it is not among the standard modules that only compute"),
        ("sys", "it is not among the standard modules that only compute"),
        ("socket", "it is not among the standard modules that only compute"),
        ("importlib", "it is not among the standard modules that only compute"),
        ("builtins", "it is not among the standard modules that only compute"),
        ("time", "it is not among the standard modules that only compute"),
        ("os.path", "it is not among the standard modules that only compute"),
        ("kernel.engine", "of the kernel, vats can import kernel.vat only"),
        ("kernel.vat.liveslots", "of the kernel, vats can import kernel.vat only"),
        ("requests", "it was not in the bundle; put its source beside the vat's and build the bundle again"),
        ("main.missing", "the bundle has 'main', but no 'main.missing' in it"),
    ],
)
def test_anything_else_is_refused_by_name_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(ImportError) as caught:
        run(main=f"import {name}")
    assert str(caught.value).startswith(f"a vat cannot import '{name}': {why}")
    assert caught.value.name == name


def test_what_is_refused_can_be_caught_as_any_import_error() -> None:
    assert run(main="try:\n    import ssl\nexcept ImportError:\n    ssl = None")["ssl"] is None


def test_a_module_of_the_bundle_wins_over_a_standard_one_but_only_inside_the_bundle() -> None:
    import json

    found = run(main="import json\nx = json.mine", json="mine = True")
    assert found["x"] is True
    assert sys.modules["json"] is json


@pytest.mark.parametrize("name", ["kernel", "kernel.vat"])
def test_a_module_that_would_hide_the_kernels_own_is_refused(name: str) -> None:
    with pytest.raises(ImportError, match=f"a module named '{name}', which would hide the kernel's own"):
        BundleModules({name: Source("x.py", "", False)})


@pytest.mark.parametrize("name", ["open", "input", "breakpoint", "exit", "quit", "help"])
def test_builtins_that_reach_outside_are_not_there(name: str) -> None:
    with pytest.raises(NameError):
        run(main=f"{name}()")


def test_print_and_the_other_builtins_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    run(main="print(len([1]))\nexec('y = sorted([2, 1])')\nassert y == [1, 2]")
    assert capsys.readouterr().out == "1\n"


def test_dataclasses_and_annotations_that_are_postponed_work() -> None:
    source = """
        from __future__ import annotations
        import dataclasses, typing

        @dataclasses.dataclass
        class Point:
            x: int
            kinds: typing.ClassVar[int] = 3

        hints = typing.get_type_hints(Point)
        point = Point(1)
    """
    found = run(main=source)
    assert found["point"].x == 1
    assert found["hints"]["x"] is int


def test_future_statements_of_the_supervisor_do_not_leak_into_vats() -> None:
    assert run(main="def f(x: int): ...\ny = f.__annotations__['x']")["y"] is int


def test_tracebacks_show_the_source() -> None:
    modules = bundle(main="import part\ndef f():\n    return part.g()\n", part="def g():\n    return 1 / 0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        modules.load("main").f()
    text = "".join(traceback.format_exception(caught.value))
    assert 'File "main.py", line 3, in f\n    return part.g()\n' in text
    assert 'File "part.py", line 2, in g\n    return 1 / 0\n' in text


def test_a_syntax_error_names_the_file_and_the_line() -> None:
    with pytest.raises(SyntaxError) as caught:
        run(main="x = 1\ndef f(:\n")
    assert (caught.value.filename, caught.value.lineno) == ("main.py", 2)


def test_everything_that_vats_may_import_can_be_loaded_ahead() -> None:
    preload()
    assert set(sys.modules) >= ALLOWED
