"""Puts quarantined subclusters into words: the same words after a start, in a status and in a list."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_SHOWN = 20


def cause_text(quarantine: Mapping[str, Any]) -> str:
    """Give the cause of a quarantine: its code, and the path, URL or else the message that says more."""
    what = quarantine.get("path") or quarantine.get("bundleSpec") or quarantine.get("message")
    code = str(quarantine.get("code") or "unknown cause")
    return f"{code}: {what}" if what else code


def ready_text(quarantined: Sequence[Mapping[str, Any]]) -> str:
    """Give the line that ends a start: ``ready``, or what is quarantined and why.

    Args:
        quarantined: One record for each quarantined subcluster: its id, and the cause as ``getStatus`` gives it.
    """
    if not quarantined:
        return "ready"
    count = len(quarantined)
    noun = "subcluster" if count == 1 else "subclusters"
    shown = [f"{subcluster_id(record)} ({cause_text(_cause(record))})" for record in quarantined[:_SHOWN]]
    if count > _SHOWN:
        shown.append(f"and {count - _SHOWN} more")
    return f"ready, degraded: {count} {noun} quarantined: {', '.join(shown)}"


def subcluster_id(record: Mapping[str, Any]) -> str:
    """Give the id in a record of a subcluster."""
    return str(record.get("id") or record.get("subclusterId"))


def _cause(record: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = record.get("quarantine")
    return nested if isinstance(nested, dict) else record
