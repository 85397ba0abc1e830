"""A process that stood still, continued beside the daemon that has come up in its place.

Whoever stood still before it had its daemon's lock, or after it had given that up, is in nobody's way: the next start
succeeds.  Continued (by a debugger that lets go, a laptop that wakes up, a disk that answers again), it goes on with
what it was about to do: to bind the socket, to write the pid file, or to remove either.

Invariant: it may do so only to what is its own.  What clients ask the newer daemon for meanwhile is written down in the
ledger, so that whoever judges the next start asks for that, too.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psutil

from pytest_ocap import processes
from pytest_ocap.clock import Clock
from pytest_ocap.driver import Capability, has
from pytest_ocap.listeners import listener
from pytest_ocap.persisted import ANSWER_SECONDS
from pytest_ocap.scenarios.contracts import SETTLE_SECONDS
from pytest_ocap.sweeps.asking import Run, StoppedError
from pytest_ocap.sweeps.moments import Unharmed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.examination import Examination
    from pytest_ocap.sweeps.ledger import Ledger

LAUNCHED_BESIDE = "beside"
"""The name of the bundle of which a subcluster is made while the older process stands still."""


def judge_continued(examination: Examination, driver: KernelDriver, ledger: Ledger, stopped: Sequence[int]) -> None:
    """Continue what stands still while a newer daemon serves, and look what becomes of that.

    Args:
        examination: Records the check.
        driver: The daemon.
        ledger: What clients know; what they ask for here is added.
        stopped: The pids of the processes that stand still.
    """
    home = ledger.store.home
    late = processes.named(stopped)
    run = Run(driver, ledger, Unharmed().start, (driver.start_timeout, ANSWER_SECONDS))
    problems = []
    try:
        _work(driver, run, first=True)
        before = _marks(driver, home)
        for process in late:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        Clock().wait_until(lambda: not any(map(processes.alive, late)), SETTLE_SECONDS, every=0.01)
        after = _marks(driver, home)
        problems = [f"{what}: it was {was}, and is {after[what]}" for what, was in before.items() if after[what] != was]
        _work(driver, run, first=False)
    except StoppedError as error:
        problems.append(f"the newer daemon does not do what it is asked for: {error}")
    names = ", ".join(str(process.pid) for process in late) or "none"
    detail = "\n".join([f"continued beside a newer daemon: {names}", *problems])
    examination.check("continued-harmless", not problems, detail)


def _work(driver: KernelDriver, run: Run, *, first: bool) -> None:
    """Ask the newer daemon for something that it has to keep, and for an answer of that.

    Raises:
        StoppedError: It is not there any more.
    """
    if has(driver, Capability.LAUNCH) and first:
        run.launch(LAUNCHED_BESIDE)
    if has(driver, Capability.LAUNCH) and has(driver, Capability.PROBE):
        run.probe(LAUNCHED_BESIDE)
    outcome = driver.ping(run.home, timeout=ANSWER_SECONDS)
    if not outcome.ok:
        raise StoppedError(f"ping: {outcome.describe()}")


def _marks(driver: KernelDriver, home: Path) -> dict[str, str]:
    """Give what leads to a daemon: who listens on its socket, and what its pid file holds."""
    marks = {}
    if has(driver, Capability.SOCKET) and (path := driver.socket(home)) is not None:
        marks["whoever listens on the socket"] = str(listener(path))
    if has(driver, Capability.PIDFILE) and (file := driver.pid(home)) is not None:
        try:
            marks["the pid file"] = repr(file.read_bytes())
        except OSError as error:
            marks["the pid file"] = error.strerror or repr(error)
    return marks
