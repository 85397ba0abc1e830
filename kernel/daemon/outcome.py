"""How a start or a daemon can be bad: each way has its own words, its own class and the command that helps.

Here an observation (a dead process, a lock, a listener) becomes the error that a person reads.  A death by signal
leaves no record of the daemon's own in the log, so the client that notices it adds one: exactly one for each start
that failed.
"""

from __future__ import annotations

import os

from kernel.daemon.fatal import EVENT
from kernel.daemon.lock import EMBEDDED, READY, STOPPING, describe_holders
from kernel.daemon.log import append_record, read_records, tail
from kernel.daemon.process import is_alive, name_of
from kernel.daemon.spawn import Ending
from kernel.errors import (
    DaemonDiedError,
    DaemonForeignError,
    DaemonHungError,
    DaemonRunningError,
    DaemonUnresponsiveError,
    LogError,
    NotRunningError,
    OcapError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.daemon.home import Home
    from kernel.daemon.lock import LockInfo
    from kernel.daemon.process import ProcessId
    from kernel.daemon.spawn import Spawned

#: How many of the log's last lines an error carries.
LOG_TAIL = 20

_FOREIGN_CODES = ("store-foreign", "store-newer", "daemon-foreign")


def command(home: Home, rest: str) -> str:
    """Give an ``ocap`` command for this home, for a person to run."""
    from shlex import quote

    return f"`ocap --home {quote(home.path)} {rest}`"


def code_of(record: dict[str, Any]) -> str | None:
    """Give the code of the error in a fatal record."""
    error = record.get("error")
    return str(error.get("code")) if isinstance(error, dict) else None


def died(home: Home, spawned: Spawned) -> OcapError:
    """Say how a daemon that this process spawned died during its start."""
    ending = spawned.ending()
    if ending is None and spawned.fatal is None:
        return DaemonHungError(
            f"The daemon (pid {spawned.pid}) closed its status pipe in phase {spawned.phase or 'spawn'}, but goes on.",
            remedy=f"Run {command(home, 'daemon stop --force')}, then start again.",
            pid=spawned.pid,
            phase=spawned.phase,
        )
    record = spawned.fatal or fatal_of(home, spawned.identity)
    if record is None:
        record = _report_death(home, spawned, ending or Ending(None, None))
    error = _died_error(home, spawned.pid, spawned.phase, record, ending, spawned.stderr)
    if ending is None:
        error.data["stillRunning"] = True
        error.remedy = f"Its process does not end: run {command(home, 'daemon stop --force')}.  {error.remedy}"
    return error


def failed_elsewhere(home: Home, info: LockInfo) -> OcapError:
    """Say how a start that somebody else had begun failed."""
    record = fatal_of(home, info.process) or {"error": {"code": OcapError.code, "message": "it left no record"}}
    return _died_error(home, info.pid, info.failed_phase, record, None, "")


def _died_error(
    home: Home, pid: int, phase: str | None, record: dict[str, Any], ending: Ending | None, stderr: str
) -> OcapError:
    error = record.get("error") or {}
    phase = str(record.get("phase") or phase or "spawn")
    cause = str(error.get("message") or "no cause was given").rstrip(".")
    data: dict[str, Any] = {"phase": phase, "pid": pid, "error": error, "log": home.log, "home": home.path}
    if "path" in error:
        data["path"] = error["path"]
    if ending is not None:
        data.update(exitStatus=ending.exit_status, signal=ending.signal)
    if stderr:
        data["stderr"] = stderr
    if "notLogged" in record:
        data["notLogged"] = record["notLogged"]
    data["logTail"] = tail(home.log, LOG_TAIL)
    remedy = error.get("remedy") or f"Look at {command(home, 'daemon logs')}, then start again."
    kind = DaemonForeignError if code_of(record) in _FOREIGN_CODES else DaemonDiedError
    if kind is DaemonForeignError:
        return kind(f"{cause}.", remedy=remedy, **data)
    unlogged = f" (This is not in the log: {record['notLogged']})" if "notLogged" in record else ""
    return kind(f"The daemon died during its start, in phase {phase}: {cause}.{unlogged}", remedy=remedy, **data)


def fatal_of(home: Home, process: ProcessId) -> dict[str, Any] | None:
    """Give the fatal record of a daemon in the log, or None."""
    for record in read_records(home.log, containing=b"fatal"):
        if _is_fatal_of(record, process):
            return record
    return None


def _is_fatal_of(record: dict[str, Any], process: ProcessId) -> bool:
    return (
        record.get("level") == "fatal"
        and record.get("pid") == process.pid
        and record.get("startTime", process.start_time) == process.start_time
    )


def lost_the_race(spawned: Spawned) -> bool:
    """Say whether a start was refused because another daemon holds the lock."""
    return spawned.fatal is not None and code_of(spawned.fatal) == DaemonRunningError.code


def _report_death(home: Home, spawned: Spawned, ending: Ending) -> dict[str, Any]:
    """Report in the log that a daemon died without a word of its own."""
    said = f"; its last words: {spawned.stderr.splitlines()[-1]}" if spawned.stderr else ""
    message = f"{ending}{said}" if ending.signal is not None else f"the process ended without a word: {ending}{said}"
    record = _death_record(home, spawned.identity, spawned.phase or "spawn", message, ending)
    if spawned.stderr:
        record["error"]["stderr"] = spawned.stderr
    _append_death(home, spawned.identity, record)
    return record


def report_unreported_death(home: Home, info: LockInfo | None) -> None:
    """Report a start that ended without a report, and without a caller who could have made one."""
    if info is None or info.ended_cleanly or info.phase in (READY, STOPPING, EMBEDDED) or is_alive(info.process):
        return
    message = "the process vanished without a word: it was ended by SIGKILL, or the machine went down"
    _append_death(home, info.process, _death_record(home, info.process, info.phase, message, None))


def _death_record(home: Home, process: ProcessId, phase: str, message: str, ending: Ending | None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": DaemonDiedError.code, "type": DaemonDiedError.__name__, "message": message}
    crash = _crash_report(home)
    if crash:
        error["crash"] = crash
    record: dict[str, Any] = {"pid": process.pid, "startTime": process.start_time, "phase": phase, "error": error}
    record["reporter"] = "client"
    if ending is not None:
        record.update(signal=ending.signal, exitStatus=ending.exit_status)
    return record


def _append_death(home: Home, process: ProcessId, record: dict[str, Any]) -> None:
    try:
        append_record(home.log, "fatal", EVENT, record, unless=lambda known: _is_fatal_of(known, process))
    except LogError as failure:
        record["notLogged"] = failure.message


def _crash_report(home: Home) -> str | None:
    """Give what the interpreter wrote into the log when it crashed in C code, if those are the log's last lines."""
    lines: list[str] = []
    for line in reversed(tail(home.log, 60)):
        if line.startswith("{"):
            break
        lines.append(line)
    return "\n".join(reversed(lines)) or None


def stuck(
    home: Home, pid: int, phase: str | None, seconds: float, *, stopped: bool, ready: bool
) -> DaemonHungError | DaemonUnresponsiveError:
    """Say that a daemon makes no progress: in its start, or (``ready``) after it."""
    phase = phase or "spawn"
    remedy = f"Run {command(home, 'daemon stop --force')}, then start again"
    remedy += f"; or let it go on with `kill -CONT {pid}`." if stopped else "."
    why = " Its process is stopped (by SIGSTOP or a debugger)." if stopped else ""
    data: dict[str, Any] = {"pid": pid, "phase": phase, "seconds": round(seconds, 1), "stopped": stopped}
    if ready:
        return DaemonUnresponsiveError(
            f"The daemon (pid {pid}, phase {phase}) holds its lock but has not answered for {seconds:.1f} s.{why}",
            remedy=remedy,
            **data,
        )
    return DaemonHungError(
        f"The daemon (pid {pid}) hangs in phase {phase} of its start: no progress for {seconds:.1f} s.{why}",
        remedy=remedy,
        **data,
    )


def not_listening(home: Home, info: LockInfo) -> DaemonUnresponsiveError:
    """Say that a ready daemon cannot be reached: its socket has gone, or is looked for in the wrong place."""
    if info.socket not in (None, home.socket):
        why = f"it listens on {info.socket}, not on {home.socket}"
        remedy = f"Set OCAP_SOCKET_PATH={info.socket}, or run {command(home, 'daemon stop')}, then start again."
    else:
        why = f"nothing listens on {home.socket}: its socket was removed or replaced"
        remedy = f"Run {command(home, 'daemon stop')}, then start again."
    return DaemonUnresponsiveError(
        f"The daemon (pid {info.pid}) is ready and holds its lock, but {why}.",
        remedy=remedy,
        pid=info.pid,
        phase=info.phase,
        path=home.socket,
    )


def foreign_listener(home: Home, pid: int | None) -> DaemonForeignError:
    """Say that somebody else listens on the socket."""
    who = f"pid {pid} ({name_of(pid)})" if pid is not None else "another process"
    return DaemonForeignError(
        f"The socket {home.socket} belongs to {who}, which is not the daemon of {home.path}.",
        remedy="End that process, or choose another home directory or $OCAP_SOCKET_PATH.",
        path=home.socket,
        pid=pid,
        name=name_of(pid) if pid is not None else None,
    )


def embedded(home: Home, info: LockInfo) -> DaemonForeignError:
    """Say that a program runs the kernel of this home in its own process."""
    return DaemonForeignError(
        f"The kernel of {home.path} runs inside pid {info.pid} ({name_of(info.pid)}), which is no daemon.",
        remedy="Let that program close its kernel, or end it.",
        path=home.lock,
        pid=info.pid,
        name=name_of(info.pid),
    )


def lock_held_by_stranger(home: Home) -> DaemonForeignError:
    """Say that the lock is held by a process that is not a daemon."""
    return DaemonForeignError(
        f"The lock {home.lock} is held by {describe_holders(home.lock)}, which is not a daemon of this home.",
        remedy="End that process, then start again.",
        path=home.lock,
    )


def not_running(home: Home, info: LockInfo | None) -> NotRunningError:
    """Say that no daemon runs, and what became of the last one."""
    data: dict[str, Any] = {"home": home.path, "path": home.socket}
    last = ""
    if info is not None:
        data.update(lastPid=info.pid, lastPhase=info.failed_phase or info.phase)
        if info.phase == "failed":
            record = fatal_of(home, info.process)
            message = str((record or {}).get("error", {}).get("message") or "see the log").rstrip(".")
            last = f" The last one (pid {info.pid}) failed in phase {info.failed_phase}: {message}."
        elif not info.ended_cleanly:
            last = f" The last one (pid {info.pid}) died in phase {info.phase}."
    elif not os.path.isdir(home.path):
        last = " The directory does not exist."
    return NotRunningError(
        f"No daemon is running for {home.path}.{last}", remedy=f"Run {command(home, 'daemon start')}.", **data
    )
