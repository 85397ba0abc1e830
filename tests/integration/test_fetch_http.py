"""Fetching over HTTP from real servers, well-behaved and otherwise."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from http_server import (
    BUNDLE,
    MANY,
    Handler,
    Server,
    body,
    drip_body,
    drip_headers,
    raw,
    redirect,
    running,
    silence,
    status,
)
from watching import eventually

from kernel.bundle import sri
from kernel.errors import (
    BundleCorruptError,
    BundleError,
    BundleFetchError,
    BundleMissingError,
    BundleTimeoutError,
    BundleTooLargeError,
    IntegrityError,
)
from kernel.fetch import fetch_bundle
from kernel.fetch_http import MAX_REDIRECTS, redirect_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as server:
        yield server


def failure(url: str, kind: type[BundleError], **options: Any) -> BundleError:
    """Fetch what cannot be fetched, check what every such error has, and give it."""
    with pytest.raises(BundleError) as caught:
        fetch_bundle(url, **options)
    error = caught.value
    assert type(error) is kind, error.message
    assert error.data["url"] in error.message
    assert error.data["bundleSpec"] == url
    assert error.remedy
    return error


# --- what is fetched -----------------------------------------------------------------------------------------------


def test_a_bundle_is_fetched_by_its_url(server: Server) -> None:
    url = server.at("/x.bundle", body(BUNDLE))
    fetched = fetch_bundle(url, integrity=sri(BUNDLE))
    assert fetched.data == BUNDLE
    assert fetched.bundle.entry == "main"
    assert fetched.resolved == url
    assert fetched.fingerprint is None


def test_a_body_of_unstated_length_is_fetched(server: Server) -> None:
    assert fetch_bundle(server.at("/x", raw(b"HTTP/1.0 200 OK\r\n\r\n" + BUNDLE))).data == BUNDLE


def test_a_chunked_body_is_fetched(server: Server) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BUNDLE[:50], BUNDLE[50:])) + b"0\r\n\r\n"
    url = server.at("/x", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks))
    assert fetch_bundle(url).data == BUNDLE


def test_query_and_escapes_reach_the_server_as_they_were_written(server: Server) -> None:
    server.at("/a%20b%2Fz%C3%A4?v=1&w=%26", body(BUNDLE))
    assert fetch_bundle(server.url("/a%20b%2Fzä?v=1&w=%26#part")).data == BUNDLE


def test_the_request_asks_for_a_plain_body_and_says_who_asks(server: Server) -> None:
    fetch_bundle(server.at("/x", body(BUNDLE)))
    _, headers = server.requests[0]
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == "ocap-kernel"
    assert headers["host"] == f"127.0.0.1:{server.server_address[1]}"


def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch_bundle(server.at("/x", body(BUNDLE))).data == BUNDLE


# --- redirects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(server: Server, code: int) -> None:
    server.at("/real", body(BUNDLE))
    fetched = fetch_bundle(server.at("/x", redirect("/real", code)))
    assert fetched.data == BUNDLE
    assert fetched.resolved == server.url("/x")


def test_redirects_are_followed_up_to_a_bound(server: Server) -> None:
    for step in range(MAX_REDIRECTS):
        server.at(f"/{step}", redirect(f"/{step + 1}"))
    server.at(f"/{MAX_REDIRECTS}", body(BUNDLE))
    assert fetch_bundle(server.url("/0")).data == BUNDLE
    assert len(server.requests) == MAX_REDIRECTS + 1


def test_redirects_in_a_circle_are_given_up(server: Server) -> None:
    error = failure(server.at("/x", redirect("/x")), BundleFetchError)
    assert f"more than {MAX_REDIRECTS} redirects" in error.message
    assert len(server.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "https:///x", "http://[x/", "/a b"]
)
def test_a_redirect_to_anything_but_http_is_refused(server: Server, location: str) -> None:
    error = failure(server.at("/x", redirect(location)), BundleFetchError)
    assert f"redirects to {location!r}" in error.message


def test_a_redirect_without_a_target_is_refused(server: Server) -> None:
    assert "answered 302" in failure(server.at("/x", status(302)), BundleFetchError).message


def test_a_redirect_never_takes_the_encryption_off() -> None:
    assert redirect_target("http://a/x", "https://b/y", "") == "https://b/y"
    assert redirect_target("https://a/x/z", "../y", "") == "https://a/y"
    with pytest.raises(BundleFetchError) as caught:
        redirect_target("https://a/x", "http://a/y", "")
    assert "not encrypted" in caught.value.message


def test_an_error_after_a_redirect_names_where_it_happened_and_where_it_began(server: Server) -> None:
    error = failure(server.at("/x", redirect("/gone")), BundleMissingError)
    assert error.data["url"] == server.url("/gone")


# --- what the server refuses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [404, 410])
def test_what_the_server_does_not_have_is_missing(server: Server, code: int) -> None:
    error = failure(server.at("/x", status(code)), BundleMissingError)
    assert f"its server answered {code} " in error.message
    assert error.data["status"] == code


@pytest.mark.parametrize("code", [204, 206, 304, 400, 401, 403, 429, 500, 503])
def test_any_other_status_is_named(server: Server, code: int) -> None:
    error = failure(server.at("/x", status(code)), BundleFetchError)
    assert f"its server answered {code} " in error.message
    assert error.data["status"] == code


def test_a_reason_that_would_play_with_the_terminal_is_made_harmless(server: Server) -> None:
    error = failure(server.at("/x", raw(b"HTTP/1.0 500 \x1b[31mred\r\n\r\n")), BundleFetchError)
    assert "\x1b" not in error.message


def test_an_encoded_body_is_refused_by_the_encodings_name(server: Server) -> None:
    error = failure(server.at("/x", body(b"\x1f\x8b", Content_Encoding="gzip")), BundleFetchError)
    assert "'gzip'" in error.message


# --- size and content ----------------------------------------------------------------------------------------------


def test_a_body_said_to_be_too_large_is_refused_unread(server: Server) -> None:
    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(10 * 1024**3))
        handler.end_headers()
        silence(handler)

    assert f"{10 * 1024**3} bytes" in failure(server.at("/x", respond), BundleTooLargeError).message


def test_an_endless_body_is_cut_off_at_the_limit(server: Server) -> None:
    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not handler.server.closing.is_set():
            handler.raw(b" " * 65536)

    assert "more than 1000000 bytes" in failure(server.at("/x", respond), BundleTooLargeError, limit=1_000_000).message


def test_a_body_that_breaks_off_is_refused(server: Server) -> None:
    url = server.at("/x", raw(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n" + BUNDLE[:100]))
    assert "broke off after 100 of 1000 bytes" in failure(url, BundleFetchError).message


def test_a_chunked_body_that_breaks_off_is_refused(server: Server) -> None:
    url = server.at("/x", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc"))
    assert "broke off" in failure(url, BundleFetchError).message


def test_a_page_that_is_no_bundle_is_corrupt(server: Server) -> None:
    error = failure(server.at("/x", body(b"<html>Welcome to the hotel's network</html>")), BundleCorruptError)
    assert "does not begin with '{'" in error.message


def test_another_bundle_than_the_one_asked_for_is_refused(server: Server) -> None:
    url = server.at("/x", body(BUNDLE))
    assert sri(BUNDLE) in failure(url, IntegrityError, integrity=sri(b"other")).message


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("respond", [silence, drip_headers, drip_body])
def test_a_slow_server_costs_the_deadline_and_no_more(server: Server, respond: Callable[[Handler], None]) -> None:
    url = server.at("/x", respond)
    start = time.monotonic()
    error = failure(url, BundleTimeoutError, timeout=0.4)
    assert "was not fetched within 0.4 s" in error.message
    assert 0.35 < time.monotonic() - start < 3
    wait_until_no_fetch_is_left()


def test_redirects_share_one_deadline(server: Server) -> None:
    def slow_circle(handler: Handler) -> None:
        handler.server.closing.wait(0.2)
        redirect("/x")(handler)

    failure(server.at("/x", slow_circle), BundleTimeoutError, timeout=0.5)
    wait_until_no_fetch_is_left()


def test_a_server_that_accepts_and_says_nothing_is_timed_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        failure(f"http://127.0.0.1:{listener.getsockname()[1]}/x", BundleTimeoutError, timeout=0.3)
        wait_until_no_fetch_is_left()


def test_a_name_look_up_that_hangs_costs_the_deadline_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def look_up(*_: object, **__: object) -> list[Any]:
        released.wait(MANY)
        raise socket.gaierror(socket.EAI_AGAIN, "released")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    failure("http://example.invalid/x", BundleTimeoutError, timeout=0.3)
    released.set()
    wait_until_no_fetch_is_left()


def test_a_transfer_given_up_before_it_was_connected_asks_for_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    really = socket.getaddrinfo

    def look_up(*arguments: Any, **options: Any) -> list[Any]:
        released.wait(MANY)
        return really(*arguments, **options)

    url = server.at("/x", body(BUNDLE))
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    failure(url, BundleTimeoutError, timeout=0.3)
    released.set()
    wait_until_no_fetch_is_left()
    assert server.requests == []


def wait_until_no_fetch_is_left() -> None:
    """Wait until the thread of a transfer that was given up has ended."""
    eventually(
        lambda: not any(thread.name == "bundle-fetch" for thread in threading.enumerate()),
        "a transfer that was given up still runs",
    )


# --- connections ---------------------------------------------------------------------------------------------------


def test_a_defect_of_the_client_is_raised_and_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> list[Any]:
        raise KeyError("a defect")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(KeyError, match="a defect"):
        fetch_bundle("http://example.invalid/x")


def test_a_port_where_nobody_listens_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "nothing answers" in failure(f"http://127.0.0.1:{port}/x", BundleFetchError).message


def test_a_host_that_has_no_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert "Name or service not known" in failure("http://example.invalid/x", BundleFetchError).message


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "xn--a.example", "..", "%00"])
def test_a_host_that_is_no_host_is_refused(host: str) -> None:
    failure(f"http://{host}/x", BundleFetchError)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak HTTP"),
        (b"HTTP/1.0 200 OK\r\nX: " + b"x" * 100_000, "LineTooLong"),
        (b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 200, "more than 100 headers"),
    ],
)
def test_an_answer_that_is_not_http_is_said_to_be_none(server: Server, answer: bytes, said: str) -> None:
    assert said in failure(server.at("/x", raw(answer)), BundleFetchError).message


def test_a_certificate_that_nobody_vouches_for_is_refused(short_tmp: Path) -> None:
    server = Server()
    make_certificate(short_tmp)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(short_tmp / "cert.pem", short_tmp / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.scheme = "https"
    url = server.at("/x", body(BUNDLE))
    with running(server):
        assert "CERTIFICATE_VERIFY_FAILED" in failure(url, BundleFetchError).message


def test_a_bundle_is_fetched_over_tls(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    make_certificate(short_tmp)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(short_tmp / "cert.pem", short_tmp / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.scheme = "https"
    monkeypatch.setenv("SSL_CERT_FILE", str(short_tmp / "cert.pem"))
    url, slow = server.at("/x", body(BUNDLE)), server.at("/slow", drip_body)
    with running(server):
        assert fetch_bundle(url).data == BUNDLE
        failure(slow, BundleTimeoutError, timeout=0.4)
        wait_until_no_fetch_is_left()


def make_certificate(directory: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        + [
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ],
        cwd=directory,
        check=True,
        capture_output=True,
    )
