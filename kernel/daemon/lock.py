"""The daemon's lock: ``flock`` on ``daemon.lock`` is the truth, the JSON in it is information.

Invariants: the lock is taken before anything else of the home is opened and held for the daemon's whole life; the
    file is never unlinked (two daemons could then hold two locks of one name); its descriptor is never inherited; the
    text is written by one ``pwrite`` of a fixed size, so that a reader never sees a shorter text's end behind it.

A reader has to take the lock for a moment (shared) to learn whether it is free.  A starting daemon that meets such a
reader must not believe that another daemon runs: it goes on trying as long as nobody who holds it can be named.

Between taking the lock and writing the text a daemon is named by no text, or by that of a dead one; should it stand
still there, the system's own list of locks tells who it is.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time

from kernel.daemon.process import (
    ProcessId,
    began_monotonic,
    command_of,
    identify,
    is_alive,
    monotonic,
    name_of,
    this_process,
)
from kernel.errors import DaemonRunningError, LockError
from kernel.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: One page: what one ``pwrite`` replaces at once.
TEXT_BYTES = 4096

#: How long a starting daemon goes on trying while readers look at the lock, in seconds.
PATIENCE = 1.0

#: Phases in which the text is left by a daemon that is gone on its own account.
STOPPED = "stopped"
FAILED = "failed"
STOPPING = "stopping"
READY = "ready"

#: The holder is a program that runs the kernel in its own process: nobody can be asked over the socket.
EMBEDDED = "embedded"


class LockInfo(Record):
    """What the text in the lock file says."""

    process: ProcessId
    version: str
    phase: str
    phase_since: float
    """Wall clock, seconds since the epoch."""
    progress_monotonic: float
    """Monotonic seconds since boot at which the phase or the progress changed last."""
    progress: tuple[int, int] | None
    home: str
    failed_phase: str | None
    socket: str | None
    """Where that daemon listens, or means to."""

    @property
    def pid(self) -> int:
        """The daemon's pid; never to be trusted alone."""
        return self.process.pid

    @property
    def ended_cleanly(self) -> bool:
        """Say whether that daemon stopped, or failed with a report, rather than vanished."""
        return self.phase in (STOPPED, FAILED)


class LockState(Record):
    """Whether the lock is held, and what its text says (None when there is none that can be read)."""

    held: bool
    info: LockInfo | None


