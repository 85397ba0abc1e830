"""``ocap subcluster launch``: makes a cluster configuration of what the user names, and has the daemon launch it.

The daemon fetches the bundles itself; here a file is only looked at to tell a bundle from a configuration.
"""

from __future__ import annotations

import os
import stat

from kernel.cli.messages import plain_value
from kernel.cli.output import say, say_json, to_json
from kernel.cli.session import call
from kernel.config import absolute_bundle_spec, parse_cluster_config
from kernel.config_files import read_cluster_config, single_vat_config
from kernel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

_HEAD_BYTES = 4096
_DIGESTS = ("sha256-", "sha384-", "sha512-")


def launch(args: Namespace) -> int:
    """Carry out ``ocap subcluster launch``."""
    resolve_path(args)
    config = cluster_config(args)
    result = call(args, "launchSubcluster", {"config": config}, waiting=f"launching {args.path}")
    if args.json:
        say_json(result)
        return 0
    say(f"launched {result['subclusterId']}: its root object is {result['rootKref']}")
    answer = plain_value(result.get("bootstrapResult"))
    if answer is not None and answer[0] is not None:
        say(f"bootstrap answered {to_json(answer[0])}")
    return 0


def resolve_path(args: Namespace) -> None:
    """Give ``PATH`` back what a bare ``--integrity`` in front of it has swallowed.

    Raises:
        UsageError: There is no ``PATH``.
    """
    if args.path is None and args.integrity and not args.integrity.startswith(_DIGESTS):
        args.path, args.integrity = args.integrity, ""
    if args.path is None:
        args.parser.error("the following arguments are required: PATH")


def cluster_config(args: Namespace) -> dict[str, Any]:
    """Give the configuration, as JSON data, of the subcluster that the command line asks for.

    Raises:
        UsageError: Options for one bundle were given with a configuration.
        ConfigError: The configuration, or what the options make of it, is not of the right form.
        BundleError: The digest of a bundle was asked for, and the bundle cannot be read.
    """
    if is_configuration(args.path):
        _refuse_bundle_options(args)
        return read_cluster_config(args.path).to_json()
    if args.path.endswith(".py"):
        raise UsageError(
            f"{args.path} is source, not a bundle",
            remedy=f"Bundle it first: ocap bundle {args.path} -o {args.path.removesuffix('.py')}.bundle",
        )
    name = "main" if args.vat is None else args.vat
    config = single_vat_config(args.path, name)
    vat = config["vats"][name]
    if args.parameters is not None:
        vat["parameters"] = args.parameters
    if args.pin:
        vat["pin"] = True
    if args.integrity is not None:
        vat["integrity"] = args.integrity or _digest(args.path)
    return parse_cluster_config(config).to_json()


def is_configuration(path: str) -> bool:
    """Tell whether a path is that of a cluster configuration, and not that of a bundle."""
    if "://" in path:
        return False
    head = _head(path)
    if b'"ocap-bundle"' in head:
        return False
    return path.endswith(".json") or (not path.endswith(".bundle") and head.lstrip().startswith(b"{"))


def _head(path: str) -> bytes:
    """Give the beginning of a regular file; nothing of anything else, which might block or not be there."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with open(path, "rb") as file:
            return file.read(_HEAD_BYTES)
    except (OSError, ValueError):  # whoever reads the whole of it says what is wrong
        return b""


def _refuse_bundle_options(args: Namespace) -> None:
    given = {
        "--vat": args.vat is not None,
        "--parameters": args.parameters is not None,
        "--pin": args.pin,
        "--integrity": args.integrity is not None,
    }
    for option, present in given.items():
        if present:
            args.parser.error(f"{option} is for a bundle; in a configuration, write it into {args.path}")


def _digest(path: str) -> str:
    from kernel.bundle import sri
    from kernel.fetch import fetch_bundle

    return sri(fetch_bundle(absolute_bundle_spec(path, os.getcwd())).data)
