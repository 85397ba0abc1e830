"""What the kernel says of itself: its vats and subclusters, as the wire's ``getStatus`` has them."""

from __future__ import annotations

import json

from kernel.refs import ROOT_VREF, object_kref, subcluster_id, vat_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from kernel.store import Store
    from kernel.store.subclusters import QuarantineRecord, SubclusterRecord
    from kernel.store.vats import VatRecord

    Quarantines = Mapping[int, QuarantineRecord]


def describe_kernel(store: Store, quarantines: Quarantines, state: str | None = None) -> dict[str, Any]:
    """Give the subclusters whose launch is complete, and their vats.

    Args:
        store: The store, while it is read.
        quarantines: Why those that do not run do not, by their ids.
        state: Only those that are ``running``, or ``quarantined``; the latter costs nothing for all others.
    """
    if state == "quarantined":
        found = (store.subclusters.get(number) for number in quarantines)
        subclusters = [describe_subcluster(store, record, quarantines) for record in found if record is not None]
    else:
        subclusters = _describe_all(store, quarantines)
    if state is not None:
        subclusters = [subcluster for subcluster in subclusters if subcluster["state"] == state]
    vats = [
        {"id": number, "config": subcluster["config"]["vats"].get(name), "subclusterId": subcluster["id"]}
        for subcluster in subclusters
        for name, number in subcluster["vats"].items()
    ]
    return {"vats": vats, "subclusters": subclusters, "remoteComms": {"state": "disconnected"}}


def _describe_all(store: Store, quarantines: Quarantines) -> list[dict[str, Any]]:
    members: dict[int, list[VatRecord]] = {}
    for vat in store.vats.all():
        members.setdefault(vat.subcluster_id, []).append(vat)
    records = [record for record in store.subclusters.all() if record.state == "running"]
    return [_describe(store, record, members.get(record.id, []), quarantines) for record in records]


def describe_subcluster(store: Store, record: SubclusterRecord, quarantines: Quarantines) -> dict[str, Any]:
    """Give one subcluster; one whose record cannot be read has an empty configuration."""
    return _describe(store, record, store.vats.of_subcluster(record.id), quarantines)


def _describe(
    store: Store, record: SubclusterRecord, members: Sequence[VatRecord], quarantines: Quarantines
) -> dict[str, Any]:
    quarantine = quarantines.get(record.id)
    try:
        config = json.loads(record.config)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("vats"), dict):
        config = {"bootstrap": None, "vats": {}}
    vats = {vat.name: vat.id for vat in members}
    root = vats.get(str(config.get("bootstrap")))
    ref = None if root is None else store.references.ref_of(root, ROOT_VREF)
    return {
        "id": subcluster_id(record.id),
        "config": config,
        "vats": {name: vat_id(number) for name, number in vats.items()},
        "rootKref": None if ref is None else object_kref(ref.number),
        "system": record.system,
        "state": "running" if quarantine is None else "quarantined",
        "quarantine": None if quarantine is None else describe_quarantine(quarantine),
    }


def describe_quarantine(record: QuarantineRecord) -> dict[str, Any]:
    """Give why a subcluster does not run."""
    return {
        "code": record.code,
        "message": record.message,
        "remedy": record.remedy,
        "bundleSpec": record.bundle_spec,
        "path": record.path,
        "vat": record.vat,
        "since": record.since,
    }
