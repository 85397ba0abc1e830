"""What a promise is settled with, inside the kernel: CapData whose slots are kernel references."""

from __future__ import annotations

from kernel.capdata import CapData, error_capdata
from kernel.records import Record
from kernel.refs import format_kref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.errors import OcapError
    from kernel.refs import Kref

_MAX_DIGITS = 10
_SLOT_OPENERS = ('#"$', '#"&')


class Settlement(Record):
    """A fulfilment or a rejection; ``error`` is the kernel's own reason, where the kernel is the one who rejects."""

    rejected: bool
    body: str
    slots: tuple[Kref, ...]
    error: OcapError | None = None

    def target(self) -> Kref | None:
        """Give the reference that this is, None when it is data: messages can be sent to a reference only."""
        if self.rejected or not self.body.startswith(_SLOT_OPENERS):
            return None
        digits = self.body[3:].partition(".")[0].rstrip('"')
        index = int(digits) if len(digits) < _MAX_DIGITS and digits.isdecimal() else len(self.slots)
        return self.slots[index] if index < len(self.slots) else None

    def outside(self) -> CapData:
        """Give it as those outside the kernel see it: slots are krefs."""
        return CapData(self.body, tuple(format_kref(slot) for slot in self.slots))


def rejection(error: OcapError) -> Settlement:
    """Make a rejection of an error of the kernel's; vats see its type, its message and its code."""
    data = error_capdata(type(error).__name__, error.message, code=error.code)
    return Settlement(True, data.body, (), error)


NOTHING = Settlement(False, "#null", ())
"""The fulfilment with ``None``."""
