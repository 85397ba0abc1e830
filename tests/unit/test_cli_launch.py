"""What ``ocap subcluster launch`` makes of a bundle or a configuration, before it asks the daemon."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from kernel.bundle import build_bundle, sri
from kernel.cli.launch import cluster_config, is_configuration, resolve_path
from kernel.cli.parser import parse
from kernel.errors import BundleMissingError, ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "def build_root_object(vat_powers, parameters, baggage):\n    return None\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counter.py").write_text(SOURCE)
    (tmp_path / "c.bundle").write_bytes(build_bundle(str(tmp_path / "counter.py")))
    return tmp_path


def config_of(*words: str) -> dict[str, Any]:
    args = parse(["subcluster", "launch", *words])
    resolve_path(args)
    return cluster_config(args)


def test_a_bundle_is_the_only_vat_and_is_called_main(folder: Path) -> None:
    spec = (folder / "c.bundle").as_uri()

    assert config_of("c.bundle") == {"bootstrap": "main", "vats": {"main": {"bundleSpec": spec}}}


def test_the_options_of_a_bundle_are_those_of_its_vat(folder: Path) -> None:
    config = config_of("c.bundle", "--vat", "bob", "--parameters", '{"n": 1}', "--pin", "--integrity")

    assert config["bootstrap"] == "bob"
    assert config["vats"]["bob"] == {
        "bundleSpec": (folder / "c.bundle").as_uri(),
        "parameters": {"n": 1},
        "pin": True,
        "integrity": sri((folder / "c.bundle").read_bytes()),
    }


def test_a_url_is_kept(folder: Path) -> None:
    vat = config_of("https://example.org/c.json")["vats"]["main"]

    assert vat == {"bundleSpec": "https://example.org/c.json"}


def test_a_configuration_is_read_and_its_paths_are_relative_to_it(folder: Path) -> None:
    (folder / "sub").mkdir()
    config = {"bootstrap": "a", "vats": {"a": {"bundleSpec": "../c.bundle"}}}
    (folder / "sub" / "cluster.json").write_text(json.dumps(config))

    assert config_of("sub/cluster.json")["vats"]["a"]["bundleSpec"] == (folder / "c.bundle").as_uri()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.json", "{}", True),
        ("x.json", None, True),
        ("x.conf", " {}", True),
        ("x.conf", "not json", False),
        ("x.bundle", "", False),
        ("x.bundle", "{}", False),
        ("x.bundle", None, False),
        ("x", None, False),
    ],
)
def test_a_configuration_is_told_from_a_bundle(folder: Path, name: str, content: str | None, expected: bool) -> None:
    if content is not None:
        (folder / name).write_text(content)

    assert is_configuration(name) is expected


def test_a_bundle_is_a_bundle_whatever_it_is_called(folder: Path) -> None:
    os.rename("c.bundle", "c.json")

    assert not is_configuration("c.json")


def test_a_fifo_is_not_opened(folder: Path) -> None:
    os.mkfifo("x.bundle")

    assert not is_configuration("x.bundle")


def test_source_is_refused_with_the_command_that_bundles_it(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        config_of("counter.py")

    assert caught.value.remedy == "Bundle it first: ocap bundle counter.py -o counter.bundle"


@pytest.mark.parametrize("words", [["--vat", "a"], ["--parameters", "{}"], ["--pin"], ["--integrity=sha256-x"]])
def test_options_of_a_bundle_are_refused_with_a_configuration(folder: Path, words: list[str]) -> None:
    with pytest.raises(UsageError, match="is for a bundle"):
        config_of("x.json", *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["c.bundle", "--parameters", "[1]"], "vats.main.parameters"),
        (["c.bundle", "--vat", "a b"], "a b"),
        (["c.bundle", "--integrity", "sha256-x"], "vats.main.integrity"),
        (["nothing.json"], "nothing.json cannot be read"),
    ],
)
def test_what_the_daemon_would_refuse_is_refused_here(folder: Path, words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_of(*words)


def test_the_digest_of_a_missing_bundle_cannot_be_taken(folder: Path) -> None:
    with pytest.raises(BundleMissingError, match=r"nothing\.bundle"):
        config_of("nothing.bundle", "--integrity")
