"""What a run with a fault costs in a sweep, with all its judging, beside one start and stop of the daemon.

The processor time of a run has its share in that of the whole sweep: in pytest, in the recording that finds the points,
and in the unharmed run before it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from benchmarks.measuring import FailedError, Meter, await_gone, ocap, run
from benchmarks.table import Benchmark, Row, Sample
from pytest_ocap import processes
from pytest_ocap.drivers.kernel import KernelDriver
from pytest_ocap.homes import Homes, copy_tree
from pytest_ocap.persisted import PersistedStore
from pytest_ocap.sweeps.choosing import injector_for
from pytest_ocap.sweeps.ledger import Ledger
from pytest_ocap.sweeps.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ocap.sweeps.cases import Armed

KINDS = ("kill", "errno", "hang", "powerloss", "slow")

BUDGET_SECONDS = 15
"""For each kind, spent on the most telling points first."""

LIVES = 7


def measure(place: Path) -> dict[str, Sample]:
    """Sweep the first start of a daemon with each kind of fault, for a while."""
    lives = [_life(place / f"h{number}") for number in range(LIVES)]
    spent = [life.cpu for life in lives if life.cpu is not None]
    life = Sample(statistics.median(sample.amount for sample in lives), statistics.median(spent))
    return {"life": life, **{kind: swept(place, kind, BUDGET_SECONDS) for kind in KINDS}}


def _life(home: Path) -> Sample:
    with Meter() as meter:
        ocap(home, "daemon", "start")
        pid = int((home / "daemon.pid").read_text())
        ocap(home, "daemon", "stop")
        await_gone(pid)
    return meter.sample


def swept(place: Path, kind: str, seconds: int) -> Sample:
    """Sweep with one kind of fault for so many seconds, and give what one run took."""
    report = place / f"{kind}.json"
    words = ("--pyargs", "pytest_ocap.sweeps", "-q", "-p", "no:cacheprovider", "-k", "start-1of1 and not restart")
    sweep = ("--ocap-sweep", kind, "--ocap-sweep-shards", "1", "--ocap-budget", f"{seconds}s")
    files = ("--rootdir", os.fspath(place), "--ocap-report", os.fspath(report), "--ocap-sweep-dir", f"{place}/{kind}")
    with Meter() as meter:
        run(sys.executable, "-P", "-m", "pytest", *words, *sweep, *files, output=report.with_suffix(".txt"))
    (sweep_of_start,) = json.loads(report.read_text())["sweeps"]
    if not sweep_of_start["tried"]:
        raise FailedError(f"no run with {kind} was made within {seconds} s")
    assert meter.sample.cpu is not None
    return Sample(sweep_of_start["seconds"] / sweep_of_start["tried"], meter.sample.cpu / sweep_of_start["tried"])


def pace(home: Path, points: int) -> float:
    """Give the seconds that a kill costs in a home that is there, over some of the points of a start and stop.

    At each the home is copied, the copy's daemon is killed at the point, and the next one has to start, answer and
    stop.  What a sweep asks of every subcluster besides would grow with their number by itself, and is left out.
    """
    driver, start = KernelDriver(), WORKLOADS["start"]

    def live(copy: Path, armed: Armed) -> None:
        start.run(driver, Ledger(PersistedStore(copy, ())), armed.start)

    with closing(Homes("pace")) as made, closing(injector_for(driver)) as injector:
        with _copied(home, made) as copy:
            cases = list(injector.cases(driver, start, copy, lambda armed: live(copy, armed)))
        kills = [case for case in cases if case.sweep == "kill" and not case.asked]
        began, struck = time.perf_counter(), 0
        for case in kills[:: max(1, len(kills) // points)][:points]:
            with _copied(home, made) as copy:
                with injector.armed(driver, copy, case) as armed:
                    live(copy, armed)
                    struck += armed.fired() is not None
                processes.end(copy)
                for verb in (driver.start, driver.ping, driver.stop):
                    outcome = verb(copy, timeout=driver.start_timeout)
                    if not outcome.ok:
                        raise FailedError(f"after {case.id}: {outcome.describe()}")
        if not struck:
            raise FailedError(f"none of {len(kills)} points was reached")
        return (time.perf_counter() - began) / struck


@contextmanager
def _copied(home: Path, homes: Homes) -> Iterator[Path]:
    copy = homes.make()
    try:
        copy_tree(home, copy)
        yield copy
    finally:
        homes.remove(copy)


_LIFE = "one start and stop"
_LIVES = "starts and stops"

BENCHMARK = Benchmark(
    "sweeps",
    (
        *(
            Row(9, f"a run with `{kind}`, judged", kind, "life", _LIFE, at_most=1.5 if kind == "kill" else None)
            for kind in KINDS
        ),
        *(Row(9, f"runs with `{kind}` in a second of one core", kind, "life", _LIVES, unit="/s") for kind in KINDS),
    ),
    measure,
    rounds=1,
)
