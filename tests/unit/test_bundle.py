"""Bundles: what the builder collects and refuses, and what the reader accepts."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kernel.bundle_build
from kernel.bundle import (
    MAX_BUNDLE_BYTES,
    Bundle,
    Module,
    build_bundle,
    parse_bundle,
    parse_integrity,
    render_bundle,
    sri,
)
from kernel.errors import BundleBuildError, BundleCorruptError, ConfigError

ROOT = "def build_root_object(vat_powers, parameters, baggage):\n    return None\n"


def write(root: Path, files: dict[str, str | bytes]) -> str:
    """Write source files below ``root`` and give the path of the first."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(root / next(iter(files)))


def built(root: Path, files: dict[str, str | bytes]) -> Bundle:
    return parse_bundle(build_bundle(write(root, files)), "built.bundle")


def build_refusal(path: str) -> BundleBuildError:
    with pytest.raises(BundleBuildError) as caught:
        build_bundle(path)
    assert caught.value.remedy
    assert caught.value.data["path"] in caught.value.message
    return caught.value


def corrupt(data: bytes) -> str:
    """Give the reason for which bytes are refused."""
    with pytest.raises(BundleCorruptError) as caught:
        parse_bundle(data, "/somewhere/x.bundle")
    error = caught.value
    assert error.message == f"/somewhere/x.bundle cannot be used as a bundle: {error.data['reason']}"
    assert error.data["path"] == "/somewhere/x.bundle"
    assert error.remedy
    return str(error.data["reason"])


def signed(**changes: Any) -> bytes:
    """Give a bundle with some of its content changed, and a digest that fits it all the same."""
    content: dict[str, Any] = {
        "format": "ocap-bundle",
        "version": 1,
        "entry": "main",
        "modules": {"main": {"path": "main.py", "source": ["x = 1", ""]}},
        **changes,
    }
    content = {key: value for key, value in content.items() if value is not ...}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    digest = "sha256-" + base64.b64encode(hashlib.sha256(canonical).digest()).decode()
    return json.dumps({**content, "digest": digest}).encode()


# --- the format ----------------------------------------------------------------------------------------------------


def test_a_bundle_is_text_that_a_person_can_read(short_tmp: Path) -> None:
    text = build_bundle(write(short_tmp, {"counter.py": f"# grüße\n{ROOT}"})).decode()
    assert '"# grüße",\n' in text
    assert text.endswith("}\n")
    assert text.splitlines()[1:4] == [' "format": "ocap-bundle",', ' "version": 1,', ' "entry": "counter",']


def test_the_digest_is_that_of_the_canonical_json_of_all_the_rest(short_tmp: Path) -> None:
    content = json.loads(build_bundle(write(short_tmp, {"counter.py": ROOT})))
    digest = content.pop("digest")
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert digest == "sha256-" + base64.b64encode(hashlib.sha256(canonical).digest()).decode()


def test_a_parsed_bundle_knows_the_digest_and_the_size_of_its_bytes(short_tmp: Path) -> None:
    data = build_bundle(write(short_tmp, {"counter.py": ROOT}))
    bundle = parse_bundle(data, "x")
    assert bundle.sha256 == hashlib.sha256(data).hexdigest()
    assert bundle.size == len(data)
    assert sri(data) == "sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode()


def test_a_bundle_laid_out_anew_is_still_the_same_bundle(short_tmp: Path) -> None:
    data = build_bundle(write(short_tmp, {"counter.py": ROOT}))
    shuffled = json.dumps(dict(reversed(json.loads(data).items()))).encode()
    found, again = parse_bundle(data, "x"), parse_bundle(shuffled, "x")
    assert (again.entry, again.modules, again.digest) == (found.entry, found.modules, found.digest)
    assert again.sha256 != found.sha256


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_source_comes_back_word_for_word(source: str) -> None:
    modules = {"main": Module("main.py", source, False)}
    bundle = parse_bundle(render_bundle("main", modules), "x")
    assert bundle.modules == modules


# --- what the builder collects -------------------------------------------------------------------------------------


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


# --- what the builder refuses --------------------------------------------------------------------------------------


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


# --- what the reader refuses ---------------------------------------------------------------------------------------


def test_an_empty_file_is_said_to_be_empty() -> None:
    assert corrupt(b"") == "it is empty"
    assert corrupt(b" \n\n") == "it is empty but for white space"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_bundle_cut_anywhere_is_refused(short_tmp: Path, data: st.DataObject) -> None:
    whole = signed(modules={"main": {"path": "main.py", "source": ["x = 'é'", "}"]}})
    corrupt(whole[: data.draw(st.integers(0, len(whole) - 1))])


@settings(deadline=None)
@given(st.binary(), st.integers(min_value=0), st.integers(0, 255))
def test_any_bytes_are_a_bundle_or_corrupt_and_nothing_else(data: bytes, place: int, byte: int) -> None:
    corrupt(data)
    flipped = bytearray(signed())
    flipped[place % len(flipped)] = byte
    with contextlib.suppress(BundleCorruptError):
        assert parse_bundle(bytes(flipped), "x").modules == parse_bundle(signed(), "x").modules


