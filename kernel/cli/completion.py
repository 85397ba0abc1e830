"""``ocap completion``: prints the script that completes this very command line in a shell."""

from __future__ import annotations

import argparse

from kernel.cli.arguments import wrapped
from kernel.cli.output import say
from kernel.cli.parser import build_parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES = ("entry", "inspect", "output", "path")
_FOLDERS = ("home",)


def completion(args: argparse.Namespace) -> int:
    """Carry out ``ocap completion``."""
    say(script(args.shell))
    return 0


def script(shell: str) -> str:
    """Give the completion script for ``bash``, ``zsh`` or ``tcsh``."""
    import shtab

    parser = build_parser()
    for action in _actions(parser):
        if action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
        elif action.dest in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # likewise
    text: str = shtab.complete(parser, shell)
    return text.rstrip("\n")


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # argparse has no public way to list them
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                command.description = wrapped(command.description or "")  # zsh shows its first line
                yield from _actions(command)
