"""Standard modules that are held as byte code in memory, and executed when they are first imported.

A confined worker can open no file, so all that a vat may import has to be in its process before it is confined; but
most vats import little of it, and executing all of it is a third of what the template of workers costs.  What is held
here costs one ``read`` each.

Invariant: what is held is what the interpreter would have executed: the byte code beside the source, of this very
interpreter and of that very source (PEP 552).  What cannot be held so is left to be imported at once.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import MAGIC_NUMBER, cache_from_source

from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType
    from typing import Any

HELD = (
    "_colorize",
    "_opcode_metadata",
    "_pydatetime",
    "_pydecimal",
    "_strptime",
    "ast",
    "base64",
    "calendar",
    "colorsys",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "dis",
    "encodings.ascii",
    "encodings.cp1252",
    "encodings.idna",
    "encodings.iso8859_1",
    "encodings.iso8859_15",
    "encodings.latin_1",
    "encodings.punycode",
    "encodings.raw_unicode_escape",
    "encodings.unicode_escape",
    "encodings.utf_16",
    "encodings.utf_16_be",
    "encodings.utf_16_le",
    "encodings.utf_32",
    "encodings.utf_32_be",
    "encodings.utf_32_le",
    "encodings.utf_7",
    "encodings.utf_8_sig",
    "fractions",
    "graphlib",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "html.entities",
    "inspect",
    "locale",
    "numbers",
    "opcode",
    "pprint",
    "statistics",
    "string",
    "stringprep",
    "token",
    "tokenize",
)
"""What is held, in whichever version of Python has it: what vats may import, and what that imports in turn."""

EXTENSIONS = (
    "_ast",
    "_blake2",
    "_datetime",
    "_decimal",
    "_hashlib",
    "_heapq",
    "_locale",
    "_opcode",
    "_statistics",
    "_string",
    "_tokenize",
)
"""What is written in C among what these import: it is a file that the loader maps, or part of the interpreter."""

_HEADER_BYTES = 16


class _Module(Record):
    path: str
    is_package: bool
    cached: str
    code: bytes


class HeldModules:
    """A finder and loader of modules in memory; put it first in ``sys.meta_path``."""

    def __init__(self, names: Iterable[str] = HELD) -> None:
        """Read the byte code of those modules of the standard library that have not been imported."""
        root = os.path.dirname(os.path.abspath(os.__file__))
        self._modules: dict[str, _Module] = {}
        for name in names:
            module = None if name in sys.modules else _read(root, name)
            if module is not None:
                self._modules[name] = module

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Say how to load a module; None for one that is not held."""
        module = self._modules.get(name)
        if module is None:
            return None
        loader: Any = self  # by its methods: the base class is in importlib.abc, which takes long to import
        spec = ModuleSpec(name, loader, origin=module.path, is_package=module.is_package)
        spec.has_location = True
        spec.cached = module.cached
        if module.is_package:
            spec.submodule_search_locations = [os.path.dirname(module.path)]
        return spec

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the import system to make the module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Execute a module."""
        exec(marshal.loads(self._modules[module.__name__].code), vars(module))


def import_extensions() -> None:
    """Import what is written in C, as long as files can be opened."""
    for name in EXTENSIONS:
        try:
            __import__(name)
        except ImportError:  # this version of Python, or this build, does without it
            continue


def _read(root: str, name: str) -> _Module | None:
    for tail in (".py", "/__init__.py"):
        path = root + "/" + name.replace(".", "/") + tail
        try:
            source = os.stat(path)
            cached = cache_from_source(path)
            with open(cached, "rb", buffering=0) as file:
                data = file.read()
        except (OSError, NotImplementedError):
            continue  # there is no such file, or byte code is not kept
        if data[:_HEADER_BYTES] == _header(source):
            return _Module(path, tail != ".py", cached, data[_HEADER_BYTES:])
    return None


def _header(source: os.stat_result) -> bytes:
    """Give how the byte code of a source begins, by PEP 552: with no flags it goes by the source's time and size."""
    numbers = (0, int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF)
    return MAGIC_NUMBER + b"".join(number.to_bytes(4, "little") for number in numbers)
