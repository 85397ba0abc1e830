"""Fetching from files that are huge, change while they are read, or hold something else than what was asked for."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kernel.bundle import MAX_BUNDLE_BYTES, sri, sri_with
from kernel.errors import (
    BundleCorruptError,
    BundleTooLargeError,
    BundleUnreadableError,
    ConfigError,
    IntegrityError,
)
from kernel.fetch import fetch_bundle, stat_bundle

if TYPE_CHECKING:
    pass
from fetching import BUNDLE, OTHER, failure, url

# --- size, and files that change --------------------------------------------------------------------------------------


def test_a_huge_file_is_refused_without_being_read(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, size: int) -> bytes:
        raise AssertionError("it was read")

    path = short_tmp / "x.bundle"
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)
    monkeypatch.setattr("kernel.fetch_file.os.read", fail)
    error = failure(path, BundleTooLargeError)
    assert f"it has {10 * 1024**3} bytes, and the limit is {MAX_BUNDLE_BYTES}" in error.message
    with pytest.raises(BundleTooLargeError):
        stat_bundle(url(path))


def test_a_file_of_just_the_limit_is_read_and_one_byte_more_is_not(short_tmp: Path) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    assert fetch_bundle(url(path), limit=len(BUNDLE)).data == BUNDLE
    failure(path, BundleTooLargeError, limit=len(BUNDLE) - 1)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_file_that_hides_its_size_is_held_to_the_limit_too() -> None:
    assert "more than 10 bytes" in failure("/proc/self/status", BundleTooLargeError, limit=10).message


def test_a_file_replaced_while_it_is_read_is_read_as_it_was(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    (short_tmp / "new").write_bytes(OTHER)
    really = os.read

    def replace_and_read(descriptor: int, size: int) -> bytes:
        if (short_tmp / "new").exists():
            (short_tmp / "new").rename(path)
        return really(descriptor, size)

    monkeypatch.setattr("kernel.fetch_file.os.read", replace_and_read)
    fetched = fetch_bundle(url(path))
    assert fetched.data == BUNDLE
    assert stat_bundle(url(path)) != fetched.fingerprint


def test_a_file_rewritten_while_it_is_read_is_read_again(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    rewritten = iter([OTHER])
    really = os.read

    def rewrite_and_read(descriptor: int, size: int) -> bytes:
        data = really(descriptor, size)
        for content in rewritten:
            path.write_bytes(content)
        return data

    monkeypatch.setattr("kernel.fetch_file.os.read", rewrite_and_read)
    assert fetch_bundle(url(path)).data == OTHER


def test_a_file_that_never_holds_still_is_given_up(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    really, limit = os.read, 2 * len(BUNDLE)

    def grow_and_read(descriptor: int, size: int) -> bytes:
        if size == limit + 1:  # the first of the reads that take in one version
            with path.open("ab") as file:
                file.write(b"\n")
        return really(descriptor, size)

    monkeypatch.setattr("kernel.fetch_file.os.read", grow_and_read)
    assert "keeps changing" in failure(path, BundleUnreadableError, limit=limit).message


def test_a_file_that_is_written_all_the_time_never_gives_half_a_bundle(short_tmp: Path) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    finished = threading.Event()

    def rewrite() -> None:
        while not finished.is_set():
            for content in (BUNDLE, OTHER):
                path.write_bytes(content)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(200):
            with contextlib.suppress(BundleUnreadableError, BundleCorruptError):
                assert fetch_bundle(url(path)).data in (BUNDLE, OTHER)
    finally:
        finished.set()
        writer.join()


# --- content ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (BUNDLE[: len(BUNDLE) // 2], "it is truncated"),
        (b"\xff\xfe\x00", "it is not UTF-8 text"),
        (b"#!/bin/sh\n", "it is not a bundle"),
        (BUNDLE.replace(b"None", b"True"), "its content was changed"),
    ],
)
def test_a_file_that_is_no_whole_bundle_is_corrupt(short_tmp: Path, content: bytes, said: str) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(content)
    assert said in failure(path, BundleCorruptError).message


def test_the_integrity_asked_for_must_match(short_tmp: Path) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    assert fetch_bundle(url(path), integrity=sri(BUNDLE)).data == BUNDLE
    error = failure(path, IntegrityError, integrity=sri(OTHER))
    assert error.data["expected"] == sri(OTHER)
    assert error.data["actual"] == sri(BUNDLE)
    assert sri(OTHER) in error.message
    assert sri(BUNDLE) in error.message


def test_one_of_several_digests_is_enough(short_tmp: Path) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    assert fetch_bundle(url(path), integrity=f"{sri(OTHER)} {sri(BUNDLE)}").data == BUNDLE


def test_of_several_kinds_of_digest_the_strongest_counts(short_tmp: Path) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    strong = {content: sri_with("sha512", content) for content in (BUNDLE, OTHER)}
    assert fetch_bundle(url(path), integrity=f"{sri(OTHER)} {strong[BUNDLE]}").data == BUNDLE
    error = failure(path, IntegrityError, integrity=f"{sri(BUNDLE)} {strong[OTHER]}")
    assert error.data["actual"] == strong[BUNDLE]


def test_the_integrity_is_looked_at_before_the_content(short_tmp: Path) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(b"not a bundle")
    failure(path, IntegrityError, integrity=sri(BUNDLE))


def test_an_integrity_of_no_known_form_is_refused_before_anything_is_fetched(short_tmp: Path) -> None:
    with pytest.raises(ConfigError):
        fetch_bundle(url(short_tmp / "gone"), integrity="md5-x")
