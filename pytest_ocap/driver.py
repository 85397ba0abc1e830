"""What the harness knows of a daemon: the driver protocol.

Invariant: this is all that scenarios and faults know.  A driver is one object with these attributes; nothing is
subclassed.  No verb raises because the daemon misbehaved: it gives an :class:`Outcome`, since misbehaviour is what is
being measured.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


class Capability(enum.StrEnum):
    """What a daemon, or its driver, may be able to do beyond ``start``, ``stop``, ``kill`` and ``ping``."""

    LAUNCH = "launch"
    """``make_bundle`` and ``launch`` work."""
    LIST = "list"
    """``list`` gives the subclusters."""
    PROBE = "probe"
    """``probe`` sends a message to a subcluster and gets its answer."""
    STATE = "state"
    """A probe's answer is the number of probes that its subcluster has answered so far, kept across restarts."""
    FETCH = "fetch"
    """``fetch`` makes a running daemon fetch a bundle URL."""
    QUARANTINE = "quarantine"
    """A subcluster that cannot be restored is set aside and ``list`` says so."""
    ERROR_CODES = "error-codes"
    """Errors carry a stable code for programs, besides their message."""
    SOCKET = "socket"
    """The daemon listens on a Unix socket of a known path."""
    PIDFILE = "pidfile"
    """The daemon writes its pid to a known file."""
    LOG = "log"
    """The daemon writes a log file whose lines are JSON objects with a ``level``, or contain its name."""
    STORE = "store"
    """The daemon keeps its state in a known file."""
    SQLITE_STORE = "sqlite-store"
    """That file is an SQLite database with ``user_version`` as the version of its schema."""
    LOCK = "lock"
    """The daemon holds a lock on a file of its home for its whole life."""
    PHASES = "phases"
    """A start can be interrupted in each of the driver's named phases."""
    PHASE_NAMES = "phase-names"
    """The daemon itself calls the phases of its start as the driver does."""
    FORCE_STOP = "force-stop"
    """``stop`` with ``force`` ends a daemon that no longer answers."""
    STATUS = "status"
    """``status`` asks by a client of the daemon's own whether it runs."""
    IO = "io"
    """``launch_io`` launches a subcluster with an IO channel on a Unix socket of its own."""
    WORKERS = "workers"
    """Subclusters run in processes that the daemon starts."""


FULL = "full"
NONE = "none"

Support = str
"""``"full"``, ``"none"``, or the reason why the capability cannot be used."""


@dataclass(frozen=True)
class Outcome:
    """How one verb ended.

    ``text`` is everything that the caller was told, whole; ``code`` the error's stable code when there is one;
    ``value`` what the verb gave; ``status`` the client's exit status when a client ran; ``timed_out`` that the
    harness had to end it.
    """

    ok: bool
    text: str
    seconds: float
    value: Any = None
    code: str | None = None
    status: int | None = None
    timed_out: bool = False

    def describe(self) -> str:
        """Say in a few words how it ended, for a check's detail."""
        end = "no end: the harness stopped waiting" if self.timed_out else "ok" if self.ok else "failed"
        status = "" if self.status is None else f", exit status {self.status}"
        text = self.text.strip() or "(no output)"
        return f"{end}{status}, after {self.seconds:.2f} s\n{text}"


@dataclass(frozen=True)
class Subcluster:
    """A subcluster that was launched: its id, its root's reference, its bundle and the bundle's URL."""

    id: str
    root: str
    bundle: Path
    url: str


@dataclass(frozen=True)
class Listed:
    """A subcluster as the daemon lists it; ``text`` is all that is said of it."""

    id: str
    state: str
    text: str
    code: str | None = None


QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Interrupt:
    """A wish to have a start interrupted.

    Attributes:
        how: ``kill`` or ``hang``.
        phase: One of the driver's phases.
        note: A file to which a failpoint that can do so adds, as a line, the pid of the process that it is about to
            strike: a daemon that is gone within a millisecond can be proved to have been there by nothing else.
    """

    how: str
    phase: str
    note: Path | None = None


@dataclass(frozen=True)
class Setting:
    """Under which circumstances a client is run: words before its command line, and additions to its environment."""

    prefix: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: Setting) -> Setting:
        """Put two settings together."""
        return Setting((*self.prefix, *other.prefix), {**self.env, **other.env})


