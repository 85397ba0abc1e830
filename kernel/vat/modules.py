"""Imports inside a vat: the bundle's own modules from memory, a named part of the standard library, and nothing else.

A bundle's modules are loaded from source that came over the pipe; in tracebacks they look like any other module. They
get builtins of their own, without the ones that reach outside (``open``, ``input`` and the like).

This is object-capability discipline and early, readable errors. It is not what keeps a vat in: determined code can
reach around it, and then meets the operating system's refusal (see ``kernel.workers.confine``).

Invariant: a bundle's module never takes the place of one that the worker itself uses.
"""

from __future__ import annotations

import builtins
import codecs
import linecache
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kernel.records import Record

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

ALLOWED = frozenset(
    [
        "__future__",
        "abc",
        "array",
        "base64",
        "binascii",
        "bisect",
        "calendar",
        "cmath",
        "collections",
        "collections.abc",
        "colorsys",
        "contextlib",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "graphlib",
        "hashlib",
        "heapq",
        "hmac",
        "html",
        "itertools",
        "json",
        "keyword",
        "math",
        "numbers",
        "operator",
        "pprint",
        "re",
        "reprlib",
        "statistics",
        "string",
        "struct",
        "textwrap",
        "types",
        "typing",
        "unicodedata",
        "weakref",
        "zlib",
    ]
)
"""Standard modules that vats may import: they compute, and reach nothing outside."""

KERNEL_MODULES = frozenset({"kernel", "kernel.vat"})
"""Modules of the kernel that vats may import."""

_BEHIND = frozenset({"_strptime", "time"})
# What datetime imports when it is used.  It is written in C and so imports by way of its caller's builtins, with an
# empty list where an import statement has a tuple.

_WITHHELD = frozenset({"open", "input", "breakpoint", "exit", "quit", "help", "copyright", "credits", "license"})


class Source(Record):
    """A module as it is in a bundle."""

    path: str
    source: str
    is_package: bool


class BundleModules:
    """The modules of one bundle, loaded when they are first imported."""

    def __init__(self, modules: Mapping[str, Source]) -> None:
        for name in modules:
            if name.partition(".")[0] == "kernel":
                raise ImportError(f"the bundle has a module named {name!r}, which would hide the kernel's own")
        self._sources = modules
        self._loaded: dict[str, ModuleType] = {}
        self._builtins = {name: value for name, value in vars(builtins).items() if name not in _WITHHELD}
        self._builtins["__import__"] = self._import

    def load(self, name: str) -> ModuleType:
        """Give a module of the bundle, loading it and the packages that it is in first.

        Raises:
            ImportError: The bundle has no such module.
        """
        module = self._loaded.get(name)
        if module is not None:
            return module
        parent, _, last = name.rpartition(".")
        package = self.load(parent) if parent in self._sources else None
        module = self._loaded.get(name)  # loading the package may have loaded it
        if module is None:
            module = self._execute(name)
        if package is not None:
            setattr(package, last, module)
        return module

    def _execute(self, name: str) -> ModuleType:
        source = self._sources.get(name)
        if source is None:
            raise ImportError(f"the bundle has no module {name!r}", name=name)
        code = compile(source.source, source.path, "exec", dont_inherit=True)
        lines = source.source.splitlines(keepends=True)
        linecache.cache[source.path] = (len(source.source), None, lines, source.path)
        module = ModuleType(name)
        spec = ModuleSpec(name, None, origin=source.path, is_package=source.is_package)
        module.__spec__ = spec
        module.__package__ = spec.parent
        module.__file__ = source.path
        if source.is_package:
            module.__path__ = []
        vars(module)["__builtins__"] = self._builtins
        self._loaded[name] = module
        sys.modules.setdefault(name, module)  # where dataclasses and typing look a class's module up
        try:
            exec(code, vars(module))
        except BaseException:
            del self._loaded[name]
            if sys.modules.get(name) is module:
                del sys.modules[name]
            raise
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  (the names of the builtin that this stands in for)
        locals: Mapping[str, Any] | None = None,  # noqa: A002  (likewise)
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level:
            name = _absolute(name, globals or {}, level)
        if isinstance(fromlist, list) and name in _BEHIND:
            return __import__(name)
        if name not in self._sources:
            return self._import_allowed(name, tuple(fromlist or ()))
        module = self.load(name)
        if not fromlist:
            return self.load(name.partition(".")[0]) if name.partition(".")[0] in self._sources else module
        wanted = getattr(module, "__all__", ()) if "*" in fromlist else fromlist
        for item in wanted:
            if not hasattr(module, item) and f"{name}.{item}" in self._sources:
                self.load(f"{name}.{item}")
        return module

    def _import_allowed(self, name: str, fromlist: tuple[str, ...]) -> ModuleType:
        if name in ALLOWED or name in KERNEL_MODULES:
            return __import__(name, {}, {}, fromlist, 0)
        raise ImportError(f"a vat cannot import {name!r}: {_why_not(name, self._sources)}", name=name)


def _absolute(name: str, namespace: Mapping[str, Any], level: int) -> str:
    package = namespace.get("__package__") or ""
    parts = package.split(".") if package else []
    if level > len(parts):
        raise ImportError("a relative import goes beyond the top of the bundle")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base


def _why_not(name: str, sources: Mapping[str, Source]) -> str:
    top = name.partition(".")[0]
    if top in sources:
        return f"the bundle has {top!r}, but no {name!r} in it"
    if top == "kernel":
        return "of the kernel, vats can import kernel.vat only"
    if top in sys.stdlib_module_names:
        return (
            "it is not among the standard modules that only compute; "
            "what reaches outside comes to a vat by vat_powers, parameters and messages"
        )
    return "it was not in the bundle; put its source beside the vat's and build the bundle again"


_ENCODINGS = (
    "ascii",
    "cp1252",
    "idna",
    "iso8859_1",
    "iso8859_15",
    "latin_1",
    "punycode",
    "raw_unicode_escape",
    "unicode_escape",
    "utf_16",
    "utf_16_be",
    "utf_16_le",
    "utf_32",
    "utf_32_be",
    "utf_32_le",
    "utf_7",
    "utf_8",
    "utf_8_sig",
)


_LATE = ("_strptime", "inspect", "stringprep", "tokenize", "traceback")
"""What the allowed modules import when they are used."""


def preload(but: Container[str] = frozenset()) -> None:
    """Import every allowed module, and what these import late, while files can still be opened.

    Args:
        but: What need not be, as it can be imported without a file.
    """
    for name in (*sorted(ALLOWED), *_LATE):
        if name not in but:
            __import__(name)
    for encoding in _ENCODINGS:
        if f"encodings.{encoding}" not in but:
            codecs.lookup(encoding)
