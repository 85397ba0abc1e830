"""What the grammar of the command line is made of: a parser whose errors are ours, commands, kinds of arguments.

An argument that is not of the right form is refused while the command line is read, before anything is done.
"""

from __future__ import annotations

import argparse
import os

from kernel.cli.output import say
from kernel.errors import OcapError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_values
    from collections.abc import Callable
    from typing import Any, NoReturn


_LEAST_COLUMN = 16


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        # argparse would import shutil for this, at every start and not only for help.
        super().__init__(prog, max_help_position=28, width=_help_width())
        # argparse forgets the indentation of commands when it decides how wide the first column must be.
        self._action_max_length = _LEAST_COLUMN


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: typed, and with the next step."""

    def __init__(self, *, description: str, **options: Any) -> None:
        super().__init__(description=description, formatter_class=_HelpFormatter, allow_abbrev=False, **options)

    def format_help(self) -> str:
        """Give the help; the description is filled here, because the formatter leaves paragraphs as they are."""
        description = self.description
        self.description = wrapped(description or "")
        try:
            return super().format_help()
        finally:
            self.description = description

    def print_help(self, file: object = None) -> None:
        """Print the help to standard output; argparse itself would not say that it cannot be written."""
        say(self.format_help().rstrip("\n"))

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{self.prog}: {message}{_did_you_mean(message)}", remedy=f"See '{self.prog} --help'.")


class Version(argparse.Action):
    """``--version``; finds out the version only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version and exit."""
        from kernel import __version__

        say(f"ocap {__version__}")
        parser.exit()


class Commands(argparse._SubParsersAction):  # type: ignore[type-arg]  # it takes none when it runs
    """The commands of a parser.  Each gets its own parser, with all that belongs to it, when it is first asked for.

    A command line asks for one of them, and to make them all costs as much as starting Python does.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._name_parser_map = self.choices = _Parsers()

    def add(self, name: str, summary: str, make: Callable[[str], Parser]) -> None:
        """Add a command: its name, what it does, and what gives its parser when told how it is called."""
        self._choices_actions.append(self._ChoicesPseudoAction(name, (), summary))
        self._name_parser_map[name] = lambda: make(f"{self._prog_prefix} {name}")


class _Parsers(dict[str, object]):
    """Parsers by the names of their commands, in the order of the help; each is made when it is first asked for."""

    def __getitem__(self, name: str) -> object:
        found = super().__getitem__(name)
        if not isinstance(found, Parser) and callable(found):
            found = self[name] = found()
        return found

    def values(self) -> dict_values[str, object]:
        self._make_all()
        return super().values()

    def items(self) -> dict_items[str, object]:
        self._make_all()
        return super().items()

    def _make_all(self) -> None:
        for name in self:
            self.__getitem__(name)


def add_commands(parser: Parser) -> Commands:
    """Give what to add the commands of a parser to."""
    made = parser.add_subparsers(action=Commands, prog=parser.prog, title="commands", metavar="COMMAND", required=False)
    assert isinstance(made, Commands)
    return made


def add_group(
    commands: Commands, name: str, fill: Callable[[Commands], None], summary: str, description: str, *lines: str
) -> None:
    """Add a command that has commands of its own, which ``fill`` adds; ``lines`` are its examples."""

    def make(prog: str) -> Parser:
        parser = Parser(prog=prog, description=description, epilog=examples(*lines))
        parser.set_defaults(parser=parser)
        _add_home(parser)
        fill(add_commands(parser))
        return parser

    commands.add(name, summary, make)


def add_command(
    commands: Commands,
    name: str,
    handler: str,
    fill: Callable[[Parser], None],
    summary: str,
    description: str,
    *lines: str,
) -> None:
    """Add a command.

    Args:
        commands: What it is added to.
        name: The word that calls it.
        handler: The function that carries it out, as ``module:function``.
        fill: Adds its arguments.
        summary: What it does, in the list of commands.
        description: What it does, prints and changes, in its own help.
        lines: Its examples.
    """

    def make(prog: str) -> Parser:
        parser = Parser(prog=prog, description=description, epilog=examples(*lines))
        parser.set_defaults(handler=handler, parser=parser)
        _add_home(parser)
        fill(parser)
        return parser

    commands.add(name, summary, make)


def _add_home(parser: Parser) -> None:
    # Without a default here, so that a --home before the command is not overwritten.
    parser.add_argument("--home", metavar="DIR", default=argparse.SUPPRESS, help="the home directory")


def add_json(parser: Parser, text: str = "print the result, or the error, as JSON") -> None:
    """Add the option ``--json``."""
    parser.add_argument("--json", action="store_true", help=text)


def add_timeout(parser: Parser, default: float, text: str) -> None:
    """Add the option ``--timeout``, in seconds; ``text`` says of what."""
    parser.add_argument(
        "--timeout", type=seconds, default=default, metavar="S", help=f"{text}, in seconds (default: {default:g})"
    )


def examples(*lines: str) -> str:
    """Give the part of a help text that shows examples."""
    return "examples:\n" + "".join(f"  {line}\n" for line in lines)


def _help_width() -> int:
    """Give the width of help texts in columns: the terminal's, at most 100; 80 where there is none."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        return max(40, min(100, int(columns) - 2))
    try:
        return max(40, min(100, os.get_terminal_size(1).columns - 2))
    except (OSError, ValueError):
        return 78


def wrapped(text: str) -> str:
    """Fill a paragraph to the width of the help."""
    lines, width = [""], _help_width()
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def _did_you_mean(message: str) -> str:
    """Suggest the closest of the choices that argparse's message about an invalid choice lists."""
    _head, found, rest = message.partition("invalid choice: ")
    wrong, _, choices = rest.partition(" (choose from ")
    if not found or not choices:
        return ""
    from difflib import get_close_matches

    names = [name.strip().strip("'") for name in choices.rstrip(")").split(",")]
    closest = get_close_matches(wrong.strip("'"), names, 1)
    return f"; did you mean {closest[0]!r}?" if closest else ""


def seconds(text: str) -> float:
    """A time in seconds, greater than 0.

    Raises:
        argparse.ArgumentTypeError: It is not of that form.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds greater than 0")
    return value


def count(text: str) -> int:
    """A whole number, 0 or more.

    Raises:
        argparse.ArgumentTypeError: It is not of that form.
    """
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def json_value(text: str) -> object:
    """Any JSON value.

    Raises:
        argparse.ArgumentTypeError: It is not of that form.
    """
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from error


def kref(text: str) -> str:
    """The reference of an object or a promise in the kernel.

    Raises:
        argparse.ArgumentTypeError: It is not of that form.
    """
    from kernel.refs import parse_kref

    return _checked(text, parse_kref)


def subcluster(text: str) -> str:
    """The id of a subcluster.

    Raises:
        argparse.ArgumentTypeError: It is not of that form.
    """
    from kernel.refs import parse_subcluster_id

    return _checked(text, parse_subcluster_id)


def _checked(text: str, parse_id: Callable[[object], object]) -> str:
    try:
        parse_id(text)
    except OcapError as error:
        raise argparse.ArgumentTypeError(error.message) from error
    return text


def vat_bundle(text: str) -> tuple[str, str]:
    """A vat's name and the path or URL of a bundle, as ``VAT=PATH``.

    Raises:
        argparse.ArgumentTypeError: It is not of that form.
    """
    vat, found, path = text.partition("=")
    if not (vat and found and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form VAT=PATH")
    return vat, path
