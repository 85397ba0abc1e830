"""Writes what the commands say: text, JSON and tables, for people and for programs.

Invariants: results go to standard output and everything else to standard error; nothing that a vat or a file wrote
can steer the reader's terminal (control characters are shown, not sent); ``rich`` is imported for a terminal only.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TextIO

    from rich.table import Table
    from rich.text import Text

_VISIBLE_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_JSON_CONTROLS = {code: f"\\u{code:04x}" for code in range(127, 160)}


class OutputError(Exception):
    """Standard output cannot be written; the cause says why."""

    @property
    def reader_has_gone(self) -> bool:
        """Whether nobody reads any more (``ocap daemon logs | head``): not a failure worth a word."""
        return isinstance(self.__cause__, BrokenPipeError)


def prepare_streams() -> None:
    """Make sure that any text can be written: what the terminal's encoding lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person looks at ``stream`` (which is None when the shell closed it)."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed by whoever runs us in process
        return False


def printable(text: str) -> str:
    """Give ``text`` with every control character but newline and tab made visible."""
    return text.translate(_VISIBLE_CONTROLS)


def say(text: str) -> None:
    """Write one piece of a result, and a newline, to standard output.

    Raises:
        OutputError: It cannot be written: the reader has gone, or the disk is full.
    """
    try:
        print(printable(text), flush=True)
    except OSError as error:
        raise OutputError(error.strerror) from error


def note(text: str) -> None:
    """Write a line about what is going on to standard error; where that cannot be written, it is lost."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO | None) -> None:
    """Send what is still buffered for a closed pipe nowhere, so that the interpreter's last flush does not fail."""
    if stream is None:
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # the stream is no real file: there is no descriptor to redirect
        return


def to_json(value: Any, *, readable: bool = False) -> str:
    """Give ``value`` as JSON: compact and on one line, or indented when ``readable``."""
    if readable:
        text = json.dumps(value, ensure_ascii=False, indent=2)
    else:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_JSON_CONTROLS)


def say_json(value: Any) -> None:
    """Write ``value`` as JSON to standard output: indented on a terminal, else on one line."""
    say(to_json(value, readable=is_terminal(sys.stdout)))


def say_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to standard output: drawn on a terminal, else in columns parted by two spaces."""
    cells = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _draw_table(headers, cells)
        return
    columns = list(zip(headers, *cells, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    for row in (list(headers), *cells):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STATE_STYLES.get(cell, "")) for cell in row))
    _draw(table)


def say_styled(text: str, style: str) -> None:
    """Write text to standard output, which is a terminal, in a style of ``rich``."""
    from rich.text import Text

    _draw(Text(printable(text), style=style), soft_wrap=True)


def _draw(renderable: Table | Text, *, soft_wrap: bool = False) -> None:
    from rich.console import Console

    try:
        Console(file=sys.stdout, highlight=False).print(renderable, soft_wrap=soft_wrap)
    except OSError as error:
        raise OutputError(error.strerror) from error


_STATE_STYLES = {"running": "green", "quarantined": "bold yellow"}
