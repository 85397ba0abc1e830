"""Bundles: their format, what the reader refuses, and their integrity."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from bundling import ROOT, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.bundle import (
    Module,
    build_bundle,
    parse_bundle,
    parse_integrity,
    render_bundle,
    sri,
)
from kernel.errors import BundleCorruptError, ConfigError


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


# --- the format -------------------------------------------------------------------------------------------------------


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


# --- what the reader refuses ------------------------------------------------------------------------------------------


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


# --- integrity --------------------------------------------------------------------------------------------------------


def test_an_integrity_lists_its_digests_by_kind() -> None:
    strong = "sha512-" + base64.b64encode(hashlib.sha512(b"x").digest()).decode()
    assert parse_integrity(f"{sri(b'x')} {strong}") == (("sha256", sri(b"x")), ("sha512", strong))


def test_an_integrity_of_a_weak_kind_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_integrity("sha1-AAAA")
    assert "'sha1-AAAA'" in caught.value.message
