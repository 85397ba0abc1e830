"""Ocap URLs and pins: what those outside the kernel hold, and what becomes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bench import Bench
from vat_sources import BANK, MAKER, TAKER

from kernel.errors import (
    NotFoundError,
    OcapUrlError,
    QueryError,
    RefError,
    RevokedError,
    VatTerminatedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNED_BY_THE_MAKER = "SELECT 'ko' || id AS kref FROM objects WHERE owner = (SELECT min(id) FROM vats) ORDER BY id"


@pytest.fixture
def root(bench: Bench) -> str:
    return str(bench.launch_counter("counter")["rootKref"])


@pytest.fixture
def other(short_tmp: Path) -> Iterator[Bench]:
    """Give another kernel."""
    (short_tmp / "other").mkdir()
    bench = Bench(short_tmp / "other")
    bench.open()
    yield bench
    bench.close()


def test_a_url_finds_its_object_again_over_restarts_and_is_always_the_same(bench: Bench, root: str) -> None:
    url = bench.kernel.issue_ocap_url(root)
    assert re.fullmatch(r"ocap:[a-z2-7]{52}@[a-z2-7]{16}", url)
    assert root[2:] not in re.split(r"\W", url), "it does not show the number"
    assert bench.kernel.issue_ocap_url(root) == url
    bench.reopen()
    assert bench.kernel.redeem_ocap_url(url) == root
    assert bench.kernel.issue_ocap_url(root) == url


def test_no_part_of_a_url_can_be_altered(bench: Bench, root: str) -> None:
    url = bench.kernel.issue_ocap_url(root)
    for place in range(len("ocap:"), len(url)):
        altered = url[:place] + ("b" if url[place] != "b" else "c") + url[place + 1 :]
        with pytest.raises(OcapUrlError):
            bench.kernel.redeem_ocap_url(altered)


@pytest.mark.parametrize(
    "text", ["", "ko1", "ocap:", "ocap:@", "http://ko1", "ocap:é@é", "ocap:" + "a" * 1000, "ocap:=@x", "OCAP:a@b"]
)
def test_what_is_no_url_is_refused(bench: Bench, root: str, text: str) -> None:
    bench.kernel.issue_ocap_url(root)
    with pytest.raises(OcapUrlError):
        bench.kernel.redeem_ocap_url(text)


def test_a_url_is_useless_in_another_kernel(bench: Bench, root: str, other: Bench) -> None:
    url = bench.kernel.issue_ocap_url(root)
    with pytest.raises(OcapUrlError, match="of another kernel"):
        other.kernel.redeem_ocap_url(url)
    theirs = str(other.launch_counter("counter")["rootKref"])
    assert theirs == root
    assert other.kernel.issue_ocap_url(theirs) != url
    with pytest.raises(OcapUrlError, match="of another kernel"):
        other.kernel.redeem_ocap_url(url)


def test_a_url_goes_with_the_revocation_of_its_object(bench: Bench, root: str) -> None:
    url = bench.kernel.issue_ocap_url(root)
    bench.kernel.revoke(root)
    with pytest.raises(RevokedError, match=root):
        bench.kernel.redeem_ocap_url(url)
    with pytest.raises(RevokedError, match=root):
        bench.kernel.issue_ocap_url(root)
    bench.reopen()
    with pytest.raises(RevokedError, match=root):
        bench.kernel.redeem_ocap_url(url)


def test_a_url_goes_with_the_vat_of_its_object(bench: Bench) -> None:
    launched = bench.launch_counter("counter")
    url = bench.kernel.issue_ocap_url(launched["rootKref"])
    bench.run(bench.kernel.terminate_subcluster(launched["subclusterId"]))
    with pytest.raises(OcapUrlError, match="does not exist any more"):
        bench.kernel.redeem_ocap_url(url)
    assert (bench.rows("objects"), bench.rows("pins")) == (0, 0)


def test_the_key_cannot_be_read_by_a_query(bench: Bench, root: str) -> None:
    bench.kernel.issue_ocap_url(root)
    for sql in ("SELECT * FROM secrets", "SELECT count(*) AS n FROM secrets", "SELECT hex(value) FROM secrets"):
        with pytest.raises(QueryError):
            bench.kernel.execute_query(sql)


@pytest.mark.parametrize("how", ["url", "pin"])
def test_it_holds_a_durable_object_that_nothing_else_refers_to(
    bench: Bench, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.store.outside.LEASES", 0)
    launched = bench.launch(bench.config({"bank": bench.bundle("bank", BANK)}))
    bench.send(launched["rootKref"], "keep", "alice")
    kref = bench.ask(launched["rootKref"], "kept").slots[0]
    url = bench.kernel.issue_ocap_url(kref)
    if how == "pin":
        bench.kernel.pin(kref)
        bench.kernel.pin(kref)
    bench.send(launched["rootKref"], "close")
    bench.reopen()
    bench.run(bench.kernel.collect_garbage())
    assert bench.send(bench.kernel.redeem_ocap_url(url), "deposit", 3) == 3
    bench.kernel.revoke(kref) if how == "url" else bench.kernel.unpin(kref)
    if how == "pin":
        assert bench.send(kref, "deposit", 1) == 4, "its URL holds it still"
        bench.kernel.revoke(kref)
    bench.run_until(lambda: bench.rows("durables") == 0)
    bench.run_until(lambda: bench.rows("objects") == 1)


def test_an_object_that_does_not_survive_a_restart_has_a_url_no_longer(bench: Bench) -> None:
    pair = bench.launch(bench.config({"maker": bench.bundle("maker", MAKER), "taker": bench.bundle("taker", TAKER)}))
    url = bench.kernel.issue_ocap_url(bench.ask(pair["rootKref"], "make", 1).slots[0])
    bench.reopen()
    bench.run(bench.kernel.collect_garbage())
    with pytest.raises(OcapUrlError, match="does not exist any more"):
        bench.kernel.redeem_ocap_url(url)


def test_an_object_whose_vat_is_gone_is_given_no_url(bench: Bench) -> None:
    pair = bench.launch(bench.config({"maker": bench.bundle("maker", MAKER), "taker": bench.bundle("taker", TAKER)}))
    bench.send(pair["rootKref"], "hand_out", 1)
    (root, kref) = (str(row["kref"]) for row in bench.kernel.execute_query(OWNED_BY_THE_MAKER))
    assert root == pair["rootKref"]
    bench.run(bench.kernel.terminate_vat("v1"))
    with pytest.raises(VatTerminatedError, match=f"the vat that owned the object {kref}"):
        bench.kernel.issue_ocap_url(kref)
    assert bench.rows("pins") == 0


@pytest.mark.parametrize(("kref", "error"), [("ko99", NotFoundError), ("kp1", RefError), ("x", RefError)])
def test_only_objects_that_exist_have_urls_and_pins(bench: Bench, root: str, kref: str, error: type[Exception]) -> None:
    for ask in (bench.kernel.issue_ocap_url, bench.kernel.pin, bench.kernel.unpin):
        with pytest.raises(error):
            ask(kref)
