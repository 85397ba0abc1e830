"""Which oracles there are, and which can be asked of a daemon after a fault.

Invariant: an oracle is promised only where its answer means something: where the driver can ask, and where the kind of
the strike leaves a daemon that could have done better.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ocap.driver import Capability, has
from pytest_ocap.scenarios.contracts import NOTHING_LEFT
from pytest_ocap.sweeps import points
from pytest_ocap.sweeps.copies import names_in
from pytest_ocap.sweeps.keeping import KEEPING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver

ORACLES: Mapping[str, str] = {
    "client-ends": "every client that the fault met came back by itself, within 6 s after its own time-out",
    "failure-legible": "a client that failed says why: its error is not lost, and is more than an errno",
    "carries-on": "a call that was interrupted, did a part of its work or took its time has not failed: every client "
    "was given what it asked for",
    "pid-file-whole": "a pid file that lies there holds a pid, and while the daemon serves, that of a process of its",
    "rests": "while a fault lasts, no process is busy without end",
    "hang-told": "a daemon that stands still is told as such by the next start: which pid, and what to do",
    "continued-harmless": "what stood still and is continued beside a newer daemon leaves that its socket and its pid "
    "file, and it serves on",
    "forced-stop-clears": "a forced stop ends a daemon that stands still",
    "nothing-wedged": "what the fault left of the daemon either serves and can be stopped, or is gone by itself",
    "recovers": "when the fault is over, the next start is ready within its budget",
    "not-database-is-locked": "nobody is told that a database is locked",
    "ping": "a ping is answered",
    **KEEPING,
    "accepts-work": "a new subcluster can be launched, and answers",
    "stops": "the daemon can be stopped",
    "log-kept": "what the log said is still there: in the log, or in a file that it was rotated to",
    "log-legible": "a log of JSON objects has no line in which one stands behind a part of another",
    "nothing-left": NOTHING_LEFT,
    "no-file-left": "no file lies in the home that an unharmed run would not leave there",
    "store-intact": "the store passes its own checks of integrity and of foreign keys",
    "audited": "the daemon's own check of its home finds nothing wrong but what is rightly set aside",
}
"""Every oracle, with what it requires, in words."""


@dataclass(frozen=True)
class Strike:
    """How a fault met a run of a workload.

    Attributes:
        hang: Whether it stopped processes, rather than killed them or let calls fail.
        client: Whether it struck the client of the start, which then cannot say anything.
        harmless: Whether the call that it struck had not failed.
        lasting: Whether it goes on until the daemon has ended.
        deaf: Whether the daemon cannot take connections meanwhile.
        stopped: The pids that it stopped.
        running: The pids of the run's processes that still lived, as far as they are known otherwise than by the home.
        patience: How many seconds the client of the start was told to wait.
        pid_problem: What was wrong with the pid file once the start was ready.
    """

    hang: bool = False
    client: bool = False
    harmless: bool = False
    lasting: bool = False
    deaf: bool = False
    stopped: tuple[int, ...] = ()
    running: tuple[int, ...] = ()
    patience: float = 0.0
    pid_problem: str | None = None


@dataclass(frozen=True)
class Normal:
    """What an unharmed run is like.

    Attributes:
        files: The names that it leaves in the home. Another run may have other numbers in them, or whatever else is
            another one in every run.
        keeps_log: Whether the log still has what it said when the daemon has been started again.
    """

    files: frozenset[str] = frozenset()
    keeps_log: bool = False

    def strangers(self, home: Path) -> list[str]:
        """Give what lies in a home beyond that."""
        return _unlike(names_in(home), self.files)

    def lacking(self, home: Path) -> list[str]:
        """Give what a home lacks of that."""
        return _unlike(sorted(self.files), names_in(home))


def normal_of(home: Path, *, keeps_log: bool = False) -> Normal:
    """Say what is normal from what an unharmed run has left in its home."""
    return Normal(frozenset(names_in(home)), keeps_log)


def _unlike(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Give those names that none of the known ones can stand for in another run."""
    forms = {form for name in known for form in _forms(name)}
    return [name for name in names if forms.isdisjoint(_forms(name))]


def _forms(name: str) -> tuple[str, ...]:
    """Give a name without its numbers, as it is and without what looks random: one of the two is the same again."""
    return tuple(re.sub(r"\d+", "#", form) for form in (name, points.normal(name)))


def promised(driver: KernelDriver, strike: Strike | None, normal: Normal | None = None) -> tuple[str, ...]:
    """Give the oracles that can be asked of this daemon.

    Args:
        driver: The daemon.
        strike: How it was struck; None: no run was struck, only a home.
        normal: What an unharmed run is like; None: this is one.
    """
    launches = has(driver, Capability.LAUNCH)
    probes = launches and has(driver, Capability.PROBE)
    lists = launches and has(driver, Capability.LIST)
    struck: dict[str, bool] = {}
    if strike is not None:
        struck = {
            "client-ends": True,
            "failure-legible": True,
            "carries-on": strike.harmless,
            "pid-file-whole": has(driver, Capability.PIDFILE),
            "rests": strike.lasting,
            "hang-told": strike.hang,
            "continued-harmless": strike.hang,
            "forced-stop-clears": strike.hang and has(driver, Capability.FORCE_STOP),
            "nothing-wedged": not strike.hang,
        }
    made = {
        **struck,
        "recovers": True,
        "not-database-is-locked": True,
        "ping": True,
        "kept": lists,
        "stays-removed": lists and any(has(driver, removal) for removal in (Capability.PRUNE, Capability.TERMINATE)),
        "nothing-half-there": lists,
        "set-aside": lists and has(driver, Capability.QUARANTINE),
        "mended": lists and has(driver, Capability.QUARANTINE) and has(driver, Capability.REPAIR),
        "healthy-answer": probes,
        "state-kept": probes and has(driver, Capability.STATE),
        "revocation-kept": probes and has(driver, Capability.REVOKE),
        "accepts-work": launches,
        "log-kept": normal is not None and normal.keeps_log,
        "log-legible": strike is not None and has(driver, Capability.LOG),
        "stops": True,
        "nothing-left": True,
        "no-file-left": True,
        "store-intact": has(driver, Capability.SQLITE_STORE),
        "audited": has(driver, Capability.AUDIT),
    }
    return tuple(name for name, can in made.items() if can)
