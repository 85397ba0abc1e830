"""Arguments and answers of messages at the shell: JSON where it can be, CapData where it must be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from kernel.capdata import CapData, RemoteError, Slot, Symbol, Tagged, encode
from kernel.cli.messages import parse_argument, parse_params, plain_value, resolve_bundle_specs
from kernel.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('"1"', "1"),
        ('{"a": [1]}', {"a": [1]}),
        ("hello", "hello"),
        ("hello world", "hello world"),
        ("", ""),
        ("{a: 1}", "{a: 1}"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("ko4", "ko4"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_an_argument_is_json_or_else_a_string(text: str, value: object) -> None:
    assert parse_argument(text) == value


@pytest.mark.parametrize("value", [None, True, 0, -7, 10**400, 1.5, "hällo", "#!$", [], [1, [None]], {"a": {"b": 1}}])
def test_a_plain_answer_is_shown_as_its_value(value: object) -> None:
    assert plain_value(encode(value).to_json()) == (value,)


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        math.inf,
        math.nan,
        [1, math.inf],
        {"a": Tagged("t", 1)},
        RemoteError("Error", "no"),
        Symbol("s"),
        Slot("ko4", "Alleged: Root"),
        [Slot("kp9")],
    ],
)
def test_an_answer_without_a_plain_form_is_left_as_capdata(value: object) -> None:
    assert plain_value(encode(value).to_json()) is None


@pytest.mark.parametrize("answer", [None, 1, "#1", {"body": "1", "slots": []}, {"body": "#{", "slots": []}, {"a": 1}])
def test_an_answer_that_is_no_capdata_is_left_as_it_is(answer: object) -> None:
    assert plain_value(answer) is None


def test_an_undefined_answer_is_null() -> None:
    assert plain_value(CapData('#"#undefined"', ()).to_json()) == (None,)


@pytest.mark.parametrize(("text", "params"), [(None, []), ("[]", []), ('{"id": "v1"}', {"id": "v1"}), (" [1] ", [1])])
def test_the_parameters_of_a_method_are_an_array_or_an_object(text: str | None, params: object) -> None:
    assert parse_params(text) == params


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("1", "array or object, not 1"),
        ('"v1"', "array or object"),
        ("[NaN]", "NaN"),
    ],
)
def test_other_parameters_are_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_params(text)


def test_a_relative_bundle_spec_is_taken_relative_to_the_working_directory(tmp_path: Path) -> None:
    params: dict[str, Any] = {
        "config": {
            "bootstrap": "a",
            "vats": {
                "a": {"bundleSpec": "./x y.bundle"},
                "b": {"bundleSpec": "https://example.org/b.bundle"},
                "c": {"bundleSpec": "/abs/c.bundle"},
            },
        }
    }

    vats = resolve_bundle_specs("launchSubcluster", params, str(tmp_path))["config"]["vats"]

    assert vats["a"]["bundleSpec"] == (tmp_path / "x y.bundle").as_uri()
    assert vats["b"]["bundleSpec"] == "https://example.org/b.bundle"
    assert vats["c"]["bundleSpec"] == "file:///abs/c.bundle"


def test_the_bundles_of_a_repair_are_resolved_too(tmp_path: Path) -> None:
    params = resolve_bundle_specs("repairSubcluster", {"id": "s1", "bundles": {"main": "x.bundle"}}, str(tmp_path))

    assert params["bundles"] == {"main": (tmp_path / "x.bundle").as_uri()}


@pytest.mark.parametrize(
    "params", [[], {}, {"config": 1}, {"config": {"vats": []}}, {"config": {"vats": {"a": 1, "b": {"bundleSpec": 1}}}}]
)
def test_what_is_not_of_the_expected_form_is_left_for_the_daemon_to_refuse(params: object) -> None:
    assert resolve_bundle_specs("launchSubcluster", params, "/") == params
