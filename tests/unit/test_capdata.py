from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from values import PASSABLES, PUBLISHED

from kernel.capdata import (
    CapData,
    RemoteError,
    Slot,
    Tagged,
    decode,
    encode,
    error_capdata,
    error_of,
)
from kernel.errors import CapDataError, VatTerminatedError


@given(PASSABLES)
def test_everything_passable_reads_back_as_it_was(value: object) -> None:
    data = encode(value)
    assert decode(data) == value
    assert repr(decode(data)) == repr(value)  # 1 and 1.0 and True are equal, but not the same


@given(PASSABLES)
def test_capdata_survives_json(value: object) -> None:
    data = encode(value)
    assert CapData.from_json(json.loads(json.dumps(data.to_json()))) == data
    data.body.encode()


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_reading_any_json_gives_a_value_or_the_typed_error(tree: object) -> None:
    try:
        value = decode(CapData("#" + json.dumps(tree), ()))
    except CapDataError:
        return
    encode(value)


@pytest.mark.parametrize(("value", "body"), PUBLISHED)
def test_the_published_examples(value: object, body: str) -> None:
    assert encode(value) == CapData("#" + body, ())
    assert decode(CapData("#" + body, ())) == value


def test_not_a_number() -> None:
    assert encode(math.nan).body == '#"#NaN"'
    assert math.isnan(decode(CapData('#"#NaN"', ())))


def test_undefined_and_null_both_read_as_none() -> None:
    assert decode(CapData("#null", ())) is None
    assert decode(CapData('#"#undefined"', ())) is None


def test_small_integers_written_as_bigints_are_read_too() -> None:
    assert decode(CapData('#["+7","-7"]', ())) == [7, -7]


@pytest.mark.parametrize("exponent", [4299, 4300, 4301, 50_000])
def test_integers_may_be_very_long(exponent: int) -> None:
    value = 10**exponent + 7
    assert decode(encode(value)) == value
    assert decode(encode(-value)) == -value


def test_the_digits_of_long_integers_are_bounded_together() -> None:
    long = 10**150_000
    with pytest.raises(CapDataError, match="integers of more than 200000 digits"):
        encode([long, long])
    body = encode(10**90_000).body[1:]
    with pytest.raises(CapDataError, match="integers of more than 200000 digits"):
        decode(CapData(f"#[{body},{body},{body}]", ()))
    assert len(decode(encode([2**64] * 20_000))) == 20_000


@pytest.mark.parametrize("character", "!\"#$%&'()*+,-")
def test_strings_and_keys_that_begin_with_a_special_character_are_escaped(character: str) -> None:
    value = {character + "key": character}
    data = encode(value)
    assert data.body == "#" + json.dumps({"!" + character + "key": "!" + character}, separators=(",", ":"))
    assert decode(data) == value


def test_a_lone_surrogate_passes() -> None:
    data = encode("\ud800")
    data.body.encode()
    assert decode(data) == "\ud800"


def test_bytes_have_a_tag_of_their_own() -> None:
    assert encode(b"\x00\xff").body == '#{"#tag":"bytes","payload":"AP8="}'
    assert encode(b"\xf8").body == '#{"#tag":"bytes","payload":"!+A=="}'
    assert decode(encode(b"\xf8")) == b"\xf8"
    with pytest.raises(CapDataError, match="tag 'bytes', which stands for bytes"):
        encode(Tagged("bytes", "AP8="))


def test_tuples_read_back_as_lists() -> None:
    assert decode(encode((1, (2,)))) == [1, [2]]


def test_a_reference_brings_its_interface_along_once() -> None:
    root = Slot("ko3", "Alleged: Root")
    data = encode([root, root, Slot("kp4")])
    assert data == CapData('#["$0.Alleged: Root","$0","&1"]', ("ko3", "kp4"))
    assert decode(data) == [root, root, Slot("kp4")]


def test_a_reference_is_asked_for_once_however_often_it_is_mentioned() -> None:
    asked = []
    decode(CapData('#["$0.Alleged: A","$0","$0"]', ("o-1",)), lambda slot, iface: asked.append((slot, iface)))
    assert asked == [("o-1", "Alleged: A")]


def test_errors_keep_name_message_and_code() -> None:
    data = encode(VatTerminatedError("vat v3 has been terminated"))
    assert decode(data) == RemoteError("VatTerminatedError", "vat v3 has been terminated", "vat-terminated")
    assert error_of(data) == ("VatTerminatedError", "vat v3 has been terminated")