@pytest.mark.parametrize("kept", [1, 20, 60, 100, -1, -2])
def test_a_truncated_bundle_is_said_to_be_truncated(short_tmp: Path, kept: int) -> None:
    data = build_bundle(write(short_tmp, {"main.py": ROOT})).rstrip()
    assert corrupt(data[:kept]).startswith(f"it is truncated: it ends after {len(data[:kept])} bytes")


def test_a_truncated_bundle_that_happens_to_end_in_a_brace_is_still_refused() -> None:
    assert corrupt(b'{"format": {}') == "it is truncated: it ends after 13 bytes, in line 1"


def test_a_damaged_bundle_says_where_its_json_breaks() -> None:
    assert corrupt(b'{"format": ]}') == "it is damaged: Expecting value in line 1, column 12"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x7fELF\x02\x01\xff", "it is not UTF-8 text (byte 6)"),
        (b"PK\x03\x04", "it is not a bundle: it does not begin with '{'"),
        (b"import os\n", "it is not a bundle: it does not begin with '{'"),
        (b"[1, 2]", "it is not a bundle: it holds a JSON list, not an object"),
        (b"12", "it is not a bundle: it holds a JSON int, not an object"),
        (b"{}", 'it is not a bundle: it does not say "format": "ocap-bundle"'),
        (b'{"a": 1, "a": 2}', "it is not a bundle: the key 'a' occurs twice in one object"),
        (b'{"a": NaN}', "it is not a bundle: NaN is not JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it is not a bundle: it is nested too deeply"),
        (
            b'{"moduleFormat": "endoZipBase64"}',
            'it is a JavaScript bundle (endoZipBase64): it does not say "format": "ocap-bundle"',
        ),
    ],
)
def test_what_is_not_a_bundle_is_said_to_be_none(data: bytes, reason: str) -> None:
    assert corrupt(data) == reason


def test_an_integer_of_ten_thousand_digits_is_refused_like_any_other_nonsense() -> None:
    assert corrupt(b'{"a": ' + b"9" * 10_000 + b"}").startswith("it is not a bundle: ")


def test_changed_content_is_found_by_the_digest(short_tmp: Path) -> None:
    data = build_bundle(write(short_tmp, {"main.py": ROOT}))
    assert corrupt(data.replace(b"return None", b"return True")).startswith(
        "its content was changed after it was built"
    )


def test_a_newer_format_asks_for_an_upgrade() -> None:
    with pytest.raises(BundleCorruptError) as caught:
        parse_bundle(signed(version=2), "/x")
    assert "format 2; this one reads up to 1" in caught.value.message
    assert caught.value.remedy is not None
    assert caught.value.remedy.startswith("Upgrade")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": True}, "its version is True, not a number"),
        ({"version": 0}, "its version is 0, not a number"),
        ({"version": ...}, "its version is None, not a number"),
        ({"entry": ...}, "its 'entry' is missing"),
        ({"extra": 1}, "it has a key 'extra', which format 1 does not know"),
        ({"entry": "other"}, "its entry 'other' is not one of its modules"),
        ({"entry": ["main"]}, "its entry ['main'] is not one of its modules"),
        ({"modules": {}}, "its 'modules' is not an object with at least one module"),
        ({"modules": ["main"]}, "its 'modules' is not an object with at least one module"),
    ],
)
def test_a_wrong_outline_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert corrupt(signed(**changes)) == reason


def module(name: str, **changes: Any) -> bytes:
    record = {"path": name.replace(".", "/") + ".py", "source": [""], **changes}
    return signed(modules={"main": {"path": "main.py", "source": []}, name: record})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (module("../etc"), "no name that can be imported"),
        (module(""), "no name that can be imported"),
        (module("a..b"), "no name that can be imported"),
        (module("class"), "no name that can be imported"),
        (module("kernel"), "take the place of the kernel's own"),
        (module("kernel.vat"), "take the place of the kernel's own"),
        (module("a", path="../a.py"), "which is not its place"),
        (module("a", path="/etc/passwd"), "which is not its place"),
        (module("a", path="b.py"), "which is not its place"),
        (module("a", path=None), "which is not its place"),
        (module("a", source="x = 1"), "is not a list of lines"),
        (module("a", source=["x\ny"]), "is not a list of lines"),
        (module("a", source=[1]), "is not a list of lines"),
        (module("a", source=["\ud800"]), "half of a surrogate pair"),
        (module("a", extra=1), "is not an object of 'path' and 'source'"),
        (module("a.b"), "lacks its package 'a'"),
        (module("main.b"), "lacks its package 'main'"),
    ],
)
def test_a_module_that_is_not_what_the_builder_writes_is_refused(data: bytes, said: str) -> None:
    assert said in corrupt(data)


def test_a_url_is_named_as_one() -> None:
    with pytest.raises(BundleCorruptError) as caught:
        parse_bundle(b"", "https://example.org/x.bundle")
    assert caught.value.data["url"] == "https://example.org/x.bundle"
    assert "path" not in caught.value.data


# --- integrity -----------------------------------------------------------------------------------------------------


def test_an_integrity_lists_its_digests_by_kind() -> None:
    strong = "sha512-" + base64.b64encode(hashlib.sha512(b"x").digest()).decode()
    assert parse_integrity(f"{sri(b'x')} {strong}") == (("sha256", sri(b"x")), ("sha512", strong))


def test_an_integrity_of_a_weak_kind_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_integrity("sha1-AAAA")
    assert "'sha1-AAAA'" in caught.value.message
