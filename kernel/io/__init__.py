"""IO channels: how vats talk with processes outside the kernel."""

from kernel.io.channel import LineChannel

__all__ = ["LineChannel"]
