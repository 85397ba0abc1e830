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
    PIN = "pin"
    """``launch_pinned`` launches a subcluster that runs also when its bundle has gone."""
    REPAIR = "repair"
    """``repair`` lets a subcluster that was set aside run again when its cause has gone."""
    PRUNE = "prune"
    """``prune`` removes a subcluster that was set aside."""
    TERMINATE = "terminate"
    """``terminate`` removes a subcluster that runs."""
    LOG_ROTATION = "log-rotation"
    """The daemon moves its log aside when it has grown, under ``small_log`` after a few lines."""
    OLDER_STORE = "older-store"
    """``older`` drives an older edition of the daemon, whose stores this one brings up to date."""
    REFERENCES = "references"
    """``launch_linked`` launches a subcluster that passes objects and promises within itself before it answers."""
    COLLECT = "collect"
    """``collect`` has the daemon's vats find out what they no longer refer to, and removes what nobody refers to."""
    REVOKE = "revoke"
    """``revoke`` revokes an object that vats of a ``launch_linked`` share, for good, and ``use`` sends it a message."""
    AUDIT = "audit"
    """``audit`` has the daemon's own means check the home of a daemon that does not run."""


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
class Audit:
    """What a daemon's own check of a home came to.

    Attributes:
        sound: Whether it found nothing wrong but what ``aside`` says.
        aside: The ids of the subclusters that a start would set aside; None when the check does not tell.
    """

    sound: bool
    aside: frozenset[str] | None = None


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


class PinDriver(KernelDriver, Protocol):
    """A driver with :attr:`Capability.PIN`."""

    def launch_pinned(self, home: Path, url: str, *, timeout: float) -> Outcome:
        """Launch a subcluster whose bundle the daemon keeps a copy of; else as ``launch``."""
        ...


class RepairDriver(KernelDriver, Protocol):
    """A driver with :attr:`Capability.REPAIR`."""

    def repair(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Let a subcluster that was set aside run again; ``ok`` when it does."""
        ...


class PruneDriver(KernelDriver, Protocol):
    """A driver with :attr:`Capability.PRUNE`."""

    def prune(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Remove a subcluster that was set aside, with all that it had."""
        ...


class TerminateDriver(KernelDriver, Protocol):
    """A driver with :attr:`Capability.TERMINATE`."""

    def terminate(self, home: Path, subcluster: Subcluster, *, timeout: float) -> Outcome:
        """Remove a subcluster that runs, with all that it had."""
        ...


class RotationDriver(KernelDriver, Protocol):
    """A driver with :attr:`Capability.LOG_ROTATION`."""

    @property
    def small_log(self) -> Setting:
        """The circumstances under which a daemon moves its log aside after a few lines."""
        ...


class UpgradedDriver(KernelDriver, Protocol):
    """A driver with :attr:`Capability.OLDER_STORE`."""

    @property
    def older(self) -> KernelDriver:
        """The driver of an edition whose store has another form, which this one changes to its own at its start."""
        ...


class AuditDriver(KernelDriver, Protocol):
    """A driver with :attr:`Capability.AUDIT`."""

    def audit(self, home: Path, *, timeout: float) -> Outcome:
        """Check the home of a daemon that does not run; ``ok`` when that could be done: ``value`` is an :class:`Audit`.

        Nothing in the home changes.
        """
        ...


MEMBERS = tuple(sorted(name for name in vars(KernelDriver) if not name.startswith("_")))
"""What an object needs in order to be a driver."""

OPTIONAL: dict[Capability, tuple[str, ...]] = {
    Capability.STATUS: ("status",),
    Capability.IO: ("launch_io",),
    Capability.PIN: ("launch_pinned",),
    Capability.REFERENCES: ("launch_linked",),
    Capability.REPAIR: ("repair",),
    Capability.PRUNE: ("prune",),
    Capability.TERMINATE: ("terminate",),
    Capability.LOG_ROTATION: ("small_log",),
    Capability.OLDER_STORE: ("older",),
    Capability.COLLECT: ("collect",),
    Capability.REVOKE: ("revoke", "use"),
    Capability.AUDIT: ("audit",),
}
"""The members that only a driver with that capability needs."""


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
