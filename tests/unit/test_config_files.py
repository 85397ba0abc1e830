"""Cluster configurations in files, and single bundles in the place of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernel.bundle import build_bundle
from kernel.config import (
    parse_cluster_config,
)
from kernel.config_files import MAX_CONFIG_BYTES, read_cluster_config, single_vat_config
from kernel.errors import ConfigError

CONFIG = {"bootstrap": "alice", "vats": {"alice": {"bundleSpec": "file:///v/vat.bundle"}}}


def test_one_bundle_makes_a_configuration_of_one_vat(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(short_tmp)
    found = parse_cluster_config(single_vat_config("c1.bundle"))
    assert (found.bootstrap, list(found.vats)) == ("main", ["main"])
    assert found.vats["main"].bundle_spec == f"file://{short_tmp}/c1.bundle"
    assert single_vat_config("c1.bundle", "bob", base="/b")["vats"] == {"bob": {"bundleSpec": "file:///b/c1.bundle"}}


@pytest.fixture
def lost_directory(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory that has been deleted."""
    (short_tmp / "gone").mkdir()
    monkeypatch.chdir(short_tmp / "gone")
    (short_tmp / "gone").rmdir()


@pytest.mark.usefixtures("lost_directory")
def test_a_relative_path_in_a_deleted_working_directory_is_refused() -> None:
    assert single_vat_config("/v/c1.bundle")["vats"] == {"main": {"bundleSpec": "file:///v/c1.bundle"}}
    for call in (single_vat_config, read_cluster_config):
        with pytest.raises(ConfigError) as caught:
            call("c1.bundle")
        assert "c1.bundle" in caught.value.message
        assert caught.value.remedy


def write(directory: Path, content: str | bytes) -> str:
    path = directory / "cluster.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def file_refusal(path: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_cluster_config(path)
    assert path in caught.value.message
    assert caught.value.data["path"] == path
    assert caught.value.remedy or "key" in caught.value.data
    return caught.value


def test_a_file_is_read_and_its_bundles_are_relative_to_it(short_tmp: Path) -> None:
    path = write(short_tmp, json.dumps(CONFIG | {"vats": {"alice": {"bundleSpec": "b/a.bundle"}}}))
    assert read_cluster_config(path).vats["alice"].bundle_spec == f"file://{short_tmp}/b/a.bundle"


def test_a_byte_order_mark_does_no_harm(short_tmp: Path) -> None:
    path = write(short_tmp, b"\xef\xbb\xbf" + json.dumps(CONFIG).encode())
    assert read_cluster_config(path).bootstrap == "alice"


def test_a_mistake_in_a_file_names_the_file_and_the_key(short_tmp: Path) -> None:
    error = file_refusal(write(short_tmp, json.dumps(CONFIG | {"servises": []})))
    assert error.data["key"] == "servises"
    assert error.remedy == "Did you mean 'services'?"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "line 1, column 1"),
        ('{"bootstrap": "a",\n "vats": }', "line 2, column 10"),
        ('{"bootstrap": "a", "bootstrap": "b"}', "the key 'bootstrap' occurs twice"),
        ('{"bootstrap": NaN}', "NaN is not JSON"),
        (b'{"bootstrap": "\xff"}', "not UTF-8 text (byte 15)"),
        ("[" * 100_000, "it is not usable JSON: it is nested too deeply"),
        ("[1]", "must be a JSON object, not a list"),
    ],
)
def test_a_file_that_is_not_a_json_object_says_where_it_fails(short_tmp: Path, content: str | bytes, said: str) -> None:
    assert said in file_refusal(write(short_tmp, content)).message


def test_a_bundle_given_for_a_configuration_is_recognised(short_tmp: Path) -> None:
    source = short_tmp / "counter.py"
    source.write_text("def build_root_object(vat_powers, parameters, baggage): ...\n")
    assert "it is a bundle" in file_refusal(write(short_tmp, build_bundle(str(source)))).message


def test_a_missing_file_is_named(short_tmp: Path) -> None:
    assert "No such file or directory" in file_refusal(str(short_tmp / "none.json")).message


def test_a_path_with_a_nul_is_no_file() -> None:
    with pytest.raises(ConfigError) as caught:
        read_cluster_config("/a\0b")
    assert "null byte" in caught.value.message


def test_a_directory_is_not_a_configuration(short_tmp: Path) -> None:
    assert "Is a directory" in file_refusal(str(short_tmp)).message


def test_a_file_that_is_too_large_is_refused(short_tmp: Path) -> None:
    path = short_tmp / "cluster.json"
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)
    assert f"larger than {MAX_CONFIG_BYTES} bytes" in file_refusal(str(path)).message
