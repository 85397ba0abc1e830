"""Cluster configurations: which vats a subcluster has, what they are given, and which IO channels it opens.

Everything a client may send is checked here, once, before any state changes; what passes is plain immutable data that
the rest of the kernel need not check again.  Invariants: an error names the offending key by its path
(``vats.bob.bundelSpec``); ``parse_cluster_config(config.to_json())`` gives ``config`` back.  Whether a bundle can be
fetched, a service exists or a channel can be opened is not known here.
"""

from __future__ import annotations

import math
import os
import re
import sys

from kernel.bundle import parse_integrity
from kernel.errors import ConfigError
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MAX_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""What fits in the address of a Unix socket, without its closing NUL."""
MAX_DEPTH = 64
"""How deeply a vat's parameters may be nested."""

_MAX_INTEGER_BITS = 14_000  # Python writes and reads no integer of more than 4300 digits

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
_NAME_RULE = "a name has 1 to 64 letters, digits, '_' or '-', and begins with a letter or '_'"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", re.ASCII | re.IGNORECASE)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]*", re.ASCII)

_CLUSTER_KEYS = ("bootstrap", "vats", "services", "io")
_VAT_KEYS = ("bundleSpec", "parameters", "globals", "integrity", "pin")
_IO_KEYS = ("type", "path", "direction")
_DIRECTIONS = ("in", "out", "inout")

_NOT_HERE = {
    "forceReset": "a launch never deletes other subclusters here: terminate them, or purge the home, first",
    "bundles": "bundles are not named apart from the vats here: give each vat its own bundleSpec",
    "sourceSpec": "source is not bundled at launch here: build it with `ocap bundle` and give its bundleSpec",
    "bundleName": "bundles have no names here: give the bundle's URL as bundleSpec",
    "creationOptions": "vats take no creation options here: give a vat its settings as parameters",
    "platformConfig": "vats have no platform beyond their globals here: every vat is confined alike",
    "network": "vats have no network access here: every vat is confined",
}


class VatConfig(Record):
    """What one vat is made of.

    Attributes:
        bundle_spec: URL of its bundle.
        parameters: JSON object handed to ``build_root_object``.
        globals: Names of the extra globals it is endowed with.
        integrity: Digests of the bundle's bytes, one of which must match (``sha256-…``), or None.
        pin: Whether the kernel keeps its own copy of the bundle.
    """

    bundle_spec: str
    parameters: Any
    globals: tuple[str, ...]
    integrity: str | None
    pin: bool

    def to_json(self) -> dict[str, Any]:
        """Give the configuration as JSON data, without what is left at its default."""
        record: dict[str, Any] = {"bundleSpec": self.bundle_spec}
        if self.parameters:
            record["parameters"] = self.parameters
        if self.globals:
            record["globals"] = list(self.globals)
        if self.integrity is not None:
            record["integrity"] = self.integrity
        if self.pin:
            record["pin"] = True
        return record


class IoConfig(Record):
    """One IO channel: a Unix socket at ``path`` that carries lines ``in``, ``out`` or both (``inout``)."""

    type: str
    path: str
    direction: str


class ClusterConfig(Record):
    """What a subcluster is made of: its vats, the one that is bootstrapped, its services and its IO channels."""

    bootstrap: str
    vats: dict[str, VatConfig]
    services: tuple[str, ...]
    io: dict[str, IoConfig]

    def to_json(self) -> dict[str, Any]:
        """Give the configuration as JSON data, without what is left at its default."""
        record: dict[str, Any] = {
            "bootstrap": self.bootstrap,
            "vats": {name: vat.to_json() for name, vat in self.vats.items()},
        }
        if self.services:
            record["services"] = list(self.services)
        if self.io:
            record["io"] = {name: channel._asdict() for name, channel in self.io.items()}
        return record


