"""Runs one command: parses the command line, calls the command, and turns what went wrong into words and an exit code.

Invariant: whatever happens, the user sees a sentence and the shell an exit code of the documented ones (130 when
interrupted, 141 when the reader of the output has gone, as shells report the signals).
"""

from __future__ import annotations

import os
import sys

from kernel.cli.output import OutputError, note, prepare_streams, say_json, silence
from kernel.errors import OcapError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

INTERRUPTED = 130
OUTPUT_CLOSED = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``ocap`` command and give its exit code.

    Args:
        argv: The arguments without the program's name; those of the process when left out.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    prepare_streams()
    try:
        return _run(words)
    except OutputError as error:
        silence(sys.stdout)
        if error.reader_has_gone:
            return OUTPUT_CLOSED
        note(f"Error: the output could not be written: {error} (code {OcapError.code})")
        return OcapError.exit_code


def _run(words: list[str]) -> int:
    """Run the command; what may come out as an exception is about standard output only."""
    as_json = "--json" in words
    try:
        args = _parse(words)
        if isinstance(args, int):
            return args
        as_json = bool(args.json)
        return _handler(args.handler)(args)
    except OcapError as error:
        return _report(error, as_json)
    except KeyboardInterrupt:
        note("Interrupted.")
        return INTERRUPTED
    except OutputError:
        raise
    except Exception as error:  # noqa: BLE001  # a defect of ours is reported to the user, not shown as a traceback
        from kernel.cli.failure import report_unexpected, unexpected_record

        if as_json:
            say_json(unexpected_record(error))
        return report_unexpected(error, words)


def _parse(words: list[str]) -> Namespace | int:
    from kernel.cli.parser import parse

    try:
        return parse(words)
    except SystemExit as done:  # --help and --version
        return done.code if isinstance(done.code, int) else 0


def _handler(name: str) -> Callable[[Namespace], int]:
    """Import the function that carries a command out, from its ``module:function``."""
    module_name, _, function_name = name.partition(":")
    __import__(module_name)
    handler: Callable[[Namespace], int] = getattr(sys.modules[module_name], function_name)
    return handler


def _report(error: OcapError, as_json: bool) -> int:
    from kernel.cli.failure import report

    if os.environ.get("OCAP_DEBUG"):
        import traceback

        note("".join(traceback.format_exception(error)).rstrip())
    return report(error, as_json=as_json)
