"""Bundle URLs: which place one names, and what is refused with what to write instead."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import (
    BundleUrlError,
)
from kernel.fetch import fetch_bundle, resolve_bundle_path, stat_bundle

if TYPE_CHECKING:
    pass


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
