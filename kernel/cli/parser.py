"""The grammar of the ``ocap`` command line: every command, option and help text, and no behaviour.

A command names the function that carries it out as ``module:function``, so that parsing imports none of them.  The help
is the reference: each command says what it does, what it prints and where, and shows examples.
"""

from __future__ import annotations

import argparse

from kernel.cli.arguments import Commands, Parser, Version, add_command, add_commands, add_json, examples
from kernel.cli.parser_daemon import add_daemon
from kernel.cli.parser_subcluster import add_subcluster

_EXIT_CODES = """\
exit codes:
  0  done
  1  failed
  2  the command line is not of the right form
  3  the daemon is not running
  4  the daemon died during its start
  5  the daemon hangs or does not answer
  6  something foreign or of another version is in the way
  130, 141  interrupted; nobody reads the output any more
"""

_ENVIRONMENT = """\
environment:
  OCAP_HOME         the home directory when --home is not given (else ~/.ocap)
  OCAP_SOCKET_PATH  where the daemon's socket lies, when not in the home directory
  OCAP_LOG_BYTES    the size above which the daemon moves its log aside (10 MiB)
  OCAP_DEBUG        when set, unexpected failures show their traceback
"""


def parse(argv: list[str]) -> argparse.Namespace:
    """Read a command line, without the program's name.

    Raises:
        UsageError: Naming what is wrong, and the command whose help tells what is right.
        SystemExit: After ``--help`` and ``--version``, which print and are done.
    """
    args, rest = build_parser().parse_known_args(argv)
    if not getattr(args, "handler", None):
        args.parser.error("a command is missing")
    if rest and getattr(args, "takes_rest", False):
        # argparse gives up a list of words at the first option in the middle of it.
        words, separator, others = _split(rest)
        if not any(word.startswith("-") and not _is_number(word) for word in words):
            args.args.extend(words + others)
            return args
        rest = words + separator + others
    if rest:
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args


def _split(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Give the words before a ``--``, the ``--`` if there is one, and those after it, which are never options."""
    if "--" not in words:
        return words, [], []
    index = words.index("--")
    return words[:index], ["--"], words[index + 1 :]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def build_parser() -> Parser:
    """Give the parser of the whole command line."""
    parser = Parser(
        prog="ocap",
        description="Run a persistent object-capability kernel: its daemon, its subclusters and their bundles.",
        epilog=examples(
            "ocap bundle counter.py -o counter.bundle",
            "ocap daemon start",
            "ocap subcluster launch counter.bundle",
            "ocap daemon queueMessage ko4 increment",
            "ocap daemon status",
        )
        + f"\n{_EXIT_CODES}\n{_ENVIRONMENT}",
    )
    parser.add_argument("--home", metavar="DIR", help="the home directory (default: $OCAP_HOME, else ~/.ocap)")
    parser.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    parser.set_defaults(parser=parser)
    commands = add_commands(parser)
    add_daemon(commands)
    add_subcluster(commands)
    _add_bundle(commands)
    _add_doctor(commands)
    _add_completion(commands)
    return parser


# --- ocap bundle, doctor, completion -------------------------------------------------------------------------------


def _add_bundle(commands: Commands) -> None:
    add_command(
        commands,
        "bundle",
        "kernel.cli.bundle:bundle",
        _add_bundle_arguments,
        "make a bundle of a vat's source",
        "Write a bundle: the module ENTRY, which defines build_root_object, and every local module it imports. The "
        "same source gives the same bytes. With --inspect, say what is in a bundle.",
        "ocap bundle counter.py -o counter.bundle",
        "ocap bundle counter.py -o counter.bundle --print-integrity",
        "ocap bundle --inspect counter.bundle",
    )


def _add_bundle_arguments(parser: Parser) -> None:
    parser.add_argument("entry", metavar="ENTRY", nargs="?", help="the source file of the entry module, or its package")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the bundle to write (default: ENTRY's name with .bundle, here)"
    )
    parser.add_argument(
        "--print-integrity", action="store_true", help="print the bundle's digest, for 'integrity' and --integrity"
    )
    parser.add_argument("--inspect", metavar="FILE", help="say what is in the bundle FILE instead of writing one")
    add_json(parser)


def _add_doctor(commands: Commands) -> None:
    add_command(
        commands,
        "doctor",
        "kernel.cli.doctor:doctor",
        add_json,
        "find out what a start would do, changing nothing",
        "Try the restore of the home directory's store on a copy, whether the daemon runs or not, and say what would "
        "be quarantined and why, what is stale, and what to do. Exits with 1 when there are findings.",
        "ocap doctor",
        "ocap --home ./home doctor --json",
    )


def _add_completion(commands: Commands) -> None:
    add_command(
        commands,
        "completion",
        "kernel.cli.completion:completion",
        _add_completion_arguments,
        "print a completion script for a shell",
        "Print the script that teaches a shell to complete this command.",
        "ocap completion bash > ~/.local/share/bash-completion/completions/ocap",
        "ocap completion zsh > ~/.zfunc/_ocap                # a directory of $fpath",
        "ocap completion tcsh > ~/.ocap.csh                  # source it in ~/.tcshrc",
    )


def _add_completion_arguments(parser: Parser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh")
    add_json(parser, argparse.SUPPRESS)
