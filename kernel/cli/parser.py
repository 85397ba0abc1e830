"""The grammar of the ``ocap`` command line: every command, option and help text, and no behaviour.

A command names the function that carries it out as ``module:function``, so that parsing imports none of them.  The help
is the reference: each command says what it does, what it prints and where, and shows examples.
"""

from __future__ import annotations

import argparse

from kernel.cli.arguments import (
    Parser,
    Version,
    add_command,
    add_group,
    add_json,
    add_timeout,
    count,
    examples,
    json_value,
    kref,
    subcluster,
    vat_bundle,
)
from kernel.cli.logtext import LEVELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DIGESTS = ("sha256-", "sha384-", "sha512-")

_EXIT_CODES = """\
exit codes:
  0  done
  1  failed
  2  the command line is not of the right form
  3  the daemon is not running
  4  the daemon died during its start
  5  the daemon hangs or does not answer
  6  something foreign or of another version is in the way
"""

_ENVIRONMENT = """\
environment:
  OCAP_HOME         the home directory when --home is not given (else ~/.ocap)
  OCAP_SOCKET_PATH  where the daemon's socket lies, when not in the home directory
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
    if rest and getattr(args, "takes_rest", False) and not any(word.startswith("-") for word in rest):
        # argparse gives up a list of words at the first option in the middle of it.
        args.args.extend(rest)
    elif rest:
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args


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
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=False)
    _add_daemon(commands)
    _add_subcluster(commands)
    _add_bundle(commands)
    _add_doctor(commands)
    _add_completion(commands)
    return parser


# --- ocap daemon ---------------------------------------------------------------------------------------------------


def _add_daemon(commands: Any) -> None:
    group = add_group(
        commands,
        "daemon",
        "start, stop and ask the daemon",
        "The daemon runs the kernel of one home directory.",
        "ocap daemon start",
        "ocap daemon status --json",
        "ocap daemon stop",
    )
    start = add_command(
        group,
        "start",
        "kernel.cli.daemon:start",
        "start the daemon and wait until it is ready",
        "Start the daemon of the home directory, unless it runs already, and return when it is ready. The path of its "
        "socket is printed on standard output; 'ready', or 'ready, degraded: …' with the subclusters that could not "
        "be restored, on standard error.",
        "ocap daemon start",
        "ocap --home ./home daemon start --timeout 60",
        "ocap daemon start --require-confinement",
    )
    _add_start_options(start)
    stop = add_command(
        group,
        "stop",
        "kernel.cli.daemon:stop",
        "stop the daemon",
        "Ask the daemon to stop; one that does not is sent SIGTERM, then SIGKILL. Says what was done. Done, too, when "
        "no daemon is running.",
        "ocap daemon stop",
        "ocap daemon stop --force",
    )
    _add_stop_options(stop)
    restart = add_command(
        group,
        "restart",
        "kernel.cli.daemon:restart",
        "stop the daemon, then start it",
        "Stop the daemon if it is running, then start it. Subclusters whose cause of quarantine has gone run again.",
        "ocap daemon restart",
    )
    _add_start_options(restart)
    restart.add_argument("--force", action="store_true", help="do not ask it to stop: end it")
    status = add_command(
        group,
        "status",
        "kernel.cli.daemon:status",
        "tell how the daemon is",
        "Tell whether the daemon runs, what state it is in, and which subclusters are quarantined and why. Starts "
        "nothing. Exits with 3 when it is not running, 5 when it hangs or does not answer, 6 when something foreign "
        "is in its place.",
        "ocap daemon status",
        "ocap daemon status --json",
    )
    add_json(status)
    logs = add_command(
        group,
        "logs",
        "kernel.cli.logs:logs",
        "show the daemon's log",
        "Show the last records of the daemon's log, the newest last.",
        "ocap daemon logs",
        "ocap daemon logs --follow --level warning",
        "ocap daemon logs -n 1000 --json",
    )
    logs.add_argument("-f", "--follow", action="store_true", help="go on showing records as they are written")
    logs.add_argument(
        "-n", "--lines", type=count, default=50, metavar="N", help="how many records to show (default: 50)"
    )
    logs.add_argument(
        "--level", choices=LEVELS, default="debug", metavar="LEVEL", help=f"show this level and up: {', '.join(LEVELS)}"
    )
    add_json(logs, "print the records as they are in the log, one JSON object a line")
    purge = add_command(
        group,
        "purge",
        "kernel.cli.purge:purge",
        "delete the store, the pinned bundles and the logs",
        "Stop the daemon and delete everything that the kernel keeps in the home directory: the store with all "
        "subclusters and their state, the pinned bundles and the logs. Files that are not the kernel's stay. Without "
        "--yes it only says what it would delete.",
        "ocap daemon purge",
        "ocap daemon purge --yes",
    )
    purge.add_argument("--yes", action="store_true", help="do it")
    add_json(purge)
    execute = add_command(
        group,
        "exec",
        "kernel.cli.messages:execute",
        "call a method of the daemon",
        "Call any method of the daemon's protocol and print its result as JSON. Starts the daemon if it is not "
        "running. A relative bundleSpec is taken relative to the working directory.",
        "ocap daemon exec getStatus",
        """ocap daemon exec pingVat '{"id": "v1"}'""",
        """ocap daemon exec launchSubcluster '{"config": {"bootstrap": "main",
      "vats": {"main": {"bundleSpec": "counter.bundle"}}}}'""",
    )
    execute.add_argument("method", metavar="METHOD", help="the name of the method")
    execute.add_argument(
        "params", metavar="JSON-PARAMS", nargs="?", help="its parameters, a JSON array or object (default: [])"
    )
    add_timeout(execute, 30.0, "how long to wait for the answer")
    add_json(execute, "print an error as JSON, too")
    queue = add_command(
        group,
        "queueMessage",
        "kernel.cli.messages:queue_message",
        "send a message to an object and print its answer",
        "Send a message to the object KREF and wait for the answer. Each argument is JSON, or else a string. A plain "
        "answer is printed as JSON; one that holds references or other values without a plain form is printed as "
        "CapData. Starts the daemon if it is not running.",
        "ocap daemon queueMessage ko4 increment",
        """ocap daemon queueMessage ko4 greet world '{"loud": true}'""",
        "ocap daemon queueMessage ko4 increment --json",
        "ocap daemon queueMessage -- ko4 greet --json     # after -- nothing is an option",
    )
    queue.set_defaults(takes_rest=True)
    queue.add_argument("kref", metavar="KREF", type=kref, help="the object: ko<number>, for example a rootKref")
    queue.add_argument("method", metavar="METHOD", help="the name of the method")
    queue.add_argument("args", metavar="ARG", nargs="*", help="an argument: JSON, or else a string")
    add_timeout(queue, 30.0, "how long to wait for the answer")
    add_json(queue, "print the answer as CapData")


