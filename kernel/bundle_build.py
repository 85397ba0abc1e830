"""The builder's half of bundles: finds the local modules that a vat's entry module imports.

Only ``ocap bundle`` and the harness need it; it is kept apart so that the daemon, which reads bundles, never loads a
parser of Python.  Invariants: nothing is imported or executed, and what is collected depends on the source alone: not
on the directory's own path, the order of the file system, or what is installed.
"""

from __future__ import annotations

import ast
import io
import os
import sys
import tokenize

from kernel.bundle import MAX_BUNDLE_BYTES, RESERVED_MODULE, Module, is_module_name, module_path
from kernel.errors import BundleBuildError

ENTRY_FUNCTION = "build_root_object"
_SIGNATURE = f"{ENTRY_FUNCTION}(vat_powers, parameters, baggage)"


class _Found:
    """A module to collect, and the statement that asked for it."""

    __slots__ = ("asked_by", "is_package", "line", "name", "path")

    def __init__(self, name: str, path: str | None, is_package: bool, asked_by: str, line: int) -> None:
        self.name = name
        self.path = path
        self.is_package = is_package
        self.asked_by = asked_by
        self.line = line


def collect_modules(entry_path: str) -> tuple[str, dict[str, Module]]:
    """Find the entry module and all local modules that it imports, directly or not.

    Returns:
        The entry's dotted name, and the modules by dotted name.

    Raises:
        BundleBuildError: With ``path`` and, where there is one, ``line``.
    """
    entry = _entry(entry_path)
    assert entry.path is not None
    root = os.path.dirname(os.path.dirname(entry.path) if entry.is_package else entry.path)
    modules: dict[str, Module] = {}
    waiting = [entry]
    total = 0
    while waiting:
        found = waiting.pop()
        if found.name in modules:
            continue
        source = "" if found.path is None else _read_source(found.path, found.asked_by, found.line)
        modules[found.name] = Module(module_path(found.name, is_package=found.is_package), source, found.is_package)
        total += len(source)
        if total > MAX_BUNDLE_BYTES:
            raise BundleBuildError(
                f"The source that {entry_path} imports is larger than {MAX_BUNDLE_BYTES} bytes",
                remedy="Leave generated code and data out of the bundle: pass data as the vat's parameters.",
                path=entry_path,
            )
        if found.path is None:
            continue
        tree = _parse(source, found.path)
        if found is entry:
            _check_entry(tree, found.path)
        waiting.extend(_Imports(root, found).of(tree))
    return entry.name, modules


def _entry(entry_path: str) -> _Found:
    try:
        path = os.path.abspath(entry_path)
    except FileNotFoundError as error:
        raise BundleBuildError(
            f"{entry_path} is relative to a working directory that does not exist any more",
            remedy="Change to a directory that exists.",
            path=entry_path,
        ) from error
    if os.path.isdir(path):
        path = os.path.join(path, "__init__.py")
    is_package = os.path.basename(path) == "__init__.py"
    if not os.path.isfile(path):
        what = "is not a regular file" if os.path.lexists(path) else "does not exist"
        raise BundleBuildError(
            f"{path} {what}",
            remedy="Give the vat's source: a .py file, or a package directory with an __init__.py.",
            path=path,
        )
    if not path.endswith(".py"):
        raise BundleBuildError(
            f"{path} is not Python source: its name does not end in .py",
            remedy="Give the vat's source: a .py file, or a package directory.",
            path=path,
        )
    name = os.path.basename(os.path.dirname(path)) if is_package else os.path.basename(path)[: -len(".py")]
    if not is_module_name(name) or "." in name:
        raise BundleBuildError(
            f"{path} cannot be bundled: {name!r} is not a name that Python can import",
            remedy="Rename it, using letters, digits and underscores.",
            path=path,
        )
    if name == RESERVED_MODULE:
        raise BundleBuildError(
            f"{path} cannot be bundled: a module named {RESERVED_MODULE!r} would take the place of the kernel's own",
            remedy="Rename it.",
            path=path,
        )
    return _Found(name, path, is_package, path, 0)


def _read_source(path: str, asked_by: str, line: int) -> str:
    """Read a source file as Python does: its encoding declared or UTF-8, every line end a newline."""
    try:
        if not os.path.isfile(path):
            raise OSError("it is not a regular file")
        with open(path, "rb") as file:
            raw = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise BundleBuildError(
            f"{path} (imported at {asked_by}:{line}) cannot be read: {error.strerror or error}",
            remedy="Make the file readable, or take the import out.",
            path=path,
        ) from error
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        source = io.TextIOWrapper(io.BytesIO(raw), encoding, newline=None).read()
        source.encode()
    except (SyntaxError, ValueError, LookupError) as error:
        raise BundleBuildError(
            f"{path} is not text: {error}", remedy="Save it as UTF-8, or declare its encoding.", path=path
        ) from error
    return source


