"""Cluster configurations: what passes, and how each mistake is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.bundle import sri
from kernel.config import (
    MAX_DEPTH,
    MAX_SOCKET_PATH_BYTES,
    ClusterConfig,
    IoConfig,
    VatConfig,
    absolute_bundle_spec,
    parse_cluster_config,
)
from kernel.errors import ConfigError
from kernel.fetch import resolve_bundle_path

DIGEST = sri(b"anything")


def config(**changes: Any) -> dict[str, Any]:
    """Give a valid configuration of the vats alice and bob, with top-level keys changed."""
    return {"bootstrap": "alice", "vats": {"alice": vat(), "bob": vat()}, **changes}


def vat(**changes: Any) -> dict[str, Any]:
    return {"bundleSpec": "file:///v/vat.bundle", **changes}


def with_bob(**changes: Any) -> dict[str, Any]:
    return config(vats={"alice": vat(), "bob": vat(**changes)})


def with_channel(**changes: Any) -> dict[str, Any]:
    return config(io={"lines": {"type": "socket", "path": "/run/lines.sock", **changes}})


def refusal(value: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_cluster_config(value)
    assert caught.value.data["key"] in caught.value.message
    return caught.value


# --- what passes ---------------------------------------------------------------------------------------------------


def test_a_whole_configuration_is_read() -> None:
    found = parse_cluster_config(
        {
            "bootstrap": "alice",
            "vats": {
                "alice": {"bundleSpec": "file:///v/a.bundle", "parameters": {"n": [1, None, 2.5, "x", {"y": True}]}},
                "bob-2": {
                    "bundleSpec": "https://example.org/b.bundle",
                    "globals": ["Date", "logger"],
                    "integrity": DIGEST,
                    "pin": True,
                },
            },
            "services": ["clock"],
            "io": {"lines": {"type": "socket", "path": "/run/lines.sock"}},
        }
    )
    assert found == ClusterConfig(
        bootstrap="alice",
        vats={
            "alice": VatConfig("file:///v/a.bundle", {"n": [1, None, 2.5, "x", {"y": True}]}, (), None, False),
            "bob-2": VatConfig("https://example.org/b.bundle", {}, ("Date", "logger"), DIGEST, True),
        },
        services=("clock",),
        io={"lines": IoConfig("socket", "/run/lines.sock", "inout")},
    )


NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.dictionaries(
        NAMES, st.tuples(st.dictionaries(st.text(), JSON, max_size=3), st.booleans()), min_size=1, max_size=3
    ),
    st.lists(NAMES, unique=True, max_size=3),
)
def test_what_is_written_as_json_is_read_back_the_same(
    vats: dict[str, tuple[dict[str, Any], bool]], services: list[str]
) -> None:
    given_config = {
        "bootstrap": next(iter(vats)),
        "vats": {name: vat(parameters=parameters, pin=pin) for name, (parameters, pin) in vats.items()},
        "services": services,
    }
    found = parse_cluster_config(given_config)
    assert parse_cluster_config(json.loads(json.dumps(found.to_json()))) == found


def test_defaults_are_left_out_of_the_json() -> None:
    plain = config()
    assert parse_cluster_config(plain).to_json() == plain


def test_a_channel_is_written_with_its_direction() -> None:
    assert parse_cluster_config(with_channel()).to_json()["io"] == {
        "lines": {"type": "socket", "path": "/run/lines.sock", "direction": "inout"}
    }


def test_globals_and_integrity_are_written_when_they_are_given() -> None:
    whole = with_bob(globals=["Date"], integrity=DIGEST, pin=True, parameters={"n": 1})
    assert parse_cluster_config(whole).to_json() == whole


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["bootstrap", "vats", "services", "io", "network"]),
        JSON
        | st.dictionaries(st.text(), st.dictionaries(st.sampled_from(["bundleSpec", "type", "path", "pin"]), JSON)),
        max_size=4,
    )
    | JSON
)
def test_any_json_is_a_configuration_or_an_error_that_names_a_key(value: object) -> None:
    try:
        found = parse_cluster_config(value)
    except ConfigError as error:
        assert error.data["key"] in error.message  # noqa: PT017 - either outcome is right
    else:
        assert parse_cluster_config(found.to_json()) == found


def test_parameters_are_copied_so_that_nobody_changes_them_later() -> None:
    parameters = {"list": [1]}
    found = parse_cluster_config(with_bob(parameters=parameters))
    parameters["list"].append(2)
    assert found.vats["bob"].parameters == {"list": [1]}


def test_several_digests_may_be_given() -> None:
    found = parse_cluster_config(with_bob(integrity=f"  {DIGEST}\n {DIGEST}"))
    assert found.vats["bob"].integrity == f"{DIGEST} {DIGEST}"


# --- keys ----------------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_named_by_its_path_with_what_was_meant() -> None:
    error = refusal(config(vats={"alice": vat(), "bob": {"bundelSpec": "file:///v"}}))
    assert error.data["key"] == "vats.bob.bundelSpec"
    assert error.remedy == "Did you mean 'bundleSpec'?"


def test_an_unknown_key_like_nothing_known_is_answered_with_the_known_ones() -> None:
    error = refusal(config(zzz=1))
    assert error.data["key"] == "zzz"
    assert error.remedy == "Known keys here: bootstrap, vats, services, io."


def test_an_unknown_key_of_a_channel_is_named() -> None:
    assert refusal(with_channel(mode="x")).data["key"] == "io.lines.mode"


@pytest.mark.parametrize("key", ["forceReset", "bundles"])
def test_a_cluster_key_of_the_public_daemon_is_refused_with_the_reason(key: str) -> None:
    error = refusal(config(**{key: {}}))
    assert f"{key} is not supported: " in error.message
    assert len(error.message) > len(key) + 40


@pytest.mark.parametrize("key", ["sourceSpec", "bundleName", "creationOptions", "platformConfig", "network"])
def test_a_vat_key_of_the_public_daemon_is_refused_with_the_reason(key: str) -> None:
    error = refusal(with_bob(**{key: {}}))
    assert f"vats.bob.{key} is not supported: " in error.message


@pytest.mark.parametrize("key", ["bootstrap", "vats"])
def test_a_missing_cluster_key_is_named(key: str) -> None:
    value = config()
    del value[key]
    assert refusal(value).message == f"{key} is missing"


def test_a_vat_without_a_bundle_is_named() -> None:
    assert refusal(config(vats={"alice": {}})).message == "vats.alice.bundleSpec is missing"


# --- types ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"), [(None, "null"), ([], "a list"), ("x", "a string"), (1, "a number"), (True, "a boolean")]
)
def test_a_configuration_that_is_no_object_is_refused(value: object, said: str) -> None:
    assert refusal(value).message == f"The configuration must be a JSON object, not {said}"


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (config(bootstrap=1), "bootstrap"),
        (config(vats=[]), "vats"),
        (config(vats={}), "vats"),
        (config(vats={"alice": "file:///v"}), "vats.alice"),
        (config(vats={"alice": vat(bundleSpec=7)}), "vats.alice.bundleSpec"),
        (config(vats={"alice": vat(bundleSpec="")}), "vats.alice.bundleSpec"),
        (config(vats={"alice": vat(bundleSpec="file:///a\0b")}), "vats.alice.bundleSpec"),
        (config(vats={"alice": vat(bundleSpec="file:///\ud800")}), "vats.alice.bundleSpec"),
        (with_bob(parameters=[1]), "vats.bob.parameters"),
        (with_bob(parameters=None), "vats.bob.parameters"),
        (with_bob(globals="Date"), "vats.bob.globals"),
        (with_bob(globals=[1]), "vats.bob.globals[0]"),
        (with_bob(globals=["Date", "Date"]), "vats.bob.globals[1]"),
        (with_bob(integrity=1), "vats.bob.integrity"),
        (with_bob(pin=1), "vats.bob.pin"),
        (config(services={}), "services"),
        (config(services=["a", "not a name"]), "services[1]"),
        (config(io=[]), "io"),
        (config(io={"x": {"type": "socket"}}), "io.x.path"),
        (with_channel(type="tcp"), "io.lines.type"),
        (with_channel(path="relative.sock"), "io.lines.path"),
        (with_channel(path="/" + "x" * MAX_SOCKET_PATH_BYTES), "io.lines.path"),
        (with_channel(path="/" + "é" * (MAX_SOCKET_PATH_BYTES // 2 + 1)), "io.lines.path"),
        (with_channel(direction="both"), "io.lines.direction"),
        (with_channel(direction=None), "io.lines.direction"),
        (config(vats={1: vat()}), "vats"),
    ],
)
def test_a_value_of_the_wrong_form_is_named_by_its_path(value: object, key: str) -> None:
    assert refusal(value).data["key"] == key


def test_a_path_of_just_the_right_length_passes() -> None:
    path = "/" + "x" * (MAX_SOCKET_PATH_BYTES - 1)
    assert parse_cluster_config(with_channel(path=path)).io["lines"].path == path


def test_two_channels_on_one_path_are_refused() -> None:
    channel = {"type": "socket", "path": "/run/a.sock"}
    error = refusal(config(io={"a": channel, "b": {**channel, "path": "/run/./a.sock"}}))
    assert error.data["key"] == "io.b.path"
    assert "io.a" in error.message


def test_the_bootstrap_vat_must_be_one_of_the_vats() -> None:
    error = refusal(config(bootstrap="alcie"))
    assert "'alcie'" in error.message
    assert error.remedy == "Did you mean 'alice'?"


@pytest.mark.parametrize("name", ["", "1st", "has space", "a.b", "x" * 65, "é", "a\n", "-a", "a/b"])
def test_a_vat_needs_a_name_like_an_identifier(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cluster_config(config(bootstrap=name, vats={name: vat()}))
    assert caught.value.message.startswith("vats")


@pytest.mark.parametrize(
    ("integrity", "said"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("md5-1B2M2Y8AsgTpgAmY7PhCfg==", "does not begin with"),
        ("sha256:abc", "does not begin with"),
        ("sha256-!!!!", "is not base64"),
        ("sha256-é", "is not base64"),
        ("sha256-AAAA", "holds 3 bytes where sha256 has 32"),
        (f"{DIGEST} sha512-AAAA", "holds 3 bytes where sha512 has 64"),
    ],
)
def test_an_integrity_that_would_check_nothing_is_refused(integrity: str, said: str) -> None:
    error = refusal(with_bob(integrity=integrity))
    assert error.data["key"] == "vats.bob.integrity"
    assert said in error.message


# --- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        ({"a": [1, float("nan")]}, "vats.bob.parameters.a[1]"),
        ({"a": float("-inf")}, "vats.bob.parameters.a"),
        ({"a": {"b": b"bytes"}}, "vats.bob.parameters.a.b"),
        ({"a": (1, 2)}, "vats.bob.parameters.a"),
        ({"a": {1: 2}}, "vats.bob.parameters.a"),
        ({"a": "\udc80"}, "vats.bob.parameters.a"),
        ({"a": {"\udc80": 1}}, "vats.bob.parameters.a"),
        ({"a": 10**5000}, "vats.bob.parameters.a"),
    ],
)
def test_parameters_that_are_not_json_are_named_by_their_place(parameters: object, key: str) -> None:
    assert refusal(with_bob(parameters=parameters)).data["key"] == key


def test_parameters_nested_too_deeply_are_refused_however_deep_they_are() -> None:
    nested: list[Any] = []
    nested.append(nested)
    assert f"more than {MAX_DEPTH} deep" in refusal(with_bob(parameters={"a": nested})).message


# --- bundle specs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "absolute"),
    [
        ("c1.bundle", "file:///base/c1.bundle"),
        ("./sub/../c1.bundle", "file:///base/c1.bundle"),
        ("../c1.bundle", "file:///c1.bundle"),
        ("/abs/c1.bundle", "file:///abs/c1.bundle"),
        ("my vat#1?.bundle", "file:///base/my%20vat%231%3F.bundle"),
        ("100%.bundle", "file:///base/100%25.bundle"),
        ("ä:b.bundle", "file:///base/%C3%A4%3Ab.bundle"),
        ("file:///x/y.bundle", "file:///x/y.bundle"),
        ("file:/x/y.bundle", "file:/x/y.bundle"),
        ("HTTPS://example.org/y", "HTTPS://example.org/y"),
        ("ftp://example.org/y", "ftp://example.org/y"),
    ],
)
def test_a_path_becomes_a_url_and_a_url_stays(spec: str, absolute: str) -> None:
    assert absolute_bundle_spec(spec, "/base") == absolute


@settings(deadline=None)
@given(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1).filter(
        lambda name: name not in (".", "..") and "://" not in name and not name.lower().startswith("file:")
    )
)
def test_the_url_of_a_path_leads_back_to_the_path(name: str) -> None:
    assert resolve_bundle_path(absolute_bundle_spec(name, "/base")) == f"/base/{name}"


def test_an_absolute_path_sent_to_the_daemon_is_taken_for_what_it_is() -> None:
    found = parse_cluster_config(with_bob(bundleSpec="/v/a.bundle"))
    assert found.vats["bob"].bundle_spec == "file:///v/a.bundle"


def test_a_relative_path_sent_to_the_daemon_is_not_resolved_against_some_directory() -> None:
    found = parse_cluster_config(with_bob(bundleSpec="a.bundle"))
    assert found.vats["bob"].bundle_spec == "a.bundle"
