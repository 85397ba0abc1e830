"""Fetching from files: every way in which a bundle cannot be had is an error of its own, and none of them waits.

Permissions are tried on pyfakefs as a user without privileges, because the superuser, who runs these tests in many a
container, may read everything; all else is tried on real files.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kernel.bundle import parse_bundle
from kernel.errors import (
    BundleMissingError,
    BundleUnreadableError,
    BundleUrlError,
    ResourcesExhaustedError,
)
from kernel.fetch import Fingerprint, fetch_bundle, stat_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyfakefs.fake_filesystem import FakeFilesystem
from fetching import BUNDLE, failure, url

# --- what is fetched --------------------------------------------------------------------------------------------------


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


# --- what is missing --------------------------------------------------------------------------------------------------


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


# --- what cannot be read ----------------------------------------------------------------------------------------------


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


# --- permissions (pyfakefs) -------------------------------------------------------------------------------------------


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
