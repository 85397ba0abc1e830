"""Bundles: one readable file that holds all the source a vat runs.

The format is JSON text: the modules' sources by dotted name, as lists of lines, the name of the entry module, and a
digest over the canonical JSON of all the rest.  Invariants: the same source gives the same bytes; a bundle that parses
is whole, is what was built, and names nothing outside itself (a module's path follows from its name, so none can climb
out; none can take the place of ``kernel``).  Where the bytes come from is not known here: see :mod:`kernel.fetch`.
"""

from __future__ import annotations

import json
import keyword

from kernel.errors import BundleCorruptError, ConfigError
from kernel.records import Record
from kernel.strict_json import load_strictly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FORMAT = "ocap-bundle"
VERSION = 1
MAX_BUNDLE_BYTES = 16 * 1024 * 1024
"""The largest bundle that is read or built, in bytes."""

RESERVED_MODULE = "kernel"
"""What vat code imports its programming model from; no bundle may hold a module of this name."""

_KEYS = ("format", "version", "entry", "modules", "digest")
_REBUILD = "Build it again with `ocap bundle`, or restore the file from a copy."
_HASH_BYTES = {"sha256": 32, "sha384": 48, "sha512": 64}


class Module(Record):
    """One source module of a bundle: its path inside the bundle, its text, and whether it is a package."""

    path: str
    source: str
    is_package: bool


class Bundle(Record):
    """A parsed bundle.

    Attributes:
        entry: Dotted name of the module that defines ``build_root_object``.
        modules: The modules by dotted name.
        digest: The digest written in the bundle: ``sha256-<base64>`` over its content, however it is laid out.
        sha256: Digest of the file's bytes, in hexadecimal.
        size: Length of the file in bytes.
    """

    entry: str
    modules: dict[str, Module]
    digest: str
    sha256: str
    size: int


def sri(data: bytes) -> str:
    """Give the digest of a file's bytes in the form of subresource integrity: ``sha256-<base64>``."""
    return sri_with("sha256", data)


def sri_with(algorithm: str, data: bytes) -> str:
    """Give the digest of ``data`` as ``<algorithm>-<base64>``, the algorithm being sha256, sha384 or sha512."""
    import binascii
    import hashlib

    digest = hashlib.new(algorithm, data).digest()
    return f"{algorithm}-{binascii.b2a_base64(digest, newline=False).decode('ascii')}"


def parse_integrity(text: str) -> tuple[tuple[str, str], ...]:
    """Read an ``integrity`` value: one or more ``sha256-…``, ``sha384-…`` or ``sha512-…``, separated by white space.

    Unlike a browser, which ignores what it does not know, this refuses it: an integrity that checks nothing is a trap.

    Returns:
        Pairs of algorithm and whole text of the hash, in order.

    Raises:
        ConfigError: Naming the part that is not of the right form.
    """
    import binascii

    remedy = "Give what `ocap bundle` prints, or: sha256-$(openssl dgst -sha256 -binary FILE | base64)."
    hashes: list[tuple[str, str]] = []
    for part in text.split():
        algorithm, dash, encoded = part.partition("-")
        size = _HASH_BYTES.get(algorithm)
        if not dash or size is None:
            raise ConfigError(
                f"integrity {part!r} does not begin with sha256-, sha384- or sha512-", remedy=remedy, integrity=part
            )
        try:
            length = len(binascii.a2b_base64(encoded.encode("ascii"), strict_mode=True))
        except ValueError as error:
            raise ConfigError(f"integrity {part!r} is not base64", remedy=remedy, integrity=part) from error
        if length != size:
            raise ConfigError(
                f"integrity {part!r} holds {length} bytes where {algorithm} has {size}", remedy=remedy, integrity=part
            )
        hashes.append((algorithm, part))
    if not hashes:
        raise ConfigError("integrity is empty", remedy=remedy, integrity=text)
    return tuple(hashes)


def build_bundle(entry_path: str) -> bytes:
    """Bundle a vat's source file (or package directory) and every local module that it imports.

    Local means: found beside the entry, as Python would find it for a script there.  Imports are followed wherever they
    stand in the source; imports by a computed name are not.

    Args:
        entry_path: A ``.py`` file, or a directory with an ``__init__.py``.

    Returns:
        The bundle's bytes; the same bytes for the same source.

    Raises:
        BundleBuildError: Naming the file and the line.
    """
    from kernel.bundle_build import collect_modules

    entry, modules = collect_modules(entry_path)
    return render_bundle(entry, modules)