class DaemonLock:
    """The lock as its holder has it."""

    def __init__(self, path: str, home: str, version: str) -> None:
        self.path = path
        self._fd = -1
        self._record: dict[str, Any] = {"home": home, "version": version}
        self.previous: LockInfo | None = None

    def acquire(self, phase: str, *, patience: float = PATIENCE, clock: Callable[[], float] = monotonic) -> None:
        """Take the lock and write the text; ``previous`` then has what the last holder had written.

        Raises:
            DaemonRunningError: A living daemon holds it.
            LockError: The file cannot be opened, locked or written.
        """
        deadline = clock() + patience
        while True:
            fd = _open(self.path, os.O_RDWR | os.O_CREAT)
            try:
                taken = _try_lock(fd, fcntl.LOCK_EX, self.path)
                info = _read(fd)
                current = taken and _same_file(fd, self.path)
            except BaseException:
                os.close(fd)
                raise
            if current:
                self._fd = fd
                self.previous = info
                break
            os.close(fd)
            if not taken:
                info = _living(info) or _named_by_the_system(self.path)
                if info is not None and info.phase == EMBEDDED:
                    raise DaemonRunningError(
                        f"A program (pid {info.pid}, {name_of(info.pid)}) already runs the kernel of {self.path}.",
                        remedy="Let it close its kernel, or end it.",
                        path=self.path,
                        pid=info.pid,
                        phase=info.phase,
                    )
                if info is not None:
                    raise DaemonRunningError(
                        f"A daemon (pid {info.pid}, phase {info.phase}) already holds {self.path}.",
                        remedy=f"Use it, or run `ocap --home {os.path.dirname(self.path)} daemon stop` first.",
                        path=self.path,
                        pid=info.pid,
                        phase=info.phase,
                    )
                if clock() >= deadline:
                    raise DaemonRunningError(
                        f"The lock {self.path} is held by {describe_holders(self.path)}, "
                        "which is not a daemon that can be named.",
                        remedy="End that process, then start again.",
                        path=self.path,
                    )
                time.sleep(0.002)
        me = this_process()
        self._record.update(pid=me.pid, startTime=me.start_time, bootId=me.boot_id)
        self.announce(phase)

    def note(self, **facts: Any) -> None:
        """Have the text say something more from the next announcement on."""
        self._record.update(facts)

    def announce(self, phase: str, progress: tuple[int, int] | None = None) -> None:
        """Write the phase (and how much of it is done) into the text.

        Raises:
            LockError: The file cannot be written.
        """
        if self._record.get("phase") != phase:
            self._record["phaseSince"] = time.time()
        self._record["phase"] = phase
        self._record["progressMonotonic"] = monotonic()
        self._record["progress"] = list(progress) if progress is not None else None
        data = json.dumps(self._record, ensure_ascii=False).encode("utf-8", "backslashreplace")
        if len(data) >= TEXT_BYTES:  # a home path of kilobytes; everything else is short
            data = json.dumps({**self._record, "home": "", "socket": None}).encode()
        try:
            _write_whole(self._fd, data.ljust(TEXT_BYTES - 1) + b"\n")
        except OSError as error:
            raise LockError(
                f"The lock file {self.path} cannot be written: {error.strerror}.",
                remedy="Make room on the disk, or see to the permissions of the file, then start again.",
                path=self.path,
            ) from error

    @property
    def held(self) -> bool:
        """Say whether the lock is held by this object."""
        return self._fd >= 0

    def is_in_place(self) -> bool:
        """Say whether the lock's name still leads to it; when not, the home has been removed or replaced."""
        try:
            return self.held and _same_file(self._fd, self.path)
        except OSError:
            return True  # it cannot be told, so nothing is said against it

    def release(self) -> None:
        """Let the lock go; idempotent.  The text stays for the next start to read."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def inspect_lock(path: str) -> LockState:
    """Say whether somebody holds the lock, without disturbing them, and what the text says.

    Raises:
        LockError: The file is there but cannot be opened.
    """
    try:
        fd = _open(path, os.O_RDONLY)
    except FileNotFoundError:
        return LockState(held=False, info=None)
    try:
        info = _read(fd)
        if _try_lock(fd, fcntl.LOCK_SH, path):
            return LockState(held=False, info=_read(fd))
        return LockState(held=True, info=_living(info) or _named_by_the_system(path) or info)
    finally:
        os.close(fd)


def _living(info: LockInfo | None) -> LockInfo | None:
    """Give what a text says when it names a living holder."""
    return info if info is not None and not info.ended_cleanly and is_alive(info.process) else None


def _named_by_the_system(path: str) -> LockInfo | None:
    """Give the daemon of this home that holds its lock and has not said so in the text (yet)."""
    home = os.path.dirname(os.path.abspath(path))
    for pid in _holders(path):
        words = command_of(pid)
        given = words[words.index("--home") + 1 :][:1] if "--home" in words else []
        process = identify(pid)
        if process is None or "kernel.daemon" not in words or not given or not _same_directory(given[0], home):
            continue
        began = began_monotonic(process)
        since = time.time() - (monotonic() - began)
        return LockInfo(process, "", "lock", since, began, None, home, None, None)
    return None


def _same_directory(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _holders(path: str) -> list[int]:
    """Give the pids that the system names as holding the lock to themselves (``/proc/locks``)."""
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks", encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return []
    exclusive = (line for line in lines if line[1] == "FLOCK" and line[3] == "WRITE")
    return [int(line[4]) for line in exclusive if line[5].rpartition(":")[2] == str(inode) and int(line[4]) > 0]


def hold_briefly(path: str) -> int | None:
    """Take the lock to tidy up behind a dead daemon; give a descriptor to close, or None when somebody holds it."""
    fd = _open(path, os.O_RDWR | os.O_CREAT)
    try:
        if _try_lock(fd, fcntl.LOCK_EX, path):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def describe_holders(path: str) -> str:
    """Name the processes that hold the lock, as far as the system tells."""
    holders = ", ".join(f"pid {pid} ({name_of(pid)})" for pid in _holders(path))
    return holders or "a process that cannot be named"


def write_pid_file(path: str, pid: int) -> None:
    """Write a pid as plain text, whole or not at all.

    Raises:
        LockError: The file cannot be written.
    """
    temporary = f"{path}.tmp"  # one name: what a killed start leaves is used by the next
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            _write_whole(fd, b"%d\n" % pid)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        _unlink_quietly(temporary)
        raise LockError(
            f"The pid file {path} cannot be written: {error.strerror}.",
            remedy="Make room on the disk, or remove what stands in its place, then start again.",
            path=path,
        ) from error


def remove_pid_file(path: str, pid: int | None = None) -> bool:
    """Remove the pid file when it names that pid (any pid when None); say whether it was removed."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(64).strip()
        if pid is None or text == str(pid):
            os.unlink(path)
            return True
    except OSError:
        return False  # gone already, or something else stands in its place: not ours to remove
    return False


def _write_whole(fd: int, data: bytes) -> None:
    """Write at the beginning of a file; with one call, unless the system takes only a part at a time."""
    written = 0
    while written < len(data):
        written += os.pwrite(fd, data[written:], written)


def _unlink_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # it was never made


def _open(path: str, flags: int) -> int:
    """Open the lock file; a FIFO or a device in its place is refused rather than waited for."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        raise LockError(f"The lock file {path} cannot be made: its directory does not exist.", path=path) from None
    except OSError as error:
        raise LockError(
            f"The lock file {path} cannot be opened: {error.strerror}.",
            remedy="Remove what stands in its place, or see to its permissions.",
            path=path,
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise LockError(
            f"The lock file {path} is not a regular file.", remedy="Remove what stands in its place.", path=path
        )
    return fd


def _try_lock(fd: int, kind: int, path: str) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise LockError(
            f"The file system cannot lock {path}: {error.strerror}.",
            remedy="Put the home directory on a local file system.",
            path=path,
        ) from error
    return True


def _same_file(fd: int, path: str) -> bool:
    """Say whether the name still leads to the file that was locked: somebody may have replaced the whole home."""
    try:
        mine, named = os.fstat(fd), os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (mine.st_dev, mine.st_ino) == (named.st_dev, named.st_ino)


def _read(fd: int) -> LockInfo | None:
    """Read the text; None when there is none or it is not ours.

    Two equal readings are not torn by a writer between them.
    """
    data = os.pread(fd, TEXT_BYTES, 0)
    for _ in range(8):
        again = os.pread(fd, TEXT_BYTES, 0)
        if again == data:
            break
        data = again
    try:
        record = json.loads(data)
        progress = record.get("progress")
        return LockInfo(
            process=ProcessId(int(record["pid"]), int(record["startTime"]), str(record["bootId"])),
            version=str(record["version"]),
            phase=str(record["phase"]),
            phase_since=float(record["phaseSince"]),
            progress_monotonic=float(record["progressMonotonic"]),
            progress=(int(progress[0]), int(progress[1])) if progress else None,
            home=str(record["home"]),
            failed_phase=record.get("failedPhase"),
            socket=record.get("socket"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None  # empty, or written by something else: it says nothing, and the lock itself is the truth
