"""Kernels in this process, each on a copy of a home: a restore under a debugger, without a daemon.

Invariant: the home that is looked at is only read, whether its daemon runs or not; the copy and everything that the
kernel started are gone when the opener is closed.  This module and the bundled driver are the two places where the
harness reaches ``kernel``.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kernel.engine import Kernel, KernelOptions, RestoreReport
from kernel.engine.doctor import copied_store
from kernel.events import ListLog
from kernel.loop import Loop
from kernel.store import Store
from pytest_ocap.locks import is_locked

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from pytest_ocap.clock import Clock
    from pytest_ocap.homes import Homes

T = TypeVar("T")


class InProcessKernel:
    """A kernel on a copy of a home, after its restore; no delivery has been made yet.

    Attributes:
        home: Where the copy is.
        kernel: The kernel itself.
        report: What the restore found.
        log: What the kernel logged; ``log.records`` are dictionaries.
    """

    def __init__(self, home: Path, clock: Clock, closing: ExitStack) -> None:
        self.home = home
        self.log = ListLog()
        self._loop = Loop(clock=clock)
        closing.callback(self._loop.close)
        store = Store.open(str(home / "kernel.sqlite"))
        closing.callback(store.close)
        self.kernel = Kernel(
            store, loop=self._loop, log=self.log, bundles_dir=str(home / "bundles"), options=KernelOptions()
        )
        closing.callback(self.kernel.close)
        self.report: RestoreReport = self.kernel.restore()

    def status(self) -> dict[str, Any]:
        """Give what the daemon's ``getStatus`` would give, without what is the daemon's own."""
        return self.kernel.status()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one of the kernel's coroutines to its end, with deliveries: ``call(it.kernel.queue_message(…))``."""
        self.kernel.run()
        return self._loop.run_until_complete(coroutine)


class KernelOpener:
    """Opens kernels; a context manager that closes them.

    Args:
        default: Gives the home that is meant when none is named.
        clock: What the kernels' deadlines read.
        homes: Where the copies are made.
    """

    def __init__(self, default: Callable[[], Path], clock: Clock, homes: Homes) -> None:
        self._default = default
        self._clock = clock
        self._homes = homes
        self._closing = ExitStack()

    def __call__(self, home: Path | None = None) -> InProcessKernel:
        """Open a kernel on a copy of a home and restore it.

        Raises:
            OcapError: The store cannot be opened, as the daemon would say it.
        """
        source = self._default() if home is None else home
        copy = self._homes.make()
        self._closing.callback(self._homes.remove, copy)
        with copied_store(str(source / "kernel.sqlite"), live=is_locked(source / "daemon.lock")) as store:
            shutil.copytree(Path(store).parent, copy)
        pinned = source / "bundles"
        if pinned.is_dir():
            shutil.copytree(pinned, copy / "bundles")
        return InProcessKernel(copy, self._clock, self._closing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()