def parse_cluster_config(value: object, *, base: str | None = None) -> ClusterConfig:
    """Check a cluster configuration that a client sent, or that stands in a file.

    A ``bundleSpec`` that is an absolute path becomes a ``file://`` URL; whether the URL is one that can be fetched is
    decided by :mod:`kernel.fetch`.

    Args:
        value: The configuration, as JSON data.
        base: The directory that a relative path is relative to; when left out, there may be none.

    Raises:
        ConfigError: Naming the key by its path, in ``data["key"]`` too.
    """
    record = _record(value, "", _CLUSTER_KEYS, required=("bootstrap", "vats"))
    vats_value = _mapping(record["vats"], "vats")
    if not vats_value:
        raise _bad("vats", "holds no vat", "Name at least one vat with its bundleSpec.")
    vats = {_name(name, "vats"): _vat(vat, f"vats.{name}", base) for name, vat in vats_value.items()}
    bootstrap = _text(record["bootstrap"], "bootstrap")
    if bootstrap not in vats:
        raise _bad(
            "bootstrap",
            f"names {_shown(bootstrap)}, which is not one of the vats",
            _suggest(bootstrap, vats) or f"Name one of: {', '.join(vats)}.",
        )
    io = {
        _name(name, "io"): _channel(channel, f"io.{name}")
        for name, channel in _mapping(record.get("io", {}), "io").items()
    }
    _refuse_shared_path(io)
    return ClusterConfig(bootstrap, vats, _names(record.get("services", []), "services"), io)


def absolute_bundle_spec(spec: str, base: str) -> str:
    """Make the path of a bundle a ``file://`` URL; a URL is kept as it is.

    Args:
        spec: URL, absolute path, or path relative to ``base``.
        base: A directory; made absolute against the working directory.

    Raises:
        ConfigError: The working directory is wanted, and has been deleted.
    """
    if _URL.match(spec):
        return spec
    try:
        path = os.path.abspath(os.path.join(base, spec))
    except FileNotFoundError as error:
        raise ConfigError(
            f"The bundle {spec!r} is named relative to a working directory that does not exist any more",
            remedy="Change to a directory that exists, or give the bundle's absolute path.",
        ) from error
    if not _PLAIN_PATH.fullmatch(path):
        from urllib.parse import quote

        path = quote(os.fsencode(path), safe="/~")
    return f"file://{path}"


def _vat(value: object, where: str, base: str | None) -> VatConfig:
    record = _record(value, where, _VAT_KEYS, required=("bundleSpec",))
    spec = _text(record["bundleSpec"], f"{where}.bundleSpec")
    if base is not None or spec.startswith("/"):
        spec = absolute_bundle_spec(spec, base or "/")
    parameters = _mapping(record.get("parameters", {}), f"{where}.parameters")
    parameters = _json_copy(parameters, f"{where}.parameters", MAX_DEPTH)
    integrity = record.get("integrity")
    if integrity is not None:
        integrity = _integrity(integrity, f"{where}.integrity")
    pin = record.get("pin", False)
    if not isinstance(pin, bool):
        raise _bad(f"{where}.pin", f"must be true or false, not {_kind(pin)}")
    return VatConfig(spec, parameters, _names(record.get("globals", []), f"{where}.globals"), integrity, pin)


def _channel(value: object, where: str) -> IoConfig:
    record = _record(value, where, _IO_KEYS, required=("type", "path"))
    kind = _text(record["type"], f"{where}.type")
    if kind != "socket":
        raise _bad(f"{where}.type", f"is {_shown(kind)}; the only type is 'socket'", 'Write "type": "socket".')
    path = _text(record["path"], f"{where}.path")
    if not path.startswith("/"):
        raise _bad(f"{where}.path", f"is {_shown(path)}, which is not absolute", "Give the path from the root.")
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_PATH_BYTES:
        raise _bad(
            f"{where}.path",
            f"has {size} bytes; a Unix socket's path has at most {MAX_SOCKET_PATH_BYTES}: {_shown(path)}",
            "Choose a shorter path, for example under /tmp or $XDG_RUNTIME_DIR.",
        )
    direction = _text(record.get("direction", "inout"), f"{where}.direction")
    if direction not in _DIRECTIONS:
        raise _bad(f"{where}.direction", f"is {_shown(direction)}", f"Choose one of: {', '.join(_DIRECTIONS)}.")
    return IoConfig(kind, path, direction)


