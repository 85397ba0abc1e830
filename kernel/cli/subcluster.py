"""``ocap subcluster list|show|repair|prune|terminate``: the subclusters of a running daemon."""

from __future__ import annotations

import os
import sys

from kernel.cli.output import is_terminal, note, say, say_json, say_table, to_json
from kernel.cli.quarantine import cause_text
from kernel.cli.session import call, suggest
from kernel.errors import NotFoundError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any


def list_all(args: Namespace) -> int:
    """Carry out ``ocap subcluster list``."""
    subclusters = _subclusters(args)
    if args.json:
        say_json(subclusters)
    elif not subclusters:
        note("no subclusters")
    else:
        say_table(("ID", "STATE", "ROOT", "VATS", "CAUSE"), [_row(record) for record in subclusters])
    return 0


def show(args: Namespace) -> int:
    """Carry out ``ocap subcluster show``."""
    record = _find(args, args.id)
    if args.json:
        say_json(record)
        return 0
    say(f"{record['id']}: {record['state']}")
    if record.get("rootKref"):
        say(f"root object: {record['rootKref']}")
    config = record.get("config") or {}
    for key in ("services", "io"):
        if config.get(key):
            say(f"{key}: {to_json(config[key])}")
    rows = _vat_rows(record)
    if rows:
        say("")
        say_table(("VAT", "ID", "BUNDLE"), rows)
    if record.get("quarantine"):
        _say_quarantine(args, record["id"], record["quarantine"])
    return 0


def repair(args: Namespace) -> int:
    """Carry out ``ocap subcluster repair``."""
    from kernel.config import absolute_bundle_spec

    params: dict[str, Any] = {"id": args.id}
    if args.bundles:
        params["bundles"] = {vat: absolute_bundle_spec(path, os.getcwd()) for vat, path in args.bundles}
    result = call(args, "repairSubcluster", params, waiting=f"repairing {args.id}")
    if args.json:
        say_json(result)
    else:
        say(f"{args.id}: {result['state']}")
    return 0


def prune(args: Namespace) -> int:
    """Carry out ``ocap subcluster prune``."""
    if bool(args.ids) == args.quarantined:
        args.parser.error("give either the IDs of subclusters or --quarantined")
    if not args.yes:
        _confirm_prune(args)
    params: dict[str, Any] = {"quarantined": True} if args.quarantined else {"ids": args.ids}
    result = call(args, "pruneSubcluster", params, waiting="pruning")
    if args.json:
        say_json(result)
        return 0
    for record in result["pruned"]:
        say(f"pruned {record['id']}: {pruned_text(record)}")
    if not result["pruned"]:
        note("nothing is quarantined: nothing was deleted")
    return 0


def terminate(args: Namespace) -> int:
    """Carry out ``ocap subcluster terminate``."""
    call(args, "terminateSubcluster", {"id": args.id}, waiting=f"terminating {args.id}")
    if args.json:
        say_json({"terminated": args.id})
    else:
        say(f"terminated {args.id}")
    return 0


def pruned_text(record: dict[str, Any]) -> str:
    """Say what pruning one subcluster deleted, by what the daemon counted."""
    labels = (
        ("vats", "vat", "vats"),
        ("promisesRejected", "promise rejected", "promises rejected"),
        ("messagesDropped", "queued message dropped", "queued messages dropped"),
        ("objectsReleased", "object released", "objects released"),
    )
    parts = []
    for key, one, many in labels:
        count = record.get(key)
        if isinstance(count, list):
            count = len(count)
        if isinstance(count, int):
            parts.append(f"{count} {one if count == 1 else many}")
    return ", ".join(parts) or "deleted"


def _subclusters(args: Namespace) -> list[dict[str, Any]]:
    status = call(args, "getStatus", [], waiting="asking the daemon")
    subclusters: list[dict[str, Any]] = status["subclusters"]
    return subclusters


def _find(args: Namespace, wanted: str) -> dict[str, Any]:
    for record in _subclusters(args):
        if record["id"] == wanted:
            return record
    raise NotFoundError(
        f"there is no subcluster {wanted}",
        remedy=f"List them: {suggest(args, 'subcluster list')}",
        subclusterId=wanted,
    )


def _confirm_prune(args: Namespace) -> None:
    """Ask a person whether to delete; without one, insist on ``--yes``.

    Raises:
        UsageError: Nobody is there to be asked, or the answer is no.
    """
    if not is_terminal(sys.stdin) or not is_terminal(sys.stderr):
        raise UsageError(
            "pruning deletes state for good, and nobody is there to be asked; nothing was deleted",
            remedy="To do it, run the same command with --yes.",
        )
    meant = [
        record
        for record in _subclusters(args)
        if (record["state"] == "quarantined" if args.quarantined else record["id"] in args.ids)
    ]
    if not meant and args.quarantined:
        return
    for record in meant:
        cause = f" ({cause_text(record['quarantine'])})" if record.get("quarantine") else ""
        note(f"{record['id']}: {record['state']}{cause}")
    note("Delete them, their vats and all their state for good? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was deleted: the answer was not yes")


def _row(record: dict[str, Any]) -> tuple[str, str, str, str, str]:
    vats = ", ".join(f"{name} ({vat})" for name, vat in (record.get("vats") or {}).items())
    cause = cause_text(record["quarantine"]) if record.get("quarantine") else ""
    return record["id"], record["state"], str(record.get("rootKref") or ""), vats, cause


def _vat_rows(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    configured = (record.get("config") or {}).get("vats") or {}
    return [
        (name, str(vat), str((configured.get(name) or {}).get("bundleSpec", "")))
        for name, vat in (record.get("vats") or {}).items()
    ]


def _say_quarantine(args: Namespace, subcluster: str, quarantine: dict[str, Any]) -> None:
    say("")
    say(f"quarantined since {quarantine.get('since')}: {quarantine.get('message')} (code {quarantine.get('code')})")
    for key, label in (("vat", "vat"), ("bundleSpec", "bundle"), ("path", "path")):
        if quarantine.get(key):
            say(f"  {label}: {quarantine[key]}")
    remedy = quarantine.get("remedy")
    note(f"Next: {remedy}" if remedy else "Next: remove the cause.")
    note(f"Then: {suggest(args, f'subcluster repair {subcluster}')}")
    note(f"Or delete it for good: {suggest(args, f'subcluster prune {subcluster}')}")
