"""The home's own copies of pinned bundles: kept under their digest, whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kernel.bundle import parse_bundle
from kernel.errors import (
    BundleCorruptError,
    BundleError,
    StoreFullError,
)
from kernel.fetch import BundleCache

if TYPE_CHECKING:
    pass
from fetching import BUNDLE, OTHER

SHA256 = parse_bundle(BUNDLE, "x").sha256


def test_a_pinned_copy_is_kept_under_its_digest(short_tmp: Path) -> None:
    cache = BundleCache(str(short_tmp / "bundles"))
    path = cache.put(BUNDLE)
    assert path == str(short_tmp / "bundles" / f"{SHA256}.bundle")
    assert Path(path).read_bytes() == BUNDLE
    assert cache.get(SHA256) == BUNDLE
    assert os.listdir(short_tmp / "bundles") == [f"{SHA256}.bundle"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(short_tmp / "bundles").st_mode) == 0o700


def test_what_was_never_pinned_is_not_there(short_tmp: Path) -> None:
    assert BundleCache(str(short_tmp / "bundles")).get(SHA256) is None


def test_pinning_twice_keeps_the_first_copy(short_tmp: Path) -> None:
    cache = BundleCache(str(short_tmp))
    inode = os.stat(cache.put(BUNDLE)).st_ino
    assert os.stat(cache.put(BUNDLE)).st_ino == inode


def test_a_damaged_copy_is_not_handed_out_and_is_mended_by_pinning_again(short_tmp: Path) -> None:
    cache = BundleCache(str(short_tmp))
    path = Path(cache.put(BUNDLE))
    path.write_bytes(OTHER)
    with pytest.raises(BundleCorruptError) as caught:
        cache.get(SHA256)
    assert str(path) in caught.value.message
    assert caught.value.remedy
    cache.put(BUNDLE)
    assert cache.get(SHA256) == BUNDLE


def test_a_copy_is_on_the_disk_before_it_has_its_name(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = BundleCache(str(short_tmp))
    order: list[str] = []
    really_sync, really_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        order.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        really_sync(descriptor)

    def replace(source: str, target: str) -> None:
        order.append("rename")
        really_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    cache.put(BUNDLE)
    assert order == ["sync file", "rename", "sync directory"]


def test_a_full_disk_leaves_nothing_behind(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = BundleCache(str(short_tmp))
    monkeypatch.setattr("kernel.fetch.os.write", fail)
    with pytest.raises(StoreFullError) as caught:
        cache.put(BUNDLE)
    assert str(short_tmp) in caught.value.message
    assert os.listdir(short_tmp) == []


def test_a_cache_that_cannot_be_written_is_an_error_with_its_path(short_tmp: Path) -> None:
    (short_tmp / "bundles").write_text("a file where the directory belongs")
    with pytest.raises(BundleError) as caught:
        BundleCache(str(short_tmp / "bundles")).put(BUNDLE)
    assert f"{short_tmp}/bundles/{SHA256}.bundle" in caught.value.message


def test_a_sweep_keeps_what_is_named_and_what_is_not_ours(short_tmp: Path) -> None:
    cache = BundleCache(str(short_tmp))
    kept, dropped = cache.put(BUNDLE), cache.put(OTHER)
    (short_tmp / f"{'0' * 64}.bundle.tmp").write_bytes(b"half a bun")
    (short_tmp / "notes.txt").write_text("somebody else's")
    assert cache.sweep([SHA256]) == sorted([dropped, f"{short_tmp}/{'0' * 64}.bundle.tmp"])
    assert sorted(os.listdir(short_tmp)) == sorted([os.path.basename(kept), "notes.txt"])


def test_a_sweep_of_a_cache_that_was_never_used_does_nothing(short_tmp: Path) -> None:
    assert BundleCache(str(short_tmp / "bundles")).sweep([]) == []


def test_a_sweep_that_cannot_remove_something_says_what(short_tmp: Path) -> None:
    (short_tmp / "x.bundle").mkdir()
    with pytest.raises(BundleError) as caught:
        BundleCache(str(short_tmp)).sweep([])
    assert f"{short_tmp}/x.bundle" in caught.value.message


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 65])
def test_what_is_not_a_digest_names_no_copy(short_tmp: Path, digest: str) -> None:
    with pytest.raises(BundleError):
        BundleCache(str(short_tmp)).get(digest)
