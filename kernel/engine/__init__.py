"""The engine: run queue, promises, subclusters, restore and quarantine over one store."""

from kernel.engine.kernel import Kernel
from kernel.engine.options import KernelOptions
from kernel.engine.restore import RestoreReport

__all__ = ["Kernel", "KernelOptions", "RestoreReport"]
