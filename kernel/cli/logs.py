"""``ocap daemon logs``: the last records of the daemon's log, and those to come. Needs no running daemon.

Invariant: a record is shown once, whole and in order, also when the log is rotated while it is followed.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque

from kernel.cli.logtext import at_least, log_line, parse_line
from kernel.cli.output import is_terminal, say, say_styled
from kernel.cli.session import home_of, suggest
from kernel.errors import LogError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from typing import BinaryIO

_POLL_SECONDS = 0.1
_CHUNK_BYTES = 1 << 20
_STYLES = {"debug": "dim", "warning": "yellow", "error": "red", "fatal": "bold red"}


def logs(args: Namespace) -> int:
    """Carry out ``ocap daemon logs``."""
    path = home_of(args).log
    follower = Follower(path)
    try:
        last: deque[str] = deque(maxlen=args.lines)
        # The one log before this one counts too: right after a rotation the new log holds next to nothing.
        last.extend(line for line in _lines_of(f"{path}.1") if _wanted(line, args.level))
        last.extend(line for line in follower.new_lines() if _wanted(line, args.level))
        for line in last:
            _show(line, args)
        if not follower.found and not last and not args.follow:
            raise NotFoundError(
                f"there is no log at {path}", remedy=f"The daemon writes it: {suggest(args, 'daemon start')}", path=path
            )
        while args.follow:
            time.sleep(_POLL_SECONDS)
            for line in follower.new_lines():
                if _wanted(line, args.level):
                    _show(line, args)
    finally:
        follower.close()
    return 0


class Follower:
    """Reads the lines that are added to a file, across rotations of it.

    Attributes:
        found: Whether there has been a file yet.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""
        self.found = False

    def new_lines(self) -> Iterator[str]:
        """Give the whole lines that were added since the last call."""
        if self._file is None and not self._open():
            return
        yield from self._read()
        if self._rotated():
            yield from self._read()  # what was written between the read and the rotation
            self.close()
            if self._open():
                yield from self._read()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        self._file = _open_log(self._path)
        self._rest = b""
        self.found = self.found or self._file is not None
        return self._file is not None

    def _read(self) -> Iterator[str]:
        assert self._file is not None
        while chunk := self._file.read(_CHUNK_BYTES):
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace")

    def _rotated(self) -> bool:
        assert self._file is not None
        held = os.fstat(self._file.fileno())
        try:
            now = os.stat(self._path)
        except OSError:  # between the renaming of the old log and the creation of the new
            return False
        return (held.st_dev, held.st_ino) != (now.st_dev, now.st_ino)


def _open_log(path: str) -> BinaryIO | None:
    """Open a log; None when there is none.

    Raises:
        LogError: It is there and cannot be read.
    """
    import stat

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _unreadable(path, "it is not a regular file")
    return os.fdopen(descriptor, "rb")


def _unreadable(path: str, why: str) -> LogError:
    return LogError(
        f"the log {path} cannot be read: {why}", remedy="Make it readable, or move it out of the way.", path=path
    )


def _lines_of(path: str) -> Iterator[str]:
    file = _open_log(path)
    if file is None:
        return
    with file:
        for line in file:
            yield line.rstrip(b"\n").decode("utf-8", "replace")


def _wanted(line: str, level: str) -> bool:
    return bool(line) and at_least(parse_line(line), level)


def _show(line: str, args: Namespace) -> None:
    if args.json:
        say(line)
        return
    text = log_line(line)
    record = parse_line(line)
    if record is not None and is_terminal(sys.stdout):
        say_styled(text, _STYLES.get(str(record.get("level")), ""))
    else:
        say(text)