def test_an_error_whose_text_fails_still_passes() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert error_of(encode(BrokenError())) == ("BrokenError", "(its message could not be rendered: RuntimeError)")


@pytest.mark.parametrize("message", ["plain", "#escaped", "", "two\nlines", "ünï"])
def test_an_error_by_name_and_message(message: str) -> None:
    data = error_capdata("ValueError", message)
    assert error_of(data) == ("ValueError", message)


@pytest.mark.parametrize("body", ["#7", '#{"x":1}', '#{"#error":7}', "", "#", '#{"'])
def test_what_is_no_error_has_no_name_and_message(body: str) -> None:
    assert error_of(CapData(body, ())) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "value is of type object, which cannot be passed"),
        ({"peers": [1, {"b": {2}}]}, 'value["peers"][1]["b"] is of type set, which cannot be passed'),
        ({"a": {1: 2}}, r'value["a"] has the key 1 of type int'),
        (Tagged("t", lambda: 1), 'value["payload"] is of type function'),
        (Tagged(3, 1), "has a tag of type int"),  # type: ignore[arg-type]  # what is tried
    ],
)
def test_what_cannot_be_passed_is_named_by_its_place(value: object, message: str) -> None:
    with pytest.raises(CapDataError) as caught:
        encode(value)
    assert message in str(caught.value)
    assert str(caught.value) == caught.value.message


def test_a_list_that_contains_itself_cannot_be_passed() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(CapDataError, match="nested deeper than 200 levels, or contains itself"):
        encode(endless)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("7", "does not begin with '#'"),
        ("#", "is not JSON"),
        ("#{", "is not JSON"),
        ("#NaN", "is not JSON"),
        ("#7 8", "is not JSON"),
        ('#"$0"', "names slot 0, but there are only 0"),
        ('#"$x"', "names no slot"),
        ('#"$"', "names no slot"),
        ('#"$00"', "names no slot"),
        ('#"$-1"', "names no slot"),
        ('#"#foo"', "no meaning in smallcaps"),
        ('#"(x"', "no meaning in smallcaps"),
        ('#{"$0":1}', "the key '$0', which has no meaning"),
        ('#{"#tag":"t"}', "other keys"),
        ('#{"#tag":"t","payload":1,"more":2}', "other keys"),
        ('#{"#tag":7,"payload":1}', "no string under '#tag'"),
        ('#{"#tag":"bytes","payload":"?"}', "not base64"),
        ('#{"#tag":"bytes","payload":7}', "not a base64 string"),
        ('#{"#error":"m"}', "no string under 'name'"),
        ('#"+x"', "is not an integer"),
        ('#"+"', "is not an integer"),
        ('#["a","-"]', "value[1] has '-'"),
        ("#" + "[" * 100_000, "nested too deeply"),
        ("#" + "[" * 300 + "]" * 300, "nested deeper than 200 levels"),
        ("#" + "9" * 5000, "is not JSON"),
    ],
)
def test_what_is_not_smallcaps_is_refused(body: str, message: str) -> None:
    with pytest.raises(CapDataError) as caught:
        decode(CapData(body, ()))
    assert message in str(caught.value)


@pytest.mark.parametrize(("body", "slot"), [('#"$0"', "p-1"), ('#"&0"', "o-1"), ('#"$0"', "kp1"), ('#"&0"', "ko1")])
def test_a_sigil_that_contradicts_its_slot_is_refused(body: str, slot: str) -> None:
    with pytest.raises(CapDataError, match="which its name denies"):
        decode(CapData(body, (slot,)))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"body": "#1"},
        {"body": 1, "slots": []},
        {"body": "#1", "slots": "x"},
        {"body": "#1", "slots": [1]},
        {"body": "#1", "slots": [], "more": 1},
    ],
)
def test_json_of_another_form_is_not_capdata(value: object) -> None:
    with pytest.raises(CapDataError):
        CapData.from_json(value)


def test_a_remote_error_is_equal_to_its_copy_and_says_what_it_is() -> None:
    import pickle

    error = RemoteError("TypeError", "no", "code")
    assert pickle.loads(pickle.dumps(error)) == error
    assert {error: 1}[RemoteError("TypeError", "no", "code")] == 1
    assert error != "no"
    assert repr(error) == "RemoteError('TypeError', 'no')"
    assert str(error) == "no"
