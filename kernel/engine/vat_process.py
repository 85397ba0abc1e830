"""What the kernel knows of one incarnation of a vat while its worker lives."""

from __future__ import annotations

from kernel.refs import vat_id as vat_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.engine.garbage import Actions
    from kernel.engine.translation import Translation
    from kernel.errors import OcapError
    from kernel.events import Log
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
        self.actions: Actions | None = None
        """What it has been told of garbage, while it works on that."""
        self.reaping: list[Future[None]] = []
        """Those who wait until it has looked for what it can no longer reach."""
        self.timer: TimerHandle | None = None
        self.pings: list[Future[str]] = []
        self.ready = False
        self.ended = False
        self.started_again = False
        """Whether its worker was killed from outside while it started, and this is the second try."""

    def end(self, why: OcapError) -> None:
        """End the worker at once, and tell those who wait for it why."""
        self.ended = True
        self.ready = False
        self.stop_timer()
        if self.worker is not None:
            self.worker.kill()
        for ping in self.pings:
            ping.set_exception(why)
        self.pings.clear()
        self.end_reaping()
        if self.started is not None and not self.started.done():
            self.started.set_exception(why)

    def stop_timer(self) -> None:
        """Let the deadline of what just ended pass without effect."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def end_delivery(self, next_import: int) -> None:
        """Note that a delivery was made; ``next_import`` is the first import number that was never used."""
        self.stop_timer()
        self.next_import = next_import
        self.delivery = self.names = None
        if self.actions is not None and self.actions.reap:
            self.end_reaping()
        self.actions = None

    def write_log(self, log: Log, frame: list[Any]) -> None:
        """Write what the vat says to the kernel's log."""
        detail = detail_of(frame)
        level = detail.get("level")
        write = log.debug if level == "debug" else log.info if level == "info" else log.warning
        write("vat.log", vatId=vat_name(self.vat_id), vat=self.name, text=str(detail.get("text", "")))

    def end_reaping(self) -> None:
        """Tell those who wait for it that there is no more to come."""
        reaping, self.reaping = self.reaping, []
        for future in reaping:
            future.set_result(None)


def detail_of(frame: list[Any]) -> dict[str, Any]:
    """Give what a frame says besides its name; nothing when that has not the right form."""
    return frame[1] if len(frame) > 1 and isinstance(frame[1], dict) else {}