PLAIN = Setting()


@runtime_checkable
class KernelDriver(Protocol):
    """A daemon as the harness sees it.  ``home`` is the directory that belongs to one daemon; times are seconds."""

    @property
    def name(self) -> str:
        """The driver's name, as reports show it."""
        ...

    @property
    def version(self) -> str:
        """The version of the daemon under test; ``""`` when it has none."""
        ...

    @property
    def supports(self) -> Mapping[Capability, Support]:
        """For each capability *full*, *none* or the reason why not; one left out is *none*."""
        ...

    @property
    def phases(self) -> Sequence[str]:
        """The phases of a start in their order; empty without :attr:`Capability.PHASES`."""
        ...

    @property
    def start_timeout(self) -> float:
        """The seconds within which a start that can succeed must have succeeded."""
        ...

    def start(
        self, home: Path, *, timeout: float, interrupt: Interrupt | None = None, setting: Setting = PLAIN
    ) -> Outcome:
        """Start the daemon and wait until it is ready, or until its client gives up after ``timeout``."""
        ...

    def stop(self, home: Path, *, timeout: float, force: bool = False) -> Outcome:
        """Stop the daemon; with ``force`` also one that does not answer."""
        ...

    def kill(self, home: Path) -> Outcome:
        """Kill the daemon and whatever it started, without a word."""
        ...

    def ping(self, home: Path, *, timeout: float) -> Outcome:
        """Ask the daemon whether it is there; never starts one."""
        ...

    def make_bundle(self, path: Path) -> str:
        """Write a valid bundle to the path and give its URL."""
        ...

    def launch(self, home: Path, url: str, *, timeout: float) -> Outcome:
        """Launch a subcluster from a bundle; ``value`` is the pair of its id and its root's reference."""
        ...

    def list(self, home: Path, *, timeout: float) -> Outcome:
        """List the subclusters; ``value`` is a list of :class:`Listed`."""
        ...

    def probe(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Send one message to a subcluster's root; ``value`` is its answer."""
        ...

    def fetch(self, home: Path, url: str, *, timeout: float) -> Outcome:
        """Make the running daemon fetch a bundle; ``ok`` when it could."""
        ...

    def socket(self, home: Path) -> Path | None:
        """Where the daemon's Unix socket lies."""
        ...

    def pid(self, home: Path) -> Path | None:
        """Where the daemon's pid file lies."""
        ...

    def log(self, home: Path) -> Path | None:
        """Where the daemon's log lies."""
        ...

    def store(self, home: Path) -> Path | None:
        """Where the daemon's store lies."""
        ...


class StatusDriver(KernelDriver, Protocol):
    """A driver with :attr:`Capability.STATUS`."""

    def status(self, home: Path, *, timeout: float) -> Outcome:
        """Ask by a client of the daemon's own whether the daemon runs; ``ok`` when it does.  Never starts one."""
        ...


class ChannelDriver(KernelDriver, Protocol):
    """A driver with :attr:`Capability.IO`."""

    def launch_io(self, home: Path, url: str, channel: Path, *, timeout: float) -> Outcome:
        """Launch a subcluster whose IO channel listens at a path; else as ``launch``."""
        ...


MEMBERS = tuple(sorted(name for name in vars(KernelDriver) if not name.startswith("_")))
"""What an object needs in order to be a driver."""

OPTIONAL = {Capability.STATUS: "status", Capability.IO: "launch_io"}
"""The verbs that only a driver with that capability needs."""


def has(driver: KernelDriver, capability: Capability) -> bool:
    """Say whether the driver supports a capability in full."""
    return driver.supports.get(capability, NONE) == FULL


def lacks(driver: KernelDriver, needs: Iterable[Capability]) -> str | None:
    """Say what the driver lacks of what is needed, with its reasons; ``None`` when nothing."""
    missing = []
    for need in sorted(needs):
        support = driver.supports.get(need, NONE)
        if support != FULL:
            missing.append(repr(str(need)) + ("" if support == NONE else f" ({support})"))
    return f"driver {driver.name!r} lacks {', '.join(missing)}" if missing else None
