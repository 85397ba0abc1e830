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


def describe_kernel(store: Store, quarantines: Quarantines) -> dict[str, Any]:
    """Give every vat and subcluster whose launch is complete."""
    records = [record for record in store.subclusters.all() if record.state == "running"]
    members: dict[int, list[VatRecord]] = {}
    for vat in store.vats.all():
        members.setdefault(vat.subcluster_id, []).append(vat)
    subclusters = [_describe(store, record, members.get(record.id, []), quarantines) for record in records]
    vats = [
        {"id": number, "config": subcluster["config"]["vats"].get(name), "subclusterId": subcluster["id"]}
        for subcluster in subclusters
        for name, number in subcluster["vats"].items()
    ]
    return {"vats": vats, "subclusters": subclusters, "remoteComms": {"state": "disconnected"}}


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
