"""``ocap bundle``: writes a vat's bundle, or tells what is in one. Needs no daemon and no home.

Invariant: the output file is either as it was or the whole new bundle, whatever happens on the way.
"""

from __future__ import annotations

import os

from kernel.bundle import build_bundle, parse_bundle, sri
from kernel.cli.output import note, say, say_json, say_table
from kernel.errors import BundleBuildError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from kernel.bundle import Bundle


def bundle(args: Namespace) -> int:
    """Carry out ``ocap bundle``."""
    if args.inspect is not None:
        if args.entry is not None or args.output is not None:
            args.parser.error("--inspect goes without ENTRY and without --output")
        return _inspect(args)
    if args.entry is None:
        args.parser.error("the following arguments are required: ENTRY")
    return _build(args)


def _build(args: Namespace) -> int:
    path = args.output if args.output is not None else _default_output(args.entry)
    data = build_bundle(args.entry)
    if os.path.exists(path) and os.path.exists(args.entry) and os.path.samefile(path, args.entry):
        raise BundleBuildError(f"{path} is the source itself", remedy="Choose another --output.", path=path)
    write_atomically(path, data)
    built = parse_bundle(data, path)
    if args.json:
        say_json(_summary(path, built, data))
    else:
        note(f"{path}: entry {built.entry}, {_modules(len(built.modules))}, {built.size} bytes")
        if args.print_integrity:
            say(sri(data))
    return 0


def _inspect(args: Namespace) -> int:
    from kernel.config import absolute_bundle_spec
    from kernel.fetch import fetch_bundle

    fetched = fetch_bundle(absolute_bundle_spec(args.inspect, os.getcwd()))
    found = fetched.bundle
    if args.json:
        say_json(_summary(fetched.resolved, found, fetched.data))
    elif args.print_integrity:
        say(sri(fetched.data))
    else:
        say(f"{fetched.resolved}: {found.size} bytes")
        say(f"entry      {found.entry}")
        say(f"integrity  {sri(fetched.data)}")
        say("")
        lines = {name: len(module.source.splitlines()) for name, module in found.modules.items()}
        say_table(("MODULE", "PATH", "LINES"), [(n, m.path, str(lines[n])) for n, m in found.modules.items()])
    return 0


def write_atomically(path: str, data: bytes) -> None:
    """Write a file so that a reader, or a power cut, meets the old content or the new, and nothing between.

    Raises:
        BundleBuildError: The file cannot be written; the message names it and the reason.
    """
    target = os.path.realpath(path)
    if os.path.lexists(target) and not os.path.isfile(target):
        kind = "a directory" if os.path.isdir(target) else "not a regular file"
        raise BundleBuildError(f"{path} is {kind}", remedy="Choose another --output.", path=path)
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".{os.path.basename(target)[:200]}.{os.getpid()}.tmp")
    try:
        _write_and_rename(temporary, target, data)
        _sync_folder(folder)
    except OSError as error:
        raise BundleBuildError(
            f"{path} cannot be written: {error.strerror or error}",
            remedy="Choose another --output, or make room and permissions there.",
            path=path,
        ) from error


def _write_and_rename(temporary: str, target: str, data: bytes) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _default_output(entry: str) -> str:
    name = os.path.basename(os.path.abspath(entry))
    return f"{name.removesuffix('.py')}.bundle"


def _summary(path: str, built: Bundle, data: bytes) -> dict[str, Any]:
    return {
        "path": os.path.abspath(path) if "://" not in path else path,
        "entry": built.entry,
        "modules": {name: module.path for name, module in built.modules.items()},
        "size": built.size,
        "integrity": sri(data),
    }


def _modules(count: int) -> str:
    return "1 module" if count == 1 else f"{count} modules"
