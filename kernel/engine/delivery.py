"""What a worker is told of a delivery: the frame, in the vat's own references.

Looks only; what the vat may name from now on is noted in the translation and becomes durable with the crank.
"""

from __future__ import annotations

from kernel.refs import Kref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.engine.translation import Translation
    from kernel.store import Store
    from kernel.store.deliveries import DeliveryRecord


def delivery_frame(store: Store, delivery: DeliveryRecord, names: Translation) -> list[Any] | None:
    """Make the frame of a delivery; ``None`` for news of a promise that its vat has forgotten."""
    return _notification(store, delivery, names) if delivery.kind == "notify" else _message(store, delivery, names)


def _message(store: Store, delivery: DeliveryRecord, names: Translation) -> list[Any]:
    message = {
        "target": names.to_vat(delivery.target),
        "method": delivery.method,
        "args": {"body": delivery.body, "slots": names.all_to_vat(store.deliveries.slots(delivery.id))},
        "result": None if delivery.result is None else names.to_vat(Kref("promise", delivery.result)),
    }
    return ["message", message]


def _notification(store: Store, delivery: DeliveryRecord, names: Translation) -> list[Any] | None:
    number = delivery.target.number
    promise = store.promises.get(number)
    vref = store.references.vref_of(names.vat_id, delivery.target)
    if promise is None or vref is None or promise.body is None:
        return None
    value = {"body": promise.body, "slots": names.all_to_vat(store.promises.slots(number))}
    return ["notify", {"resolutions": [[vref, promise.state == "rejected", value]]}]