def _parse(source: str, path: str) -> ast.Module:
    try:
        tree = ast.parse(source, path)
        compile(
            tree, path, "exec", dont_inherit=True
        )  # finds what the grammar alone allows: `return` outside a function
    except SyntaxError as error:
        line = error.lineno or 1
        text = (error.text or "").strip()
        raise BundleBuildError(
            f"{path}:{line}: {error.msg}" + (f": {text}" if text else ""),
            remedy="Mend the syntax error.",
            path=path,
            line=line,
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise BundleBuildError(
            f"{path} cannot be parsed: {error}", remedy="Make sure that it is Python source.", path=path
        ) from error
    return tree


def _check_entry(tree: ast.Module, path: str) -> None:
    """Refuse an entry module that does not define ``build_root_object``, or defines it with another signature."""
    defined = False
    for node in _top_level(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == ENTRY_FUNCTION:
            _check_signature(node, path)
            defined = True
        elif isinstance(node, ast.Import | ast.ImportFrom):
            defined |= any((alias.asname or alias.name) in (ENTRY_FUNCTION, "*") for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= any(isinstance(target, ast.Name) and target.id == ENTRY_FUNCTION for target in targets)
    if not defined:
        raise BundleBuildError(
            f"{path} does not define {_SIGNATURE}",
            remedy=f"Add `def {_SIGNATURE}:` returning the vat's root object.",
            path=path,
        )


def _top_level(body: list[ast.stmt]) -> list[ast.stmt]:
    """List the statements that run when a module is imported, those inside ``if``, ``try`` and ``with`` too."""
    statements: list[ast.stmt] = []
    for node in body:
        statements.append(node)
        for field in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                statements.extend(_top_level(getattr(node, field, [])))
        for handler in getattr(node, "handlers", []):
            statements.extend(_top_level(handler.body))
    return statements


def _check_signature(node: ast.FunctionDef | ast.AsyncFunctionDef, path: str) -> None:
    arguments = node.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keyword_required = any(default is None for default in arguments.kw_defaults)
    takes_three = required <= 3 and (positional >= 3 or arguments.vararg is not None) and not keyword_required
    if isinstance(node, ast.AsyncFunctionDef) or not takes_three:
        raise BundleBuildError(
            f"{path}:{node.lineno}: {ENTRY_FUNCTION} must be a plain function that takes three arguments",
            remedy=f"Write it as `def {_SIGNATURE}:`.",
            path=path,
            line=node.lineno,
        )


class _Imports:
    """Resolves the import statements of one module to local modules."""

    def __init__(self, root: str, module: _Found) -> None:
        self._root = root
        self._name = module.name
        self._package = module.name if module.is_package else module.name.rpartition(".")[0]
        self._file = module.path or ""

    def of(self, tree: ast.Module) -> list[_Found]:
        found: list[_Found] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found.extend(self._absolute(alias.name, node.lineno))
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                found.extend(self._absolute(base, node.lineno) if base else [])
                found.extend(self._submodules(base, node))
        return found

    def _base(self, node: ast.ImportFrom) -> str:
        """Give the dotted name that ``from … import`` refers to, relative ones made absolute."""
        if node.level == 0:
            return node.module or ""
        parts = self._package.split(".") if self._package else []
        up = node.level - 1
        if up >= len(parts):
            dots = "." * node.level + (node.module or "")
            raise self._error(
                node.lineno,
                f"`from {dots} import …` climbs out of the bundle",
                "Bundle the package's directory instead of the file, or import by absolute name.",
            )
        base = ".".join(parts[: len(parts) - up])
        return f"{base}.{node.module}" if node.module else base

    def _absolute(self, name: str, line: int) -> list[_Found]:
        """Find a local module and the packages above it; nothing when its first part is not local."""
        parts = name.split(".")
        if parts[0] == RESERVED_MODULE:
            self._refuse_reserved(line)
            return []
        found: list[_Found] = []
        for count in range(1, len(parts) + 1):
            module = self._find(".".join(parts[:count]), line)
            if module is None:
                if count == 1:
                    return []
                missing = ".".join(parts[:count])
                raise self._error(
                    line,
                    f"imports {missing!r}, which is not in {os.path.join(self._root, *parts[: count - 1])}",
                    "Correct the name, or add the module.",
                )
            found.append(module)
        return found

    def _submodules(self, base: str, node: ast.ImportFrom) -> list[_Found]:
        """Find those of the imported names that are modules of the package ``base``."""
        if not base or base.partition(".")[0] == RESERVED_MODULE:
            return []
        package = self._find(base, node.lineno)
        if package is None or not package.is_package:
            return []
        names = [alias.name for alias in node.names]
        if names == ["*"]:
            names = _all_names(package)
        found = [self._find(f"{base}.{name}", node.lineno) for name in names]
        return [module for module in found if module is not None]

    def _find(self, name: str, line: int) -> _Found | None:
        place = os.path.join(self._root, *name.split("."))
        package = os.path.join(place, "__init__.py")
        if os.path.lexists(package):
            return _Found(name, package, True, self._file, line)
        if os.path.lexists(place + ".py"):
            return _Found(name, place + ".py", False, self._file, line)
        if _is_namespace(place, name):
            return _Found(name, None, True, self._file, line)
        return None

    def _refuse_reserved(self, line: int) -> None:
        place = os.path.join(self._root, RESERVED_MODULE)
        own = os.path.dirname(os.path.abspath(__file__))
        for path in (place + ".py", place):
            if os.path.exists(path) and not os.path.samefile(path, own):
                raise self._error(
                    line,
                    f"imports {RESERVED_MODULE!r}, which {path} would shadow",
                    f"Rename {path}: in a vat, {RESERVED_MODULE!r} is always the kernel's own.",
                )

    def _error(self, line: int, text: str, remedy: str) -> BundleBuildError:
        return BundleBuildError(f"{self._file}:{line}: {text}", remedy=remedy, path=self._file, line=line)


def _is_namespace(directory: str, name: str) -> bool:
    """Tell whether a directory is a package without an ``__init__.py``; as in Python, the standard library wins."""
    if name in sys.stdlib_module_names:
        return False
    return any(file.endswith(".py") for _, _, files in os.walk(directory) for file in files)


def _all_names(package: _Found) -> list[str]:
    """Read a package's ``__all__`` where it is written out, as ``from package import *`` does."""
    if package.path is None:
        return []
    tree = _parse(_read_source(package.path, package.asked_by, package.line), package.path)
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Tuple):
            items = [item.value for item in node.value.elts if isinstance(item, ast.Constant)]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
                return [item for item in items if isinstance(item, str)]
    return []
