"""``daemon.log``: JSON lines, ``ts level event`` and then fields, rotated by size.

Invariants: a line is written whole by one ``write`` on a descriptor in append mode, so lines of several writers (the
    daemon, and a client that reports the daemon's death) never mix; a value that is not JSON is rendered, never an
    error; a full disk costs lines, never the daemon.  From :meth:`DaemonLog.open` on the descriptor also stands for
    the standard error, so that the interpreter's last words (a crash in C code) are in the log too; readers skip
    lines that are not JSON.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import sys
import time
from _thread import RLock  # all that is needed here of threading, which a client can do without

from kernel.errors import LogError, UsageError, describe, to_record
from kernel.timestamps import timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, BinaryIO

LEVELS = ("debug", "info", "warning", "error", "fatal")
MAX_BYTES = 10 * 1024 * 1024
KEEP = 3

#: The environment variable that says at which size, in bytes, the log is moved aside.
SIZE_VARIABLE = "OCAP_LOG_BYTES"

#: A line above this many bytes has its long texts cut.
MAX_LINE_BYTES = 256 * 1024
_LONG_TEXT = 8 * 1024
_MAX_DEPTH = 16
_MAX_ITEMS = 1000


def wanted_size() -> int:
    """Give the size above which the log is moved aside: ``$OCAP_LOG_BYTES``, else 10 MiB (UsageError: no such size)."""
    text = os.environ.get(SIZE_VARIABLE) or str(MAX_BYTES)
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(
            f"{SIZE_VARIABLE} has to be a number of bytes above 0, not {text!r}.",
            remedy=f"Without it the log is moved aside at {MAX_BYTES} bytes.",
        )
    return int(text)


class DaemonLog:
    """The log as the daemon writes it; an implementation of :class:`kernel.events.Log`."""

    def __init__(
        self,
        path: str,
        *,
        max_bytes: int = MAX_BYTES,
        keep: int = KEEP,
        stderr_fd: int | None = None,
        level: str = "debug",
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Describe the log; nothing is opened yet.

        Args:
            path: The file.
            max_bytes: The size above which the file is moved aside.
            keep: How many older files (``daemon.log.1`` is the newest) are kept.
            stderr_fd: A descriptor that shall lead to the log too, the standard error as a rule.
            level: Events below this level are not written.
            wall_clock: Seconds since the epoch, for the timestamps.
        """
        self.path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._stderr_fd = stderr_fd
        self._lowest = LEVELS.index(level)
        self._wall_clock = wall_clock
        self._fd = -1
        self._inode = 0
        self._size = 0
        self._torn = False
        self._dropped = 0
        self._rotation_failed = False
        self._guard = RLock()

    def open(self) -> None:
        """Open the file for appending, making it (0600) when there is none.

        Raises:
            LogError: The file cannot be opened, or is not a regular file.
        """
        self._fd, self._inode, self._size, self._torn = open_for_append(self.path)
        if self._stderr_fd is not None:
            os.dup2(self._fd, self._stderr_fd)

    def close(self) -> None:
        """Close the file; idempotent.  Later events are dropped."""
        with self._guard:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def debug(self, event: str, **fields: Any) -> None:
        """Report a detail that only somebody who hunts a bug wants."""
        self.write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Report something that went as it should."""
        self.write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Report something that somebody should look at; the daemon goes on."""
        self.write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Report a failure of one operation; the daemon goes on."""
        self.write("error", event, fields)

    def fatal(self, event: str, **fields: Any) -> None:
        """Report the failure that ends the daemon."""
        self.write("fatal", event, fields)

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> bool:
        """Write one line; say whether it is in the file."""
        if LEVELS.index(level) < self._lowest:
            return False
        line = render_line(level, event, fields, self._wall_clock())
        with self._guard:
            if self._fd < 0:
                return False
            self._follow_renames()
            if self._size and self._size + len(line) > self._max_bytes:
                self._rotate()
            if self._dropped:
                note = render_line("warning", "log.dropped", {"lines": self._dropped}, self._wall_clock())
                if self._append(note):
                    self._dropped = 0
            written = self._append(line)
            if not written:
                self._dropped += 1
            return written

    def _append(self, line: bytes) -> bool:
        data = b"\n" + line if self._torn else line
        try:
            count = os.write(self._fd, data)
        except OSError:
            return False  # the disk is full, or gone: there is nowhere left to say so, the count of dropped lines will
        self._size += count
        self._torn = count < len(data)
        return not self._torn

    def _follow_renames(self) -> None:
        """Write to a new file when somebody has moved or removed ours."""
        try:
            moved = os.stat(self.path).st_ino != self._inode
        except OSError:
            moved = True
        if moved:
            self._reopen()

    def _reopen(self) -> None:
        try:
            fd, inode, size, torn = open_for_append(self.path)
        except LogError:
            return  # the file that is open still takes the lines
        os.close(self._fd)
        self._fd, self._inode, self._size, self._torn = fd, inode, size, torn
        if self._stderr_fd is not None:
            os.dup2(self._fd, self._stderr_fd)

    def _rotate(self) -> None:
        try:
            for number in range(self._keep - 1, 0, -1):
                if os.path.lexists(f"{self.path}.{number}"):
                    os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
            if self._keep:
                os.replace(self.path, f"{self.path}.1")
            else:
                os.unlink(self.path)
        except OSError as error:
            if not self._rotation_failed:
                self._rotation_failed = True
                fields = {"path": self.path, "error": to_record(error)}
                self._append(render_line("warning", "log.rotation_failed", fields, self._wall_clock()))
            return
        self._rotation_failed = False
        self._reopen()


def open_for_append(path: str) -> tuple[int, int, int, bool]:
    """Open a log; give its descriptor, inode, size in bytes and whether its last line lacks an end.

    Raises:
        LogError: The file cannot be opened, or is not a regular file.
    """
    try:
        # O_NONBLOCK: a FIFO in the log's place must be an error, not a wait for its reader.
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise LogError(
            f"The log {path} cannot be opened: {error.strerror}.",
            remedy="Remove what stands in its place, or see to its permissions and its directory's.",
            path=path,
        ) from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise LogError(f"The log {path} is not a regular file.", remedy="Remove what stands in its place.", path=path)
    torn = status.st_size > 0 and os.pread(fd, 1, status.st_size - 1) != b"\n"
    return fd, status.st_ino, status.st_size, torn


def append_record(
    path: str,
    level: str,
    event: str,
    fields: Mapping[str, Any],
    *,
    unless: Callable[[dict[str, Any]], bool] | None = None,
) -> bool:
    """Write one line without keeping the log open: for a daemon whose log is not set up, and for clients.

    Args:
        path: The log.
        level: The record's level.
        event: The record's event.
        fields: The rest of the record.
        unless: When any record of that level in the log satisfies this, nothing is written.  Checked and written
            under a lock on the log, so that of several clients who saw a daemon die only one reports it.

    Returns:
        Whether the line was written.

    Raises:
        LogError: The log cannot be opened or written.
    """
    fd, _inode, _size, torn = open_for_append(path)
    try:
        if unless is not None:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if any(unless(record) for record in read_records(path, containing=level.encode())):
                return False
        line = render_line(level, event, fields, time.time())
        data = b"\n" + line if torn else line
        if os.write(fd, data) < len(data):
            raise LogError(f"The log {path} cannot be written: only a part of the line fitted.", path=path)
    except OSError as error:
        raise LogError(f"The log {path} cannot be written: {error.strerror}.", path=path) from error
    finally:
        os.close(fd)
    return True


# --- reading -------------------------------------------------------------------------------------------------------


def read_records(path: str, *, containing: bytes = b"") -> Iterator[dict[str, Any]]:
    """Give the records of one log file, oldest first; lines that are not records are skipped.

    Args:
        path: The file; one that cannot be read has no records.
        containing: Only lines with these bytes are looked at, to be quick on a long log.
    """
    try:
        file = _open_to_read(path)
    except OSError:
        return
    with file:
        for line in file:
            record = parse_line(line) if containing in line else None
            if record is not None:
                yield record


def _open_to_read(path: str) -> BinaryIO:
    """Open a log for reading; what is no regular file might be waited for, or read, without end (OSError)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return os.fdopen(fd, "rb")


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Give the record in a line, or None when it is not one (a crash report of the interpreter, a torn line)."""
    if not line.startswith(b"{"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "event" in record else None


def tail(path: str, count: int, *, max_bytes: int = 256 * 1024) -> list[str]:
    """Give the last lines of a log as text, oldest first, crash reports included."""
    try:
        with _open_to_read(path) as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - max_bytes)
            file.seek(start)
            data = file.read()
    except OSError:
        return []
    lines = data.decode("utf-8", "replace").splitlines()
    if start:
        del lines[:1]
    return lines[-count:] if count > 0 else []


# --- rendering -----------------------------------------------------------------------------------------------------


def render_line(level: str, event: str, fields: Mapping[str, Any], seconds: float) -> bytes:
    """Render a record as a line of JSON, whatever its fields are."""
    record: dict[str, Any] = {"ts": timestamp(seconds), "level": level, "event": event}
    for key, value in fields.items():
        record[key if key not in ("ts", "level", "event") else f"field.{key}"] = value
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, default=_render)
    except (TypeError, ValueError, RecursionError):  # keys that are not text, cycles, NaN
        text = json.dumps(plain(record, sys.maxsize), ensure_ascii=False)
    if len(text) > MAX_LINE_BYTES:
        text = json.dumps(plain(record, _LONG_TEXT), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def plain(value: object, longest: int, depth: int = 0) -> Any:
    """Copy a value into JSON data: texts cut to ``longest`` characters, depth and number of items bounded."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, str):
        return value if len(value) <= longest else f"{value[:longest]}… ({len(value)} characters)"
    if depth >= _MAX_DEPTH:
        return f"({type(value).__name__}, too deep to show)"
    if isinstance(value, dict):
        items = list(value.items())[:_MAX_ITEMS]
        return {str(key): plain(item, longest, depth + 1) for key, item in items}
    if isinstance(value, list | tuple):
        return [plain(item, longest, depth + 1) for item in value[:_MAX_ITEMS]]
    return plain(_render(value), longest, depth + 1)


def _render(value: object) -> Any:
    """Render a value that JSON does not know; never an object's default ``repr`` alone."""
    if isinstance(value, BaseException):
        return to_record(value)
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, set | frozenset):
        return sorted(str(item) for item in value)
    return render_object(value)


def render_object(value: object) -> str:
    """Say what an object is: its own text when it has one, else its type and its fields."""
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001 - an object's own __str__ may raise anything
        return f"{type(value).__name__} (its text could not be rendered: {describe(error)})"
    if " object at 0x" not in text:
        return text
    fields = ", ".join(f"{name}={type(item).__name__}" for name, item in getattr(value, "__dict__", {}).items())
    return f"{type(value).__qualname__}({fields})"
