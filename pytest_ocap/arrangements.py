"""The table of the arrangements: what is arranged for each marker, in the order in which it is done.

Invariant: each stands before whatever would meet it: what a start reads comes before a start that is interrupted, and
a fault that lets no start succeed comes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap.scenarios.bundle_fetch_error import UnfetchableBundle
from pytest_ocap.scenarios.clock_step import ClockStep
from pytest_ocap.scenarios.concurrent_start import ConcurrentStart
from pytest_ocap.scenarios.crashed_init import CrashedInit
from pytest_ocap.scenarios.degraded_boot import DegradedBoot
from pytest_ocap.scenarios.full_disk import FullDisk
from pytest_ocap.scenarios.io_channel_conflict import IoChannelConflict
from pytest_ocap.scenarios.kill_at_stop import KillAtStop
from pytest_ocap.scenarios.legible_fatal import FatalStart
from pytest_ocap.scenarios.log_unwritable import LogUnwritable
from pytest_ocap.scenarios.long_socket_path import LongSocketPath
from pytest_ocap.scenarios.missing_bundle import MissingBundle
from pytest_ocap.scenarios.orphaned_worker import OrphanedWorker
from pytest_ocap.scenarios.pid_reuse import PidReuse
from pytest_ocap.scenarios.read_only_home import ReadOnlyHome
from pytest_ocap.scenarios.ready_then_dies import ReadyThenDies
from pytest_ocap.scenarios.slow_init import SlowInit
from pytest_ocap.scenarios.stale_socket import StaleSocket
from pytest_ocap.scenarios.store_locked import StoreLocked
from pytest_ocap.scenarios.version_skew import SkewedVersion

if TYPE_CHECKING:
    from pytest_ocap.arranging import Arrangement

ARRANGEMENTS: dict[str, type[Arrangement]] = {
    arrangement.marker: arrangement
    for arrangement in (
        FullDisk,
        ClockStep,
        IoChannelConflict,
        MissingBundle,
        DegradedBoot,
        UnfetchableBundle,
        OrphanedWorker,
        KillAtStop,
        ReadyThenDies,
        StaleSocket,
        CrashedInit,
        PidReuse,
        SlowInit,
        ConcurrentStart,
        LongSocketPath,
        SkewedVersion,
        StoreLocked,
        LogUnwritable,
        ReadOnlyHome,
        FatalStart,
    )
}
"""The arrangements in their order, by the names of their markers."""
