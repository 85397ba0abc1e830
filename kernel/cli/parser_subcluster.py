"""The grammar of ``ocap subcluster``: see :mod:`kernel.cli.parser`."""

from __future__ import annotations

from kernel.cli.arguments import (
    Commands,
    Parser,
    add_command,
    add_group,
    add_json,
    json_value,
    subcluster,
    vat_bundle,
)


def add_subcluster(commands: Commands) -> None:
    """Add ``ocap subcluster`` and its commands."""
    add_group(
        commands,
        "subcluster",
        _add_commands,
        "launch, list, repair and end subclusters",
        "A subcluster is a group of vats that were launched together. The daemon must be running.",
        "ocap subcluster launch counter.bundle",
        "ocap subcluster list",
        "ocap subcluster repair s2",
    )


def _add_commands(group: Commands) -> None:
    add_command(
        group,
        "launch",
        "kernel.cli.launch:launch",
        _add_launch_arguments,
        "launch a subcluster",
        "Launch a subcluster of one vat from a bundle, or of any number from a cluster configuration, and print its id "
        "and the reference of its root object. Relative paths in a configuration are taken relative to it.",
        "ocap subcluster launch counter.bundle",
        """ocap subcluster launch counter.bundle --parameters '{"start": 10}' --json""",
        "ocap subcluster launch cluster.json",
        "ocap subcluster launch https://example.org/counter.bundle --integrity sha256-…",
    )
    add_command(
        group,
        "list",
        "kernel.cli.subcluster:list_all",
        add_json,
        "list the subclusters",
        "List the subclusters, their state and, of the quarantined, the cause.",
        "ocap subcluster list",
        "ocap subcluster list --json",
    )
    add_command(
        group,
        "show",
        "kernel.cli.subcluster:show",
        _add_id,
        "show one subcluster",
        "Show one subcluster: its vats, their bundles and, when it is quarantined, the cause and what can be done.",
        "ocap subcluster show s2",
    )
    add_command(
        group,
        "repair",
        "kernel.cli.subcluster:repair",
        _add_repair_arguments,
        "run a quarantined subcluster again",
        "Run a quarantined subcluster again, its state kept, once the cause has gone, or with another bundle. The "
        "daemon is not restarted.",
        "ocap subcluster repair s2",
        "ocap subcluster repair s2 --bundle main=./counter.bundle",
    )
    add_command(
        group,
        "prune",
        "kernel.cli.subcluster:prune",
        _add_prune_arguments,
        "delete quarantined subclusters and their state for good",
        "Delete quarantined subclusters for good: their records, vats, state and queued messages. Asks on a terminal; "
        "elsewhere --yes is needed.",
        "ocap subcluster prune s2",
        "ocap subcluster prune s2 s5 --yes",
        "ocap subcluster prune --quarantined --yes",
    )
    add_command(
        group,
        "terminate",
        "kernel.cli.subcluster:terminate",
        _add_id,
        "end a subcluster",
        "End the vats of a running subcluster and delete its state for good.",
        "ocap subcluster terminate s1",
    )


def _add_launch_arguments(parser: Parser) -> None:
    # Optional here, because argparse lets a bare --integrity swallow a PATH that follows it.
    parser.add_argument("path", metavar="PATH", nargs="?", help="a bundle (file or URL), or a configuration (JSON)")
    parser.add_argument("--vat", metavar="NAME", help="the name of the bundle's vat (default: main)")
    parser.add_argument("--parameters", metavar="JSON", type=json_value, help="parameters of the bundle's vat")
    parser.add_argument(
        "--pin", action="store_true", help="keep a copy of the bundle, so that the vat survives the loss of the file"
    )
    parser.add_argument(
        "--integrity",
        metavar="SRI",
        nargs="?",
        const="",
        help="refuse the bundle at every start unless it has this digest; without SRI, the digest that it has now",
    )
    add_json(parser)


def _add_id(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", type=subcluster, help="the subcluster: s<number>")
    add_json(parser)


def _add_repair_arguments(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", type=subcluster, help="the subcluster: s<number>")
    parser.add_argument(
        "--bundle",
        dest="bundles",
        action="append",
        default=[],
        type=vat_bundle,
        metavar="VAT=PATH",
        help="from now on the vat of that name runs this bundle (a path or URL); may be repeated",
    )
    add_json(parser)


def _add_prune_arguments(parser: Parser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", type=subcluster, help="a subcluster: s<number>")
    parser.add_argument("--quarantined", action="store_true", help="all that are quarantined")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_json(parser)
