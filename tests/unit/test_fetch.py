"""Fetching from files: every way in which a bundle cannot be had is an error of its own, and none of them waits.

Permissions are tried on pyfakefs as a user without privileges, because the superuser, who runs these tests in many a
container, may read everything; all else is tried on real files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.bundle import MAX_BUNDLE_BYTES, Module, parse_bundle, render_bundle, sri, sri_with
from kernel.errors import (
    BundleCorruptError,
    BundleError,
    BundleMissingError,
    BundleTooLargeError,
    BundleUnreadableError,
    BundleUrlError,
    ConfigError,
    IntegrityError,
    OcapError,
    ResourcesExhaustedError,
    StoreFullError,
)
from kernel.fetch import BundleCache, Fingerprint, fetch_bundle, resolve_bundle_path, stat_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyfakefs.fake_filesystem import FakeFilesystem

SOURCE = "def build_root_object(vat_powers, parameters, baggage):\n    return None\n"
BUNDLE = render_bundle("main", {"main": Module("main.py", SOURCE, False)})
OTHER = render_bundle("main", {"main": Module("main.py", SOURCE + "#\n", False)})


def url(path: Path | str) -> str:
    return f"file://{path}"


def failure(path: Path | str, kind: type[OcapError], **options: Any) -> OcapError:
    """Fetch what cannot be fetched, check what every such error has, and give it."""
    with pytest.raises(OcapError) as caught:
        fetch_bundle(url(path), **options)
    error = caught.value
    assert type(error) is kind
    assert str(path) in error.message
    assert error.data["path"] == str(path)
    assert error.data["bundleSpec"] == url(path)
    assert error.remedy
    return error


# --- what is fetched -----------------------------------------------------------------------------------------------


def test_a_bundle_is_fetched_with_its_path_and_its_fingerprint(short_tmp: Path) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    status = path.stat()
    fetched = fetch_bundle(url(path))
    assert fetched.data == BUNDLE
    assert fetched.bundle == parse_bundle(BUNDLE, "x")
    assert fetched.resolved == str(path)
    assert fetched.fingerprint == Fingerprint(len(BUNDLE), status.st_mtime_ns, status.st_ino, status.st_dev)
    assert stat_bundle(url(path)) == fetched.fingerprint


def test_a_link_to_a_bundle_is_followed(short_tmp: Path) -> None:
    (short_tmp / "x.bundle").write_bytes(BUNDLE)
    (short_tmp / "link.bundle").symlink_to("x.bundle")
    fetched = fetch_bundle(url(short_tmp / "link.bundle"))
    assert fetched.data == BUNDLE
    assert fetched.resolved == str(short_tmp / "link.bundle")


def test_a_name_with_spaces_and_accents_is_fetched_by_its_percent_encoded_url(short_tmp: Path) -> None:
    path = short_tmp / "mein zähler#1.bundle"
    path.write_bytes(BUNDLE)
    fetched = fetch_bundle(f"file://{short_tmp}/mein%20z%C3%A4hler%231.bundle")
    assert fetched.resolved == str(path)


def test_another_file_at_the_path_has_another_fingerprint(short_tmp: Path) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    before = stat_bundle(url(path))
    (short_tmp / "new").write_bytes(BUNDLE)
    (short_tmp / "new").rename(path)
    assert stat_bundle(url(path)) != before


# --- what is missing -----------------------------------------------------------------------------------------------


def test_a_missing_file_is_named_by_its_resolved_path(short_tmp: Path) -> None:
    with pytest.raises(BundleMissingError) as caught:
        fetch_bundle(f"file://localhost{short_tmp}/a/../gone%20away.bundle")
    assert caught.value.message == f"{short_tmp}/gone away.bundle does not exist"
    assert caught.value.data["errno"] == "ENOENT"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_missing_directory_is_named(short_tmp: Path) -> None:
    error = failure(short_tmp / "gone" / "too" / "x.bundle", BundleMissingError)
    assert error.message.endswith(f"does not exist: there is no directory {short_tmp}/gone")


def test_a_file_in_place_of_a_directory_is_named(short_tmp: Path) -> None:
    (short_tmp / "file").write_text("")
    error = failure(short_tmp / "file" / "sub" / "x.bundle", BundleMissingError)
    assert error.message.endswith(f"does not exist: {short_tmp}/file is not a directory")
    (short_tmp / "link").symlink_to("file")
    error = failure(short_tmp / "link" / "x.bundle", BundleMissingError)
    assert error.message.endswith(f"does not exist: {short_tmp}/link is not a directory")


def test_a_dangling_link_is_named_with_its_target(short_tmp: Path) -> None:
    (short_tmp / "x.bundle").symlink_to("gone.bundle")
    error = failure(short_tmp / "x.bundle", BundleMissingError)
    assert error.message == f"{short_tmp}/x.bundle is a symbolic link to gone.bundle, which does not exist"


def test_a_link_that_vanishes_while_its_error_is_written_is_an_error_all_the_same(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(path: str) -> str:
        os.unlink(path)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    (short_tmp / "x.bundle").symlink_to("gone.bundle")
    monkeypatch.setattr("kernel.fetch_file.os.readlink", vanish)
    assert "is a symbolic link" in failure(short_tmp / "x.bundle", BundleMissingError).message


def test_a_dangling_link_on_the_way_is_named_with_its_target(short_tmp: Path) -> None:
    (short_tmp / "dir").symlink_to("/gone/away")
    error = failure(short_tmp / "dir" / "x.bundle", BundleMissingError)
    assert error.message.endswith(
        f"does not exist: {short_tmp}/dir is a symbolic link to /gone/away, which does not exist"
    )


# --- what cannot be read -------------------------------------------------------------------------------------------


def test_a_link_that_leads_in_a_circle_is_refused(short_tmp: Path) -> None:
    (short_tmp / "x.bundle").symlink_to("y.bundle")
    (short_tmp / "y.bundle").symlink_to("x.bundle")
    error = failure(short_tmp / "x.bundle", BundleUnreadableError)
    assert "links lead in a circle" in error.message
    assert error.data["errno"] == "ELOOP"


def make_directory(path: Path) -> None:
    path.mkdir()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_link_to_a_terminal(path: Path) -> None:
    path.symlink_to("/dev/ptmx")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_directory, "is a directory, not a bundle"),
        (make_fifo, "is a FIFO (a named pipe), not a bundle"),
        (make_socket, "is a socket, not a bundle"),
        (make_link_to_a_device, "is a character device, not a bundle"),
        (make_link_to_a_terminal, "is a character device, not a bundle"),
    ],
)
def test_what_is_not_a_file_is_refused_at_once(short_tmp: Path, make: Callable[[Path], None], said: str) -> None:
    path = short_tmp / "x.bundle"
    make(path)
    start = time.monotonic()
    assert said in failure(path, BundleUnreadableError).message
    with pytest.raises(BundleUnreadableError):
        stat_bundle(url(path))
    assert time.monotonic() - start < 1


def test_a_fifo_put_there_between_the_look_and_the_opening_is_not_waited_for(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    regular = path.stat()
    path.unlink()
    os.mkfifo(path)
    really = os.stat
    monkeypatch.setattr(os, "stat", lambda name, **how: regular if name == str(path) else really(name, **how))
    assert "is a FIFO" in failure(path, BundleUnreadableError).message


def test_the_error_of_a_failing_disk_is_passed_on(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, size: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    monkeypatch.setattr("kernel.fetch_file.os.read", fail)
    error = failure(path, BundleUnreadableError)
    assert error.message == f"{path} cannot be read: Input/output error"
    assert error.data["errno"] == "EIO"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_file_that_the_system_refuses_to_read_is_unreadable() -> None:
    assert failure("/proc/self/mem", BundleUnreadableError).data["errno"] == "EIO"


def test_a_lack_of_descriptors_is_not_blamed_on_the_file(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str, flags: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    with monkeypatch.context() as patch:
        patch.setattr("kernel.fetch_file.os.open", fail)
        error = failure(path, ResourcesExhaustedError)
    assert error.remedy is not None
    assert "limit of open files" in error.remedy


def test_a_path_longer_than_the_system_allows_is_refused(short_tmp: Path) -> None:
    failure(short_tmp / ("x" * 300), BundleUrlError)
    failure(f"{short_tmp}" + "/x" * 3000, BundleUrlError)


# --- permissions (pyfakefs) ----------------------------------------------------------------------------------------


@pytest.fixture
def unprivileged(fs: FakeFilesystem) -> FakeFilesystem:
    """Give a fake file system that is used by somebody who is not the superuser."""
    from pyfakefs.helpers import set_uid

    fs.create_file("/vats/x.bundle", contents=BUNDLE)
    fs.chmod("/vats", 0o777)
    set_uid(12345)
    return fs


def test_a_bundle_is_read_where_permissions_allow_it(unprivileged: FakeFilesystem) -> None:
    assert fetch_bundle("file:///vats/x.bundle").data == BUNDLE


def test_a_file_without_read_permission_is_unreadable(unprivileged: FakeFilesystem) -> None:
    os.chmod("/vats/x.bundle", 0)
    error = failure("/vats/x.bundle", BundleUnreadableError)
    assert error.message == f"/vats/x.bundle may not be read by uid {os.geteuid()}"
    assert error.data["errno"] == "EACCES"
    with pytest.raises(BundleUnreadableError):
        stat_bundle("file:///vats/x.bundle")


def test_a_bundle_that_comes_and_goes_is_found_and_missed(unprivileged: FakeFilesystem) -> None:
    failure("/vats/y.bundle", BundleMissingError)
    unprivileged.create_file("/vats/y.bundle", contents=BUNDLE)
    assert fetch_bundle("file:///vats/y.bundle").resolved == "/vats/y.bundle"
    unprivileged.remove_object("/vats/y.bundle")
    failure("/vats/y.bundle", BundleMissingError)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become somebody else")
def test_a_directory_that_may_not_be_searched_is_named(short_tmp: Path) -> None:
    inner = short_tmp / "closed" / "inner"
    inner.mkdir(parents=True)
    (inner / "x.bundle").write_bytes(BUNDLE)
    (short_tmp / "closed").chmod(0o600)
    short_tmp.chmod(0o755)
    error = as_nobody(lambda: failure(inner / "x.bundle", BundleUnreadableError).message)
    assert error == (f"{inner}/x.bundle cannot be reached: uid 65534 may not search the directory {short_tmp}/closed")


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become somebody else")
def test_a_file_of_somebody_else_is_unreadable(short_tmp: Path) -> None:
    path = short_tmp / "x.bundle"
    path.write_bytes(BUNDLE)
    path.chmod(0o600)
    short_tmp.chmod(0o755)
    assert as_nobody(lambda: failure(path, BundleUnreadableError).message) == f"{path} may not be read by uid 65534"


def as_nobody(call: Callable[[], str]) -> str:
    """Give what a function returns to a user without privileges: this process, with another effective user id."""
    os.seteuid(65534)
    try:
        return call()
    finally:
        os.seteuid(0)


# --- size, and files that change -----------------------------------------------------------------------------------


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


# --- content -------------------------------------------------------------------------------------------------------


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


# --- URLs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("file:///a/b.bundle", "/a/b.bundle"),
        ("FILE:///a/b.bundle", "/a/b.bundle"),
        ("file:/a/b.bundle", "/a/b.bundle"),
        ("file://localhost/a/b.bundle", "/a/b.bundle"),
        ("file://LocalHost/a/b.bundle", "/a/b.bundle"),
        ("file:////a//b.bundle", "/a/b.bundle"),
        ("file:///a/./c/../b.bundle", "/a/b.bundle"),
        ("file:///../../a", "/a"),
        ("file:///a/%2e%2E/b", "/b"),
        ("file:///a/", "/a"),
        ("file:///", "/"),
        ("file:///a%20b%25%3F%23.bundle", "/a b%?#.bundle"),
        ("file:///z%C3%A4hler", "/zähler"),
        ("file:///zähler", "/zähler"),
        ("file:///a+b&c=d~", "/a+b&c=d~"),
        ("http://example.org/x.bundle", None),
        ("https://example.org:8443/x.bundle?v=1", None),
        ("HTTP://[::1]:80/x", None),
    ],
)
def test_a_url_is_resolved(spec: str, path: str | None) -> None:
    assert resolve_bundle_path(spec) == path


def test_a_remote_bundle_has_no_fingerprint() -> None:
    assert stat_bundle("https://example.org/x.bundle") is None


@pytest.mark.parametrize(
    ("spec", "said", "advice"),
    [
        ("", "it is not a URL", "file:///path/to/vat.bundle"),
        ("c1.bundle", "it is not a URL", "file:///path/to/vat.bundle"),
        ("/abs/c1.bundle", "it is not a URL", "file:///abs/c1.bundle"),
        ("./a:b", "it is not a URL", "file:///"),
        ("://x", "it is not a URL", "file:///"),
        ("ftp://example.org/x", "cannot be fetched by ftp:", "file://, http:// or https://"),
        ("data:text/plain,x", "cannot be fetched by data:", "file://"),
        ("javascript:alert(1)", "cannot be fetched by javascript:", "file://"),
        ("file://vats/c1.bundle", "it names the host 'vats'", "file:///vats/c1.bundle"),
        ("file://c1.bundle", "it names the host 'c1.bundle'", "file:///c1.bundle"),
        ("file://", "its path is not absolute", "file:///"),
        ("file:c1.bundle", "its path is not absolute", "file:///"),
        ("file://localhost", "its path is not absolute", "file:///"),
        ("file:///a?v=1", "a file URL has no query", "%3F"),
        ("file:///a#x", "a file URL has no fragment", "%23"),
        ("file:///a b", "white space", "%20"),
        ("file:///a\n", "white space", "%20"),
        ("file:///a\0b", "control character", "%20"),
        ("file:///a%00b", "NUL", "%00"),
        ("file:///a%2Fb", "escaped slash", "'/'"),
        ("file:///a%", "'%' is not a percent escape", "%25"),
        ("file:///a%4", "'%4' is not a percent escape", "%25"),
        ("file:///a%zz", "'%zz' is not a percent escape", "%25"),
        ("file:///a% 1", "white space", "%20"),
        ("file:///a%é1", "is not a percent escape", "%25"),
        ("file:///a%ff", "its path is not UTF-8", "UTF-8"),
        ("file:///a\udc80", "its path is not UTF-8", "UTF-8"),
        ("http://", "it names no host", "https://example.org"),
        ("http:///x", "it names no host", "https://example.org"),
        ("http://host:port/x", "Port could not be cast", "https://example.org"),
        ("http://host:99999/x", "Port out of range", "https://example.org"),
        ("http://[::1/x", "Invalid IPv6 URL", "https://example.org"),
        ("http://exa mple.org/x", "white space", "%20"),
    ],
)
def test_a_url_that_cannot_be_fetched_is_named_with_what_to_write_instead(spec: str, said: str, advice: str) -> None:
    with pytest.raises(BundleUrlError) as caught:
        fetch_bundle(spec)
    error = caught.value
    assert said in error.message
    assert repr(spec) in error.message
    assert error.data["bundleSpec"] == spec
    assert error.remedy is not None
    assert advice in error.remedy
    with pytest.raises(BundleUrlError):
        stat_bundle(spec)


@settings(deadline=None)
@given(st.text() | st.text().map("file:///{}".format) | st.text().map("http://{}".format))
def test_any_text_is_resolved_or_refused_and_nothing_else(spec: str) -> None:
    try:
        path = resolve_bundle_path(spec)
    except BundleUrlError as error:
        assert error.remedy  # noqa: PT017 - either outcome is right
    else:
        assert path is None or (path.startswith("/") and os.path.normpath(path) == path)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BundleUrlError) as caught:
        fetch_bundle("https://bob:secret@example.org/x.bundle")
    assert "secret" not in str(caught.value.to_json())
    assert caught.value.data["bundleSpec"] == "https://example.org/x.bundle"


def test_a_huge_url_is_cut_in_the_message() -> None:
    with pytest.raises(BundleUrlError) as caught:
        fetch_bundle("x" * 1_000_000)
    assert len(caught.value.message) < 500


# --- pinned copies -------------------------------------------------------------------------------------------------


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
