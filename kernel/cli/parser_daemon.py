"""The grammar of ``ocap daemon``: see :mod:`kernel.cli.parser`."""

from __future__ import annotations

from kernel.cli.arguments import (
    Commands,
    Parser,
    add_command,
    add_group,
    add_json,
    add_timeout,
    count,
    kref,
    seconds,
)
from kernel.cli.logtext import LEVELS


def add_daemon(commands: Commands) -> None:
    """Add ``ocap daemon`` and its commands."""
    add_group(
        commands,
        "daemon",
        _add_commands,
        "start, stop and ask the daemon",
        "The daemon runs the kernel of one home directory.",
        "ocap daemon start",
        "ocap daemon status --json",
        "ocap daemon stop",
    )


def _add_commands(group: Commands) -> None:
    add_command(
        group,
        "start",
        "kernel.cli.daemon:start",
        _add_start_options,
        "start the daemon and wait until it is ready",
        "Start the daemon of the home directory, unless it runs already, and return when it is ready. The path of its "
        "socket is printed on standard output; 'ready', or 'ready, degraded: …' with the subclusters that could not "
        "be restored, on standard error.",
        "ocap daemon start",
        "ocap --home ./home daemon start --timeout 60",
        "ocap daemon start --require-confinement",
    )
    add_command(
        group,
        "stop",
        "kernel.cli.daemon:stop",
        _add_stop_options,
        "stop the daemon",
        "Ask the daemon to stop; one that does not is sent SIGTERM, then SIGKILL. Says what was done. Done, too, when "
        "no daemon is running.",
        "ocap daemon stop",
        "ocap daemon stop --force",
    )
    add_command(
        group,
        "restart",
        "kernel.cli.daemon:restart",
        _add_restart_options,
        "stop the daemon, then start it",
        "Stop the daemon if it is running, then start it. Subclusters whose cause of quarantine has gone run again.",
        "ocap daemon restart",
    )
    add_command(
        group,
        "status",
        "kernel.cli.daemon:status",
        add_json,
        "tell how the daemon is",
        "Tell whether the daemon runs, what state it is in, and which subclusters are quarantined and why. Starts "
        "nothing. Exits with 3 when it is not running, 5 when it hangs or does not answer, 6 when something foreign "
        "is in its place.",
        "ocap daemon status",
        "ocap daemon status --json",
    )
    add_command(
        group,
        "logs",
        "kernel.cli.logs:logs",
        _add_logs_options,
        "show the daemon's log",
        "Show the last records of the daemon's log, the newest last.",
        "ocap daemon logs",
        "ocap daemon logs --follow --level warning",
        "ocap daemon logs -n 1000 --json",
    )
    add_command(
        group,
        "purge",
        "kernel.cli.purge:purge",
        _add_purge_options,
        "delete the store, the pinned bundles and the logs",
        "Stop the daemon and delete everything that the kernel keeps in the home directory: the store with all "
        "subclusters and their state, the pinned bundles and the logs. Files that are not the kernel's stay. Without "
        "--yes it only says what it would delete.",
        "ocap daemon purge",
        "ocap daemon purge --yes",
    )
    add_command(
        group,
        "exec",
        "kernel.cli.messages:execute",
        _add_exec_arguments,
        "call a method of the daemon",
        "Call any method of the daemon's protocol and print its result as JSON. Starts the daemon if it is not "
        "running. A relative bundleSpec is taken relative to the working directory.",
        "ocap daemon exec getStatus",
        """ocap daemon exec pingVat '{"id": "v1"}'""",
        """ocap daemon exec launchSubcluster '{"config": {"bootstrap": "main",
      "vats": {"main": {"bundleSpec": "counter.bundle"}}}}'""",
    )
    add_command(
        group,
        "queueMessage",
        "kernel.cli.messages:queue_message",
        _add_message_arguments,
        "send a message to an object and print its answer",
        "Send a message to the object KREF and wait for the answer. Each argument is JSON, or else a string. A plain "
        "answer is printed as JSON; one that holds references or other values without a plain form is printed as "
        "CapData. Starts the daemon if it is not running.",
        "ocap daemon queueMessage ko4 increment",
        """ocap daemon queueMessage ko4 greet world '{"loud": true}'""",
        "ocap daemon queueMessage ko4 increment --json",
        "ocap daemon queueMessage -- ko4 greet --json     # after -- nothing is an option",
    )


def _add_start_options(parser: Parser) -> None:
    add_timeout(parser, 30.0, "how long a start may go on without progress")
    parser.add_argument(
        "--require-confinement",
        action="store_true",
        help="refuse to start where the machine cannot confine the workers of vats",
    )
    parser.add_argument(
        "--init-timeout", type=seconds, metavar="S", help="how long a vat may take to start, in seconds"
    )
    parser.add_argument(
        "--delivery-timeout", type=seconds, metavar="S", help="how long a vat may work on one message, in seconds"
    )
    parser.add_argument(
        "--log-level",
        choices=LEVELS,
        metavar="LEVEL",
        help=f"log this level and up: {', '.join(LEVELS)} (default: info)",
    )
    add_json(parser)


def _add_stop_options(parser: Parser) -> None:
    add_timeout(parser, 10.0, "how long it may take to stop before it is killed")
    parser.add_argument("--force", action="store_true", help="do not ask: terminate it, and kill it a second later")
    add_json(parser)


def _add_restart_options(parser: Parser) -> None:
    _add_start_options(parser)
    parser.add_argument("--force", action="store_true", help="do not ask it to stop: end it")


def _add_logs_options(parser: Parser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="go on showing records as they are written")
    parser.add_argument(
        "-n", "--lines", type=count, default=50, metavar="N", help="how many records to show (default: 50)"
    )
    parser.add_argument(
        "--level", choices=LEVELS, default="debug", metavar="LEVEL", help=f"show this level and up: {', '.join(LEVELS)}"
    )
    add_json(parser, "print the records as they are in the log, one JSON object a line")


def _add_purge_options(parser: Parser) -> None:
    parser.add_argument("--yes", action="store_true", help="do it")
    add_json(parser)


def _add_exec_arguments(parser: Parser) -> None:
    parser.add_argument("method", metavar="METHOD", help="the name of the method")
    parser.add_argument(
        "params", metavar="JSON-PARAMS", nargs="?", help="its parameters, a JSON array or object (default: [])"
    )
    add_timeout(parser, 30.0, "how long to wait for the answer")
    add_json(parser, "print an error as JSON, too")


def _add_message_arguments(parser: Parser) -> None:
    parser.set_defaults(takes_rest=True)
    parser.add_argument("kref", metavar="KREF", type=kref, help="the object: ko<number>, for example a rootKref")
    parser.add_argument("method", metavar="METHOD", help="the name of the method")
    parser.add_argument("args", metavar="ARG", nargs="*", help="an argument: JSON, or else a string")
    add_timeout(parser, 30.0, "how long to wait for the answer")
    add_json(parser, "print the answer as CapData")
