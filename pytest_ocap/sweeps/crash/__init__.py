"""Crash states: what a power cut at any moment of a recording could leave on the disk.

A home is read (:class:`Image`), a workload is recorded, and :class:`CrashStates` gives the contents of the disk that a
file system may leave after a power cut, up to a stated :class:`Bound`, under each :class:`Model` that is asked for.  It
knows nothing of the daemon, and starts none.
"""

from pytest_ocap.sweeps.crash.image import Image
from pytest_ocap.sweeps.crash.losses import Bound, Family
from pytest_ocap.sweeps.crash.models import Model
from pytest_ocap.sweeps.crash.states import CrashState, CrashStates, Exchange

__all__ = ["Bound", "CrashState", "CrashStates", "Exchange", "Family", "Image", "Model"]
