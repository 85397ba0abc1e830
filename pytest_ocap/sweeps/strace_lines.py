"""What strace writes, taken apart: one call a line, its arguments, what it returned.

Invariant: nothing is interpreted here beyond strace's own notation (``-f -yy -xx -X raw -ttt -T``: every string in
hexadecimal, every flag a number, every descriptor with what it is).  A line that cannot be taken apart raises
:class:`ValueError`, since a witness that skips what it does not understand is none.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (.*)", re.DOTALL)
_UNFINISHED = re.compile(r"(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_SECONDS = re.compile(r" <(\d+\.\d+)>$")
_RETURNED = re.compile(r"(-?\d+|0x[0-9a-f]+|\?)(<.*>(?:\(deleted\))?)?(.*)", re.DOTALL)
_ERROR = re.compile(r" (E[A-Z0-9]+) ")
_HEXADECIMAL = re.compile(rb"\\x([0-9a-f]{2})")
_DESCRIPTOR = re.compile(r"(-?\d+)(?:<(.*)>)?(\(deleted\))?", re.DOTALL)
_SOCKET = re.compile(r'UNIX-STREAM:\[(\d+)(?:->(\d+))?(?:,"(.*)")?\]')
_TOKEN = re.compile(r'"[^"]*"|[-=]>|[][{}()<>,]')
_KILLED = re.compile(r"\+\+\+ killed by (SIG\w+)")
_STOPPED = "--- stopped by "


@dataclass
class Line:
    """One call.

    Attributes:
        thread: The thread.
        began: When it began, in seconds since the epoch.
        name: The system call.
        args: Its arguments, in strace's notation.
        result: What it returned, ``-errno`` for a failure; None when it did not come back.
        returned: What the returned descriptor is, in strace's notation.
        seconds: How long it took.
        injected: Whether strace tampered with it.
        killed: Whether its thread was killed in it or right after it.
        stopped: Whether its thread was stopped in it or right after it.
    """

    thread: int
    began: float
    name: str
    args: list[str] = field(default_factory=list)
    result: int | None = None
    returned: str = ""
    seconds: float | None = None
    injected: bool = False
    killed: bool = False
    stopped: bool = False

    def number(self, place: int) -> int:
        """Give an argument that is a number, or the number of a descriptor."""
        return number(self.args[place])

    def text(self, place: int) -> bytes:
        """Give an argument that is a string."""
        return text(self.args[place])


def read(lines: Iterable[str]) -> list[Line]:
    """Take strace's output apart; the calls come in the order in which they began."""
    calls: list[Line] = []
    pending: dict[int, tuple[Line, str]] = {}
    last: dict[int, Line] = {}
    for raw in lines:
        match = _LINE.fullmatch(raw.rstrip("\n"))
        if match is None:
            raise ValueError(f"not a line of strace: {raw!r}")
        thread, began, rest = int(match[1]), float(match[2]), match[3]
        if rest.startswith("+++"):
            if _KILLED.match(rest) and thread in last:
                last[thread].killed = True
            continue
        if rest.startswith("---"):
            if rest.startswith(_STOPPED) and thread in last:
                last[thread].stopped = True
            continue
        if unfinished := _UNFINISHED.fullmatch(rest):
            call = Line(thread, began, unfinished[1])
            pending[thread] = (call, unfinished[2])
        elif resumed := _RESUMED.fullmatch(rest):
            call, begun = pending.pop(thread)
            _complete(call, f"{call.name}({begun}{resumed[2]}")
            continue
        else:
            call = Line(thread, began, rest.split("(", 1)[0])
            _complete(call, rest)
        calls.append(call)
        last[thread] = call
    for call, begun in pending.values():
        call.args = list(split(begun))
    return calls


def _complete(call: Line, whole: str) -> None:
    match = _CALL.fullmatch(whole)
    if match is None:
        raise ValueError(f"not a call in strace's notation: {whole!r}")
    call.args = list(split(match[2]))
    seconds = _SECONDS.search(match[3])
    returned = _RETURNED.fullmatch(match[3] if seconds is None else match[3][: seconds.start()])
    if returned is None:
        raise ValueError(f"not a result in strace's notation: {match[3]!r}")
    value, what, words = returned.groups()
    if value != "?":
        call.result = int(value, 0)
        failed = _ERROR.match(words)
        if call.result == -1 and failed:
            call.result = -int(getattr(errno, failed[1]))
    call.returned = what or ""
    call.injected = "(INJECTED)" in words or "(DELAYED)" in words
    call.seconds = None if seconds is None else float(seconds[1])


def split(words: str) -> Iterator[str]:
    """Split arguments at the commas between them."""
    depth = begin = 0
    for token in _TOKEN.finditer(words):
        sign = token[0]
        if sign in "[{(<":
            depth += 1
        elif sign in "]})>":
            depth -= 1
        elif sign == "," and depth == 0:
            yield words[begin : token.start()].strip()
            begin = token.end()
    if words[begin:].strip():
        yield words[begin:].strip()


def number(word: str) -> int:
    """Read a number; of a descriptor, its number."""
    match = re.match(r"-?(0x[0-9a-f]+|\d+)", word)
    if match is None:
        raise ValueError(f"not a number in strace's notation: {word!r}")
    digits = match[0]
    return int(digits, 8) if re.fullmatch(r"0[0-7]+", digits) else int(digits, 0)


def text(word: str) -> bytes:
    """Read a string."""
    if not word.startswith('"') or not word.endswith('"'):
        raise ValueError(f"not a whole string in strace's notation: {word[:80]!r}")
    return bytes.fromhex(word[1:-1].replace("\\x", ""))


def described(word: str) -> tuple[int, str, bool]:
    """Read a descriptor: its number, what it is, whether that has been deleted."""
    match = _DESCRIPTOR.fullmatch(word)
    if match is None:
        return number(word), "", False
    return int(match[1]), unescaped(match[2] or ""), match[3] is not None


def unescaped(words: str) -> str:
    """Replace what is in hexadecimal by what it stands for."""
    raw = _HEXADECIMAL.sub(lambda match: bytes.fromhex(match[1].decode()), words.encode())
    return os.fsdecode(raw)


def socket(what: str) -> tuple[str, str | None] | None:
    """Read what a descriptor of a Unix socket is: its inode, and the name by which it was bound."""
    match = _SOCKET.fullmatch(what)
    return None if match is None else (match[1], match[3])


def fields(word: str) -> dict[str, str]:
    """Read a structure: ``{name=value, …}``."""
    return {name: value for name, _, value in (part.partition("=") for part in split(word[1:-1]))}


def vector(word: str) -> bytes:
    """Read what an array of ``struct iovec`` points to."""
    return b"".join(text(fields(part)["iov_base"]) for part in split(word[1:-1]))