def _add_start_options(parser: Parser) -> None:
    add_timeout(parser, 30.0, "how long a start may go on without progress")
    parser.add_argument(
        "--require-confinement",
        action="store_true",
        help="refuse to start where the machine cannot confine the workers of vats",
    )
    add_json(parser)


def _add_stop_options(parser: Parser) -> None:
    add_timeout(parser, 10.0, "how long it may take to stop before it is killed")
    parser.add_argument("--force", action="store_true", help="do not ask: terminate it, and kill it a second later")
    add_json(parser)


# --- ocap subcluster -----------------------------------------------------------------------------------------------


def _add_subcluster(commands: Any) -> None:
    group = add_group(
        commands,
        "subcluster",
        "launch, list, repair and end subclusters",
        "A subcluster is a group of vats that were launched together. The daemon must be running.",
        "ocap subcluster launch counter.bundle",
        "ocap subcluster list",
        "ocap subcluster repair s2",
    )
    _add_launch(group)
    listing = add_command(
        group,
        "list",
        "kernel.cli.subcluster:list_all",
        "list the subclusters",
        "List the subclusters, their state and, of the quarantined, the cause.",
        "ocap subcluster list",
        "ocap subcluster list --json",
    )
    add_json(listing)
    show = add_command(
        group,
        "show",
        "kernel.cli.subcluster:show",
        "show one subcluster",
        "Show one subcluster: its vats, their bundles and, when it is quarantined, the cause and what can be done.",
        "ocap subcluster show s2",
    )
    show.add_argument("id", metavar="ID", type=subcluster, help="the subcluster: s<number>")
    add_json(show)
    repair = add_command(
        group,
        "repair",
        "kernel.cli.subcluster:repair",
        "run a quarantined subcluster again",
        "Run a quarantined subcluster again, its state kept, once the cause has gone, or with another bundle. The "
        "daemon is not restarted.",
        "ocap subcluster repair s2",
        "ocap subcluster repair s2 --bundle main=./counter.bundle",
    )
    repair.add_argument("id", metavar="ID", type=subcluster, help="the subcluster: s<number>")
    repair.add_argument(
        "--bundle",
        dest="bundles",
        action="append",
        default=[],
        type=vat_bundle,
        metavar="VAT=PATH",
        help="from now on the vat of that name runs this bundle (a path or URL); may be repeated",
    )
    add_json(repair)
    prune = add_command(
        group,
        "prune",
        "kernel.cli.subcluster:prune",
        "delete quarantined subclusters and their state for good",
        "Delete quarantined subclusters for good: their records, vats, state and queued messages. Asks on a terminal; "
        "elsewhere --yes is needed.",
        "ocap subcluster prune s2",
        "ocap subcluster prune s2 s5 --yes",
        "ocap subcluster prune --quarantined --yes",
    )
    prune.add_argument("ids", metavar="ID", nargs="*", type=subcluster, help="a subcluster: s<number>")
    prune.add_argument("--quarantined", action="store_true", help="all that are quarantined")
    prune.add_argument("--yes", action="store_true", help="do not ask")
    add_json(prune)
    terminate = add_command(
        group,
        "terminate",
        "kernel.cli.subcluster:terminate",
        "end a subcluster",
        "End the vats of a running subcluster and delete its state for good.",
        "ocap subcluster terminate s1",
    )
    terminate.add_argument("id", metavar="ID", type=subcluster, help="the subcluster: s<number>")
    add_json(terminate)


