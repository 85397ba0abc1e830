"""Identifiers as text: one accepted text for each identifier, and an error that names any other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel import refs
from kernel.errors import RefError

NUMBERS = st.integers(min_value=0, max_value=refs.MAX_NUMBER)

NOT_NUMBERS = ["", "01", "00", "-1", "+1", " 1", "1 ", "1\n", "1.0", "1e3", "x", "1_0", "٣", "²", "9223372036854775808"]


@settings(deadline=None)
@given(NUMBERS)
def test_each_kind_of_identifier_survives_a_round_trip(number: int) -> None:
    assert refs.parse_kref(refs.object_kref(number)) == ("object", number)
    assert refs.parse_kref(refs.promise_kref(number)) == ("promise", number)
    assert refs.parse_vat_id(refs.vat_id(number)) == number
    assert refs.parse_subcluster_id(refs.subcluster_id(number)) == number


@settings(deadline=None)
@given(NUMBERS, st.sampled_from(["o+", "o-", "p+", "p-"]))
def test_a_vref_survives_a_round_trip(number: int, prefix: str) -> None:
    text = f"{prefix}{number}"
    vref = refs.parse_vref(text)
    assert vref == ("object" if prefix[0] == "o" else "promise", prefix[1] == "+", number)
    assert refs.format_vref(vref) == text


@pytest.mark.parametrize("text", ["ko1", "kp0", "ko9223372036854775807"])
def test_a_kref_is_formatted_as_it_was_read(text: str) -> None:
    assert refs.format_kref(refs.parse_kref(text)) == text


def test_the_root_is_the_first_object_that_a_vat_exports() -> None:
    assert refs.parse_vref(refs.ROOT_VREF) == refs.Vref("object", True, 0)


@pytest.mark.parametrize("number", NOT_NUMBERS)
def test_a_number_has_one_spelling_only(number: str) -> None:
    for prefix in ("ko", "kp"):
        with pytest.raises(RefError):
            refs.parse_kref(prefix + number)
    for prefix in ("o+", "o-", "p+", "p-"):
        with pytest.raises(RefError):
            refs.parse_vref(prefix + number)
    with pytest.raises(RefError):
        refs.parse_vat_id("v" + number)
    with pytest.raises(RefError):
        refs.parse_subcluster_id("s" + number)


@pytest.mark.parametrize("text", ["", "k", "KO1", "o+1", "v1", " ko1", "kx1"])
def test_what_is_not_a_kref_is_named(text: str) -> None:
    with pytest.raises(RefError) as caught:
        refs.parse_kref(text)
    assert repr(text) in caught.value.message
    assert caught.value.data["ref"] == text
    assert caught.value.remedy is not None
    assert "ko4" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "o1", "o", "q+1", "ko1", "o+-1"])
def test_what_is_not_a_vref_is_named(text: str) -> None:
    with pytest.raises(RefError) as caught:
        refs.parse_vref(text)
    assert repr(text) in caught.value.message


@pytest.mark.parametrize(("text", "noun"), [("1", "vat id"), ("s1", "vat id"), ("vv1", "vat id")])
def test_what_is_not_a_vat_id_is_named(text: str, noun: str) -> None:
    with pytest.raises(RefError) as caught:
        refs.parse_vat_id(text)
    assert f"{text!r} is not a {noun}" in caught.value.message


def test_what_is_not_a_subcluster_id_is_named() -> None:
    with pytest.raises(RefError) as caught:
        refs.parse_subcluster_id("v1")
    assert "'v1' is not a subcluster id" in caught.value.message


@pytest.mark.parametrize("value", [None, 4, True, b"ko4", ["ko4"], {}])
def test_what_is_not_text_is_refused_by_its_type(value: object) -> None:
    for parse in (refs.parse_kref, refs.parse_vref, refs.parse_vat_id, refs.parse_subcluster_id):
        with pytest.raises(RefError) as caught:
            parse(value)
        assert type(value).__name__ in caught.value.message


def test_a_huge_text_is_cut_in_the_message() -> None:
    with pytest.raises(RefError) as caught:
        refs.parse_kref("ko" + "9" * 1_000_000)
    assert len(caught.value.message) < 200
