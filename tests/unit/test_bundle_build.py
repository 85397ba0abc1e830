"""Building bundles: what the builder collects, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bundling import ROOT, built, write

import kernel.bundle_build
from kernel.bundle import (
    MAX_BUNDLE_BYTES,
    Module,
    build_bundle,
    parse_bundle,
)
from kernel.errors import BundleBuildError


def build_refusal(path: str) -> BundleBuildError:
    with pytest.raises(BundleBuildError) as caught:
        build_bundle(path)
    assert caught.value.remedy
    assert caught.value.data["path"] in caught.value.message
    return caught.value


# --- what the builder collects ----------------------------------------------------------------------------------------


def test_the_same_source_gives_the_same_bytes_wherever_it_lies(short_tmp: Path) -> None:
    files: dict[str, str | bytes] = {"main.py": f"import b, a\nfrom p import c\n{ROOT}"}
    helpers: dict[str, str | bytes] = {"a.py": "", "b.py": "import a\n", "p/__init__.py": "", "p/c.py": "x = 1\n"}
    first = build_bundle(write(short_tmp / "one", files | helpers))
    second = build_bundle(write(short_tmp / "two", files | dict(reversed(helpers.items()))))
    assert first == second


def test_line_ends_and_encodings_make_no_difference(short_tmp: Path) -> None:
    plain = build_bundle(write(short_tmp / "unix", {"main.py": ROOT}))
    assert build_bundle(write(short_tmp / "dos", {"main.py": ROOT.replace("\n", "\r\n")})) == plain
    assert build_bundle(write(short_tmp / "bom", {"main.py": b"\xef\xbb\xbf" + ROOT.encode()})) == plain


def test_a_declared_encoding_is_honoured(short_tmp: Path) -> None:
    source = f"# -*- coding: latin-1 -*-\nword = 'é'\n{ROOT}"
    assert built(short_tmp, {"main.py": source.encode("latin-1")}).modules["main"].source == source


def test_local_modules_are_followed_from_one_to_the_next(short_tmp: Path) -> None:
    bundle = built(
        short_tmp,
        {
            "main.py": f"import first\nfrom kernel.vat import Exo\nimport json\n{ROOT}",
            "first.py": "def f():\n    import second\n",
            "second.py": "try:\n    import main\nexcept ImportError:\n    pass\n",
            "unused.py": "",
        },
    )
    assert bundle.entry == "main"
    assert list(bundle.modules) == ["first", "main", "second"]
    assert bundle.modules["first"] == Module("first.py", "def f():\n    import second\n", False)


def test_packages_come_with_all_that_importing_them_runs(short_tmp: Path) -> None:
    bundle = built(
        short_tmp,
        {
            "main.py": f"import pkg.sub.deep\nfrom pkg import side, VALUE\n{ROOT}",
            "pkg/__init__.py": "from .base import VALUE\n",
            "pkg/base.py": "VALUE = 1\n",
            "pkg/side.py": "from . import base\nfrom .sub import deep\nfrom .sub.deep import X\n",
            "pkg/sub/__init__.py": "",
            "pkg/sub/deep.py": "from ..base import VALUE as X\nfrom .. import late\n",
            "pkg/late.py": "",
            "pkg/unused.py": "",
        },
    )
    assert list(bundle.modules) == ["main", "pkg", "pkg.base", "pkg.late", "pkg.side", "pkg.sub", "pkg.sub.deep"]
    assert bundle.modules["pkg"] == Module("pkg/__init__.py", "from .base import VALUE\n", True)


def test_a_star_import_brings_the_modules_that_the_package_lists(short_tmp: Path) -> None:
    bundle = built(
        short_tmp,
        {"main.py": f"from pkg import *\n{ROOT}", "pkg/__init__.py": "__all__ = ['a', 'name']\n", "pkg/a.py": ""},
    )
    assert list(bundle.modules) == ["main", "pkg", "pkg.a"]


@pytest.mark.parametrize("init", ["x = 1\n", "__all__ = sorted(['a'])\n", "__all__ = ['none', 1]\n"])
def test_a_star_import_of_a_package_that_lists_no_modules_brings_none(short_tmp: Path, init: str) -> None:
    bundle = built(short_tmp, {"main.py": f"from pkg import *\n{ROOT}", "pkg/__init__.py": init, "pkg/a.py": ""})
    assert list(bundle.modules) == ["main", "pkg"]


def test_a_star_import_of_a_directory_without_an_init_brings_nothing(short_tmp: Path) -> None:
    bundle = built(short_tmp, {"main.py": f"from pkg import *\n{ROOT}", "pkg/a.py": ""})
    assert list(bundle.modules) == ["main", "pkg"]


def test_a_directory_without_an_init_is_a_package_too(short_tmp: Path) -> None:
    bundle = built(short_tmp, {"main.py": f"from lib.deep import mod\n{ROOT}", "lib/deep/mod.py": "x = 1\n"})
    assert list(bundle.modules) == ["lib", "lib.deep", "lib.deep.mod", "main"]
    assert bundle.modules["lib"] == Module("lib/__init__.py", "", True)


def test_a_directory_does_not_hide_the_standard_library(short_tmp: Path) -> None:
    assert list(built(short_tmp, {"main.py": f"import json\n{ROOT}", "json/tool.py": ""}).modules) == ["main"]


def test_a_package_directory_is_an_entry(short_tmp: Path) -> None:
    write(short_tmp, {"vat/__init__.py": f"from . import parts\nimport vat.parts\n{ROOT}", "vat/parts.py": ""})
    bundle = parse_bundle(build_bundle(str(short_tmp / "vat")), "x")
    assert bundle.entry == "vat"
    assert list(bundle.modules) == ["vat", "vat.parts"]
    assert build_bundle(str(short_tmp / "vat" / "__init__.py")) == build_bundle(f"{short_tmp}/vat/")


def test_the_kernel_is_never_bundled_even_beside_its_own_source(short_tmp: Path) -> None:
    (short_tmp / "kernel").symlink_to(Path(kernel.bundle_build.__file__).parent)
    assert list(built(short_tmp, {"main.py": f"from kernel.vat import Exo\n{ROOT}"}).modules) == ["main"]


@pytest.mark.parametrize(
    "definition",
    [
        "build_root_object = print\n",
        "from helper import build_root_object\n",
        "from helper import *\n",
        "from helper import make as build_root_object\n",
        "if True:\n    def build_root_object(*args): ...\n",
        "try:\n    pass\nexcept ImportError:\n    pass\nelse:\n    def build_root_object(a, b, c, d=1): ...\n",
        "build_root_object: object = print\n",
    ],
)
def test_the_root_function_may_be_defined_in_any_way(short_tmp: Path, definition: str) -> None:
    assert built(short_tmp, {"main.py": definition, "helper.py": ""}).entry == "main"


# --- what the builder refuses -----------------------------------------------------------------------------------------


def test_a_syntax_error_names_file_and_line(short_tmp: Path) -> None:
    path = write(short_tmp, {"main.py": f"{ROOT}\nx = = 1\n"})
    error = build_refusal(path)
    assert error.message.startswith(f"{path}:4: invalid syntax")
    assert "x = = 1" in error.message
    assert error.data["line"] == 4


def test_a_syntax_error_of_a_helper_names_the_helper(short_tmp: Path) -> None:
    path = write(short_tmp, {"main.py": f"import helper\n{ROOT}", "helper.py": "def f(:\n"})
    assert build_refusal(path).data == {"path": str(short_tmp / "helper.py"), "line": 1}


def test_what_only_the_compiler_finds_is_found(short_tmp: Path) -> None:
    error = build_refusal(write(short_tmp, {"main.py": f"{ROOT}\nreturn 1\n"}))
    assert "main.py:4: 'return' outside function" in error.message


def test_a_missing_root_function_is_said_with_its_signature(short_tmp: Path) -> None:
    error = build_refusal(write(short_tmp, {"main.py": "class A:\n    def build_root_object(self): ...\n"}))
    assert "does not define build_root_object(vat_powers, parameters, baggage)" in error.message


@pytest.mark.parametrize(
    "definition",
    [
        "def build_root_object(): ...",
        "def build_root_object(a, b): ...",
        "def build_root_object(a, b, c, d): ...",
        "def build_root_object(a, b, c, *, d): ...",
        "async def build_root_object(a, b, c): ...",
    ],
)
def test_a_root_function_of_another_signature_is_refused_with_its_line(short_tmp: Path, definition: str) -> None:
    path = write(short_tmp, {"main.py": f"\n{definition}\n"})
    assert build_refusal(path).message.startswith(f"{path}:2: build_root_object must be a plain function")


@pytest.mark.parametrize("statement", ["from . import x", "from .x import y", "from .. import z"])
def test_a_relative_import_that_climbs_out_is_refused(short_tmp: Path, statement: str) -> None:
    path = write(short_tmp, {"in/main.py": f"\n{statement}\n{ROOT}", "in/x.py": "", "z.py": ""})
    error = build_refusal(path)
    assert error.message.startswith(f"{path}:2: `from .")
    assert "climbs out of the bundle" in error.message


def test_a_package_cannot_climb_out_either(short_tmp: Path) -> None:
    path = write(
        short_tmp, {"main.py": f"import pkg.a\n{ROOT}", "pkg/__init__.py": "", "pkg/a.py": "from .. import b\n"}
    )
    assert build_refusal(path).data == {"path": str(short_tmp / "pkg" / "a.py"), "line": 1}


def test_a_missing_part_of_a_local_package_is_named(short_tmp: Path) -> None:
    path = write(short_tmp, {"main.py": f"import pkg.none\n{ROOT}", "pkg/__init__.py": ""})
    assert build_refusal(path).message == f"{path}:1: imports 'pkg.none', which is not in {short_tmp}/pkg"


@pytest.mark.parametrize("name", ["kernel.py", "kernel/__init__.py"])
def test_a_local_module_in_the_kernels_place_is_refused(short_tmp: Path, name: str) -> None:
    path = write(short_tmp, {"main.py": f"from kernel.vat import E\n{ROOT}", name: ""})
    assert "would shadow" in build_refusal(path).message


def test_an_entry_in_the_kernels_place_is_refused(short_tmp: Path) -> None:
    assert "take the place of the kernel's own" in build_refusal(write(short_tmp, {"kernel.py": ROOT})).message


def test_a_missing_entry_is_named(short_tmp: Path) -> None:
    assert build_refusal(str(short_tmp / "none.py")).message == f"{short_tmp}/none.py does not exist"


def test_a_relative_entry_in_a_deleted_working_directory_is_refused(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (short_tmp / "gone").mkdir()
    monkeypatch.chdir(short_tmp / "gone")
    (short_tmp / "gone").rmdir()
    assert "working directory that does not exist any more" in build_refusal("main.py").message


def test_a_directory_without_an_init_is_no_entry(short_tmp: Path) -> None:
    assert build_refusal(str(short_tmp)).message == f"{short_tmp}/__init__.py does not exist"


def test_an_entry_that_is_not_python_is_refused(short_tmp: Path) -> None:
    assert "does not end in .py" in build_refusal(write(short_tmp, {"main.txt": ROOT})).message


@pytest.mark.parametrize("name", ["my-vat.py", "1st.py", "class.py", "a.b.py"])
def test_an_entry_that_cannot_be_imported_is_refused(short_tmp: Path, name: str) -> None:
    assert "is not a name that Python can import" in build_refusal(write(short_tmp, {name: ROOT})).message


def test_a_fifo_is_refused_without_waiting_for_it(short_tmp: Path) -> None:
    os.mkfifo(short_tmp / "helper.py")
    path = write(short_tmp, {"main.py": f"import helper\n{ROOT}"})
    error = build_refusal(path)
    assert "is not a regular file" in error.message
    assert f"imported at {path}:1" in error.message


def test_a_dangling_link_is_refused_with_the_import_that_asked_for_it(short_tmp: Path) -> None:
    (short_tmp / "helper.py").symlink_to("nowhere.py")
    path = write(short_tmp, {"main.py": f"import helper\n{ROOT}"})
    assert f"imported at {path}:1" in build_refusal(path).message


@pytest.mark.parametrize("content", [b"\xff\xfe", b"# coding: no-such\n", b"x = '\xe9'\n"])
def test_source_that_is_not_text_is_refused(short_tmp: Path, content: bytes) -> None:
    assert "is not text" in build_refusal(write(short_tmp, {"main.py": content})).message


def test_source_too_deep_for_the_parser_is_refused(short_tmp: Path) -> None:
    assert "main.py" in build_refusal(write(short_tmp, {"main.py": f"{ROOT}x = {'-' * 100_000}1\n"})).message


def test_source_with_a_nul_is_refused(short_tmp: Path) -> None:
    assert "main.py" in build_refusal(write(short_tmp, {"main.py": ROOT + "\0"})).message


def test_more_source_than_a_bundle_may_hold_is_refused(short_tmp: Path) -> None:
    path = write(short_tmp, {"main.py": f"import big\n{ROOT}", "big.py": "#" * MAX_BUNDLE_BYTES})
    assert f"{MAX_BUNDLE_BYTES} bytes" in build_refusal(path).message