def _add_launch(group: Any) -> None:
    launch = add_command(
        group,
        "launch",
        "kernel.cli.launch:launch",
        "launch a subcluster",
        "Launch a subcluster of one vat from a bundle, or of any number from a cluster configuration, and print its id "
        "and the reference of its root object. Relative paths in a configuration are taken relative to it.",
        "ocap subcluster launch counter.bundle",
        """ocap subcluster launch counter.bundle --parameters '{"start": 10}' --json""",
        "ocap subcluster launch cluster.json",
        "ocap subcluster launch https://example.org/counter.bundle --integrity sha256-…",
    )
    # Optional here, because argparse lets a bare --integrity swallow a PATH that follows it.
    launch.add_argument("path", metavar="PATH", nargs="?", help="a bundle (file or URL), or a configuration (JSON)")
    launch.add_argument("--vat", metavar="NAME", help="the name of the bundle's vat (default: main)")
    launch.add_argument("--parameters", metavar="JSON", type=json_value, help="parameters of the bundle's vat")
    launch.add_argument(
        "--pin", action="store_true", help="keep a copy of the bundle, so that the vat survives the loss of the file"
    )
    launch.add_argument(
        "--integrity",
        metavar="SRI",
        nargs="?",
        const="",
        help="refuse the bundle at every start unless it has this digest; without SRI, the digest that it has now",
    )
    add_json(launch)


def resolve_launch_path(args: argparse.Namespace) -> None:
    """Give ``PATH`` back what a bare ``--integrity`` in front of it has swallowed.

    Raises:
        UsageError: There is no ``PATH``.
    """
    if args.path is None and args.integrity and not args.integrity.startswith(_DIGESTS):
        args.path, args.integrity = args.integrity, ""
    if args.path is None:
        args.parser.error("the following arguments are required: PATH")


# --- ocap bundle, doctor, completion -------------------------------------------------------------------------------


def _add_bundle(commands: Any) -> None:
    bundle = add_command(
        commands,
        "bundle",
        "kernel.cli.bundle:bundle",
        "make a bundle of a vat's source",
        "Write a bundle: the module ENTRY, which defines build_root_object, and every local module it imports. The "
        "same source gives the same bytes. With --inspect, say what is in a bundle.",
        "ocap bundle counter.py -o counter.bundle",
        "ocap bundle counter.py -o counter.bundle --print-integrity",
        "ocap bundle --inspect counter.bundle",
    )
    bundle.add_argument("entry", metavar="ENTRY", nargs="?", help="the source file of the entry module, or its package")
    bundle.add_argument(
        "-o", "--output", metavar="FILE", help="the bundle to write (default: ENTRY's name with .bundle, here)"
    )
    bundle.add_argument(
        "--print-integrity", action="store_true", help="print the bundle's digest, for 'integrity' and --integrity"
    )
    bundle.add_argument("--inspect", metavar="FILE", help="say what is in the bundle FILE instead of writing one")
    add_json(bundle)


def _add_doctor(commands: Any) -> None:
    doctor = add_command(
        commands,
        "doctor",
        "kernel.cli.doctor:doctor",
        "find out what a start would do, changing nothing",
        "Try the restore of the home directory's store on a copy, whether the daemon runs or not, and say what would "
        "be quarantined and why, what is stale, and what to do. Exits with 1 when there are findings.",
        "ocap doctor",
        "ocap --home ./home doctor --json",
    )
    add_json(doctor)


def _add_completion(commands: Any) -> None:
    completion = add_command(
        commands,
        "completion",
        "kernel.cli.completion:completion",
        "print a completion script for a shell",
        "Print the script that teaches a shell to complete this command.",
        "ocap completion bash > ~/.local/share/bash-completion/completions/ocap",
        "ocap completion zsh > ~/.zfunc/_ocap                # a directory of $fpath",
        "ocap completion tcsh > ~/.ocap.csh                  # source it in ~/.tcshrc",
    )
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "tcsh"), help="bash, zsh or tcsh")
    add_json(completion, argparse.SUPPRESS)