def _refuse_shared_path(io: dict[str, IoConfig]) -> None:
    owners: dict[str, str] = {}
    for name, channel in io.items():
        path = os.path.normpath(channel.path)
        if path in owners:
            raise _bad(f"io.{name}.path", f"is also the path of io.{owners[path]}", "Give each channel its own path.")
        owners[path] = name


def _integrity(value: object, where: str) -> str:
    try:
        parse_integrity(_text(value, where))
    except ConfigError as error:
        if "key" in error.data:
            raise
        raise _bad(where, f"is not of the right form: {error.message}", error.remedy) from error
    assert isinstance(value, str)
    return " ".join(value.split())


def _record(value: object, where: str, known: tuple[str, ...], *, required: tuple[str, ...]) -> dict[str, Any]:
    """Check an object's keys: none unknown, none of the required ones missing."""
    record = _mapping(value, where)
    for key in record:
        if key in known:
            continue
        path = f"{where}.{key}" if where else key
        if key in _NOT_HERE:
            raise _bad(path, f"is not supported: {_NOT_HERE[key]}", "Take the key out.")
        raise _bad(path, "is not a known key", _suggest(key, known) or f"Known keys here: {', '.join(known)}.")
    for key in required:
        if key not in record:
            raise _bad(f"{where}.{key}" if where else key, "is missing", f"Add the key {key!r}.")
    return record


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(where, f"must be a JSON object, not {_kind(value)}")
    for key in value:
        if not isinstance(key, str):
            raise _bad(where, f"has a key that is {_kind(key)}, not a string")
    return value


def _names(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _bad(where, f"must be a list of names, not {_kind(value)}")
    names: list[str] = []
    for index, item in enumerate(value):
        name = _name(item, f"{where}[{index}]", whole=True)
        if name in names:
            raise _bad(f"{where}[{index}]", f"repeats {name!r}", "Name each once.")
        names.append(name)
    return tuple(names)


def _name(value: object, where: str, *, whole: bool = False) -> str:
    """Check a name; ``whole`` when ``where`` is its own path rather than that of the object it is a key of."""
    text = _text(value, where)
    if not _NAME.fullmatch(text):
        path = where if whole else f"{where}.{text[:80]}"
        raise _bad(path, f"is not a name: {_NAME_RULE}", "Choose another name.")
    return text


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _bad(where, f"must be a string, not {_kind(value)}")
    if not value:
        raise _bad(where, "is empty")
    if "\0" in value:
        raise _bad(where, "holds a NUL character")
    _check_encodable(value, where)
    return value


def _check_encodable(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _bad(where, f"holds half of a surrogate pair (character {error.start})") from error


def _json_copy(value: Any, where: str, depth: int) -> Any:
    """Copy JSON data, so that nobody changes it later; refuse what JSON cannot carry, naming where it stands."""
    if isinstance(value, str):
        _check_encodable(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _bad(where, f"is {value}, which JSON does not have", "Use null, or a string.")
    elif isinstance(value, int):
        if value.bit_length() > _MAX_INTEGER_BITS:
            raise _bad(where, "is an integer of thousands of digits", "Use a string.")
    elif isinstance(value, list | dict):
        if depth == 0:
            raise _bad(where, f"is nested more than {MAX_DEPTH} deep", "Flatten the parameters.")
        if isinstance(value, list):
            return [_json_copy(item, f"{where}[{index}]", depth - 1) for index, item in enumerate(value)]
        for key in _mapping(value, where):
            _check_encodable(key, where)
        return {key: _json_copy(item, f"{where}.{key}", depth - 1) for key, item in value.items()}
    elif value is not None:
        raise _bad(where, f"is {_kind(value)}, which is not JSON", "Use JSON values only.")
    return value


def _suggest(word: str, known: Iterable[str]) -> str | None:
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else None


_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


def _kind(value: object) -> str:
    return "null" if value is None else _KINDS.get(type(value), f"of type {type(value).__name__}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:120] + "…")


def _bad(where: str, problem: str, remedy: str | None = None) -> ConfigError:
    return ConfigError(f"{where or 'The configuration'} {problem}", remedy=remedy, key=where)
