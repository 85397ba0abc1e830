"""``ocap bundle``: whole files, the same bytes for the same source, and refusals that name the file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from kernel.bundle import sri
from kernel.cli import app
from kernel.cli.bundle import write_atomically
from kernel.errors import BundleBuildError

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "def build_root_object(vat_powers, parameters, baggage):\n    return None\n"


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "counter.py"
    path.write_text(SOURCE)
    return path


def test_a_bundle_is_written_and_told(entry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["bundle", "counter.py", "-o", "c1.bundle"]) == 0

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("c1.bundle: entry counter, 1 module, ")
    assert json.loads((entry.parent / "c1.bundle").read_text())["entry"] == "counter"


def test_without_output_the_bundle_is_named_after_the_entry(entry: Path) -> None:
    os.makedirs("pkg")
    (entry.parent / "pkg" / "__init__.py").write_text(SOURCE)

    assert app.main(["bundle", "counter.py"]) == 0
    assert app.main(["bundle", "pkg/"]) == 0
    assert sorted(os.listdir()) == ["counter.bundle", "counter.py", "pkg", "pkg.bundle"]


def test_the_same_source_gives_the_same_bytes_and_the_printed_integrity_is_theirs(
    entry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["bundle", "counter.py", "-o", "a", "--print-integrity"]) == 0
    printed = capsys.readouterr().out.strip()
    assert app.main(["bundle", str(entry), "-o", "b", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    data = (entry.parent / "a").read_bytes()
    assert data == (entry.parent / "b").read_bytes()
    assert printed == sri(data) == told["integrity"]
    assert told["path"] == str(entry.parent / "b")


def test_an_old_bundle_is_replaced_and_nothing_else_is_left(entry: Path) -> None:
    (entry.parent / "c.bundle").write_text("old")

    assert app.main(["bundle", "counter.py", "-o", "c.bundle"]) == 0
    assert sorted(os.listdir()) == ["c.bundle", "counter.py"]
    assert oct((entry.parent / "c.bundle").stat().st_mode & 0o111) == "0o0"


def test_a_bundle_behind_a_link_is_replaced_and_the_link_stays(entry: Path) -> None:
    (entry.parent / "real").write_text("old")
    (entry.parent / "link").symlink_to("real")

    assert app.main(["bundle", "counter.py", "-o", "link"]) == 0
    assert (entry.parent / "link").is_symlink()
    assert (entry.parent / "real").read_text() != "old"


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (".", "is a directory"),
        ("counter.py", "is the source itself"),
        ("no/such/folder/c.bundle", "No such file or directory"),
        ("/dev/null", "not a regular file"),
    ],
)
def test_an_output_that_cannot_be_written_is_named(
    entry: Path, output: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["bundle", "counter.py", "-o", output]) == 1

    err = capsys.readouterr().err
    assert says in err
    assert output in err
    assert "(code bundle-build-failed)" in err
    assert entry.read_text() == SOURCE
    assert os.listdir() == ["counter.py"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "c.bundle"
    target.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleBuildError, match=r"c\.bundle cannot be written: No space left on device"):
        write_atomically(str(target), b"new")

    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["c.bundle"]


def test_source_that_is_no_vat_is_refused_with_file_and_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.py").write_text("a = 1\n")

    assert app.main(["bundle", str(tmp_path / "x.py"), "-o", str(tmp_path / "x.bundle")]) == 1

    err = capsys.readouterr().err
    assert "build_root_object" in err
    assert "x.py" in err
    assert not (tmp_path / "x.bundle").exists()


def test_inspect_says_what_is_in_a_bundle(entry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.main(["bundle", "counter.py", "-o", "c.bundle", "--print-integrity"])
    integrity = capsys.readouterr().out.strip()

    assert app.main(["bundle", "--inspect", "c.bundle"]) == 0
    out = capsys.readouterr().out
    assert integrity in out
    assert "counter.py" in out
    assert app.main(["bundle", "--inspect", "c.bundle", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["modules"] == {"counter": "counter.py"}
    assert app.main(["bundle", "--inspect", "c.bundle", "--print-integrity"]) == 0
    assert capsys.readouterr().out.strip() == integrity


def test_inspect_refuses_what_is_no_bundle(entry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["bundle", "--inspect", "counter.py"]) == 1
    assert f"{entry} cannot be used as a bundle" in capsys.readouterr().err
    assert app.main(["bundle", "--inspect", "nothing.bundle", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "bundle-missing"
    assert "nothing.bundle" in err


@pytest.mark.parametrize("words", [[], ["x.py", "--inspect", "y"], ["--inspect", "y", "-o", "z"]])
def test_bundle_needs_an_entry_or_a_bundle_to_inspect(words: list[str]) -> None:
    assert app.main(["bundle", *words]) == 2
