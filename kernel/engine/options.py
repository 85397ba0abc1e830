"""What whoever runs a kernel can choose."""

from __future__ import annotations

from kernel.records import Record

MIB = 1 << 20


class KernelOptions(Record):
    """Bounds of a kernel, in seconds and bytes."""

    init_timeout: float = 10.0
    """Seconds that one vat may take to start."""
    delivery_timeout: float = 10.0
    """Seconds that one vat may take for one delivery."""
    bootstrap_timeout: float = 30.0
    """Seconds after which a launch whose ``bootstrap`` has not answered fails."""
    fetch_timeout: float = 10.0
    """Seconds that fetching one bundle over a network may take."""
    memory_bytes: int = 512 * MIB
    """Memory that one vat's worker may have."""
    require_confinement: bool = False
    """Whether to refuse to run vats where the operating system cannot confine them."""