def render_bundle(entry: str, modules: Mapping[str, Module]) -> bytes:
    """Write a bundle's bytes."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "entry": entry,
        "modules": {
            name: {"path": modules[name].path, "source": modules[name].source.split("\n")} for name in sorted(modules)
        },
    }
    content["digest"] = _digest(content)
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def parse_bundle(data: bytes, where: str) -> Bundle:
    """Read a bundle and check that it is whole.

    Args:
        data: The file's bytes.
        where: The path or URL it came from, for messages.

    Raises:
        BundleCorruptError: Naming ``where`` and what is wrong.
    """
    import hashlib

    content = _load(data, where)
    modules = _modules(content["modules"], where)
    entry = content["entry"]
    if not isinstance(entry, str) or entry not in modules:
        raise _corrupt(where, f"its entry {_shown(entry)} is not one of its modules")
    return Bundle(entry, modules, content["digest"], hashlib.sha256(data).hexdigest(), len(data))


def module_path(name: str, *, is_package: bool) -> str:
    """Give the path inside a bundle of the module of that dotted name."""
    return name.replace(".", "/") + ("/__init__.py" if is_package else ".py")


def is_module_name(name: str) -> bool:
    """Tell whether a text is a dotted name that an import statement can write."""
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))


def _load(data: bytes, where: str) -> dict[str, Any]:
    """Read the outer object: the format is ours, the version is known, the keys are right, the digest matches."""
    if not data:
        raise _corrupt(where, "it is empty")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _corrupt(where, f"it is not UTF-8 text (byte {error.start})") from error
    try:
        content = load_strictly(text)
    except ValueError as error:
        raise _corrupt(where, _why_not_json(text, error)) from error
    if not isinstance(content, dict):
        raise _corrupt(where, f"it is not a bundle: it holds a JSON {type(content).__name__}, not an object")
    if content.get("format") != FORMAT:
        foreign = content.get("moduleFormat")
        kind = f"it is a JavaScript bundle ({foreign})" if isinstance(foreign, str) else "it is not a bundle"
        raise _corrupt(where, f'{kind}: it does not say "format": "{FORMAT}"')
    version = content.get("version")
    if type(version) is not int or version < 1:
        raise _corrupt(where, f"its version is {_shown(version)}, not a number")
    if version > VERSION:
        raise _corrupt(
            where,
            f"it was built by a newer version (format {version}; this one reads up to {VERSION})",
            remedy="Upgrade this installation, or build the bundle again with its own `ocap bundle`.",
        )
    for key in _KEYS:
        if key not in content:
            raise _corrupt(where, f"its {key!r} is missing")
    for key in content:
        if key not in _KEYS:
            raise _corrupt(where, f"it has a key {_shown(key)}, which format {version} does not know")
    written, actual = content["digest"], _digest(content)
    if written != actual:
        raise _corrupt(
            where, f"its content was changed after it was built (digest {actual}, but it says {_shown(written)})"
        )
    return content


def _modules(value: object, where: str) -> dict[str, Module]:
    if not isinstance(value, dict) or not value:
        raise _corrupt(where, "its 'modules' is not an object with at least one module")
    modules: dict[str, Module] = {}
    for name, record in value.items():
        if not is_module_name(name):
            raise _corrupt(where, f"its module {_shown(name)} has no name that can be imported")
        if name.partition(".")[0] == RESERVED_MODULE:
            raise _corrupt(where, f"its module {_shown(name)} would take the place of the kernel's own")
        if not isinstance(record, dict) or set(record) != {"path", "source"}:
            raise _corrupt(where, f"its module {_shown(name)} is not an object of 'path' and 'source'")
        path, lines = record["path"], record["source"]
        is_package = path == module_path(name, is_package=True)
        if not is_package and path != module_path(name, is_package=False):
            raise _corrupt(where, f"its module {_shown(name)} has the path {_shown(path)}, which is not its place")
        if not isinstance(lines, list) or not all(isinstance(line, str) and "\n" not in line for line in lines):
            raise _corrupt(where, f"the source of its module {_shown(name)} is not a list of lines")
        source = "\n".join(lines)
        if not _is_encodable(source):
            raise _corrupt(where, f"the source of its module {_shown(name)} holds half of a surrogate pair")
        modules[name] = Module(path, source, is_package)
    for name in modules:
        parent = name.rpartition(".")[0]
        if parent and not (parent in modules and modules[parent].is_package):
            raise _corrupt(where, f"its module {_shown(name)} lacks its package {parent!r}")
    return modules


def _digest(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sri(canonical.encode("ascii"))


def _why_not_json(text: str, error: ValueError) -> str:
    stripped = text.strip()
    if not stripped:
        return "it is empty but for white space"
    if not stripped.startswith("{"):
        return "it is not a bundle: it does not begin with '{'"
    if not isinstance(error, json.JSONDecodeError):
        return f"it is not a bundle: {error}"
    if not stripped.endswith("}") or error.pos >= len(text.rstrip()):
        return f"it is truncated: it ends after {len(text.encode())} bytes, in line {text.count(chr(10)) + 1}"
    return f"it is damaged: {error.msg} in line {error.lineno}, column {error.colno}"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"


def _corrupt(where: str, why: str, *, remedy: str = _REBUILD) -> BundleCorruptError:
    place = {"url": where} if "://" in where else {"path": where}
    return BundleCorruptError(f"{where} cannot be used as a bundle: {why}", remedy=remedy, reason=why, **place)
