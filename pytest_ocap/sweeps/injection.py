"""Faults at points, as data: which there are, where each makes sense, and what became of one.

Invariant: a fault that never fired is *not measured*; whoever injects says which fired and where.  Nothing here knows
by which means.

In text: ``start:write:kernel.sqlite-wal#3=EIO`` is one injection.  The faults:

=================  ====================================================================================================
``kill``           the process that is about to make the call is killed (SIGKILL), all its threads; the call is not made
``kill-after``     the call is made, and its process is killed before it learns of it
``hang``           the process that is about to make the call is stopped (SIGSTOP); continued, it makes it
``EIO`` …          the call is not made, and fails with this error; a ``close`` is made, and fails all the same
``EIO+`` …         and so does every later call of the tree that can fail with this error
``short``          a write or send takes only half of its bytes, and says so
``slow=0.5``       the call is made half a second later
=================  ====================================================================================================
"""

from __future__ import annotations

import enum
import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.points import Point

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ocap.sweeps.calls import Call


class How(enum.StrEnum):
    """What a fault does."""

    KILL = "kill"
    KILL_AFTER = "kill-after"
    HANG = "hang"
    ERRNO = "errno"
    SHORT = "short"
    SLOW = "slow"


_MAKES_NAMES = frozenset({Kind.OPEN, Kind.LINK, Kind.SYMLINK, Kind.RENAME, Kind.MKDIR, Kind.BIND})
_CHANGES_NAMES = _MAKES_NAMES | {Kind.UNLINK, Kind.RMDIR}

ERRORS: dict[int, frozenset[Kind]] = {
    errno.EIO: frozenset(
        {Kind.OPEN, Kind.WRITE, Kind.TRUNCATE, Kind.SYNC, Kind.SYNC_ALL, Kind.CLOSE, *_CHANGES_NAMES} - {Kind.BIND}
    ),
    errno.ENOSPC: frozenset({Kind.WRITE, Kind.TRUNCATE, Kind.SYNC, *_MAKES_NAMES}),
    errno.EMFILE: frozenset({Kind.OPEN, Kind.ACCEPT}),
    errno.ENFILE: frozenset({Kind.OPEN, Kind.ACCEPT}),
    errno.EACCES: _CHANGES_NAMES,
    errno.EROFS: frozenset({Kind.TRUNCATE, Kind.CHMOD, *_CHANGES_NAMES}),
    errno.EINTR: frozenset({Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.LOCK, Kind.ACCEPT, Kind.CLOSE, Kind.SEND}),
    errno.EAGAIN: frozenset({Kind.LOCK, Kind.ACCEPT, Kind.SEND}),
}
"""The errors that are injected, each with the kinds of calls that can fail with it."""

TRANSIENT = frozenset({errno.EINTR, errno.EAGAIN})
"""Errors that ask for another attempt: from then on, they would be a hang of the harness's making."""

SHORTENED = frozenset({Kind.WRITE, Kind.SEND})
LEAST_TO_HALVE = 2
"""The bytes of the shortest write of which a half can be made."""

