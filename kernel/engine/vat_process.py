"""What the kernel knows of one incarnation of a vat while its worker lives."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.engine.translation import Translation
    from kernel.loop import Future, TimerHandle
    from kernel.store.deliveries import DeliveryRecord
    from kernel.workers import Worker


class VatProcess:
    """One incarnation of a vat in its worker."""

    def __init__(self, vat_id: int, name: str) -> None:
        self.vat_id = vat_id
        self.name = name
        self.worker: Worker | None = None
        self.started: Future[None] | None = None
        self.next_import = 1
        self.delivery: DeliveryRecord | None = None
        self.names: Translation | None = None
        self.timer: TimerHandle | None = None
        self.pings: list[Future[str]] = []
        self.ready = False
        self.ended = False

    def stop_timer(self) -> None:
        """Let the deadline of what just ended pass without effect."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
