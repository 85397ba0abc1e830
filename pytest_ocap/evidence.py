"""Evidence and timeline, as data: what was to be seen when a check did not pass, and what happened when in a run.

Invariant: whatever is here came from the run itself, and what was left out for its size is said (``cut``).  Times are
seconds since the run began.  Knows no driver, no process and no file: those are looked at by
:mod:`pytest_ocap.witness` and :mod:`pytest_ocap.timeline`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@dataclass(frozen=True)
class ClientCall:
    """One verb that the driver was asked for, or the same one ``times`` in a row with the same answer.

    ``at`` is the beginning of the first, ``seconds`` how long the last took; ``asked`` are its arguments in words;
    ``ok`` is ``None`` while it has not ended; ``text`` is all that its client printed, with its middle left out when it
    is very long.
    """

    verb: str
    asked: str
    at: float
    seconds: float
    ok: bool | None
    status: int | None
    code: str | None
    timed_out: bool
    text: str
    times: int = 1


@dataclass(frozen=True)
class ProcessSeen:
    """One process of the run: ``age`` is in seconds, ``role`` is client, runner, daemon, worker or bystander."""

    pid: int
    ppid: int
    name: str
    command: str
    state: str
    age: float
    role: str


@dataclass(frozen=True)
class FileSeen:
    """One file: its path relative to the home, its mode in octal digits, and the pids that hold a lock on it."""

    path: str
    kind: str
    bytes: int
    mode: str
    locked_by: tuple[int, ...] = ()
    target: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What was to be seen at the moment ``at``, when a check did not pass; ``expected`` says what it requires."""

    expected: str
    at: float | None = None
    client: tuple[ClientCall, ...] = ()
    log: tuple[str, ...] = ()
    processes: tuple[ProcessSeen, ...] = ()
    files: tuple[FileSeen, ...] = ()
    cut: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the evidence as JSON data."""
        data = asdict(self)
        data["files"] = [{**_without(file, "target"), "locked_by": list(file["locked_by"])} for file in data["files"]]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """Rebuild what :meth:`to_json` gave."""
        return cls(
            expected=data["expected"],
            at=data["at"],
            client=tuple(ClientCall(**call) for call in data["client"]),
            log=tuple(data["log"]),
            processes=tuple(ProcessSeen(**process) for process in data["processes"]),
            files=tuple(FileSeen(**{**file, "locked_by": tuple(file["locked_by"])}) for file in data["files"]),
            cut=tuple(data["cut"]),
        )


@dataclass(frozen=True)
class Event:
    """Something of a run: a moment, or with ``until`` a while; ``ok`` where it can be said.

    Its ``lane`` is one of those that :mod:`pytest_ocap.report.chart` draws.
    """

    at: float
    lane: str
    what: str
    detail: str = ""
    until: float | None = None
    ok: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the event as JSON data, without what is not known of it."""
        times = {"at": round(self.at, 4)} | ({} if self.until is None else {"until": round(self.until, 4)})
        known = {} if self.ok is None else {"ok": self.ok}
        return {**times, "lane": self.lane, "what": self.what, "detail": self.detail, **known}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Event:
        """Rebuild what :meth:`to_json` gave."""
        return cls(data["at"], data["lane"], data["what"], data["detail"], data.get("until"), data.get("ok"))


def _without(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != key or value is not None}