DEFAULT_DELAY = 0.2
"""Seconds by which ``slow`` delays when it does not say."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        how: What it does.
        error: The error's number, for ``errno``.
        persistent: Whether later calls that can fail with that error fail too.
        seconds: The delay, for ``slow``.
    """

    how: How
    error: int | None = None
    persistent: bool = False
    seconds: float = DEFAULT_DELAY

    def __str__(self) -> str:
        if self.error is not None:
            return errno.errorcode[self.error] + ("+" if self.persistent else "")
        return f"slow={self.seconds:g}" if self.how is How.SLOW else str(self.how)

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read the text form; :class:`ValueError` says what there is."""
        word, _, argument = text.partition("=")
        if word == How.SLOW:
            return cls(How.SLOW, seconds=float(argument) if argument else DEFAULT_DELAY)
        if not argument and word in (How.KILL, How.KILL_AFTER, How.HANG, How.SHORT):
            return cls(How(word))
        number = _NUMBERS.get(word.removesuffix("+"))
        if number is None or argument:
            raise ValueError(f"{text!r} is not a fault: there are {', '.join(_WORDS)}")
        return cls(How.ERRNO, number, word.endswith("+"))

    def can_strike(self, kind: Kind) -> bool:
        """Say whether a call of this kind can suffer this fault."""
        if self.error is not None:
            return kind in ERRORS.get(self.error, ())
        return kind in SHORTENED if self.how is How.SHORT else True

    def is_none_at(self, kind: Kind) -> bool:
        """Say whether a call of this kind has not failed at all: whoever makes it has to go on, or to make it again.

        A sync that was interrupted is not one of these: what it was to write may be lost, and a second one then
        succeeds all the same.  Nor is a lock that somebody else has.
        """
        if self.error == errno.EINTR:
            return kind not in (Kind.SYNC, Kind.SYNC_ALL, Kind.CLOSE)
        if self.error == errno.EAGAIN:
            return kind in (Kind.ACCEPT, Kind.SEND)
        return self.how in (How.SHORT, How.SLOW)


_NUMBERS = {errno.errorcode[number]: number for number in ERRORS}
_WORDS = ("kill", "kill-after", "hang", *_NUMBERS, "short", "slow=SECONDS", "an error with + to make it last")


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault at a point."""

    point: Point
    fault: Fault

    def __str__(self) -> str:
        return f"{self.point}={self.fault}"

    def reason_against(self) -> str | None:
        """Say why such a fault cannot strike at such a point, by whatever means; None when it can."""
        kind = self.point.kind
        return None if self.fault.can_strike(kind) else f"{self.fault} cannot strike a call of the kind {kind}"

    @classmethod
    def parse(cls, text: str) -> Injection:
        """Read the text form, ``POINT=FAULT``; :class:`ValueError` says what is wrong with it."""
        point, separator, fault = text.partition("=")
        if not separator:
            raise ValueError(f"{text!r} is not an injection: one looks like start:write:kernel.sqlite-wal#3=EIO")
        return cls(Point.parse(point), Fault.parse(fault))


@dataclass(frozen=True, slots=True)
class Firing:
    """A fault that struck.

    Attributes:
        injection: Which.
        call: The number of the call in the recording.
        name: The system call.
        process: The process that made it, by its name in the tree.
    """

    injection: Injection
    call: int
    name: str
    process: str


@dataclass(frozen=True, slots=True)
class Reached:
    """What became of the injections of one run.

    Attributes:
        fired: The first firing of each that fired.
        missed: Those that did not, each with the reason: its point was not reached, or it cannot strike there.
    """

    fired: tuple[Firing, ...]
    missed: tuple[tuple[Injection, str], ...]


def faults_at(call: Call) -> Iterator[Fault]:
    """Enumerate the faults that a call can suffer.

    Nobody can be in the way of a lock that is given up, and no signal; a byte cannot be halved; the close of a
    connection does not fail.
    """
    for fault in faults(call.kind):
        if call.kind is Kind.CLOSE and call.channel is not None and fault.error is not None:
            continue
        if call.gives_up_a_lock and fault.error in TRANSIENT:
            continue
        if fault.how is How.SHORT and len(call.data or b"") < LEAST_TO_HALVE:
            continue
        yield fault


def faults(kind: Kind) -> Iterator[Fault]:
    """Enumerate the faults that a call of this kind can suffer."""
    yield Fault(How.KILL)
    yield Fault(How.KILL_AFTER)
    yield Fault(How.HANG)
    for number, kinds in ERRORS.items():
        if kind in kinds:
            yield Fault(How.ERRNO, number)
            if number not in TRANSIENT:
                yield Fault(How.ERRNO, number, persistent=True)
    if kind in SHORTENED:
        yield Fault(How.SHORT)
    yield Fault(How.SLOW)
