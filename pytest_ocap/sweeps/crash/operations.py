"""What a recording asks of a disk, one operation each, and what each is called in a report.

Invariant: an operation is data, numbered in the order in which the calls began; whether it reached the disk is said
elsewhere.  A file, a directory, a link or a socket is named by the number of its *inode*, since its names come and go.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One change of what is on the disk.

    Attributes:
        number: Its place among the operations.
        call: The number of the call that asked for it.
        began: When the call began, in seconds of the recording.
        ended: When it came back; infinity when it never did, or was not seen to.
        inode: What it changes: a file, or that whose names it changes.
        words: What it is, for a report: "write of 4096 bytes at 8192 of kernel.sqlite-wal".
    """

    number: int
    call: int
    began: float
    ended: float
    inode: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Operation):
    """Bytes of a file.

    Attributes:
        offset: Where they begin.
        data: They.
        end: Where they end.
        extends: Whether the file was shorter than their end when they were written.
    """

    offset: int
    data: bytes
    end: int
    extends: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate(Operation):
    """A new length of a file.

    Attributes:
        size: The length in bytes.
    """

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMode(Operation):
    """New permission bits.

    Attributes:
        mode: The bits.
    """

    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNames(Operation):
    """Names of directories that come, go or mean something else, together or not at all.

    Attributes:
        changes: (inode of the directory, name, inode that it means from then on; ``None`` when the name goes).
        moves_directory: Whether what has the names is a directory.
        replaces: Whether a name that meant another file means this one now (rename over).
    """

    changes: tuple[tuple[int, str, int | None], ...]
    moves_directory: bool = False
    replaces: bool = False

    @property
    def directories(self) -> frozenset[int]:
        """The directories whose entries change."""
        return frozenset(directory for directory, _name, _inode in self.changes)


FileOperation = Write | Truncate
"""What makes up the content of a file."""


@dataclass(frozen=True, slots=True)
class Sync:
    """Something was made durable.

    Attributes:
        call: The number of the call.
        began: What had ended by then is covered.
        ended: From then on it can be relied on.
        inode: The file or directory; ``None`` for all there are.
        data_only: Whether only what is needed to read the data back is covered.
        failed: Whether it failed.
        only: The number of the one operation that it covers, for a write that is durable by itself; ``None`` for all on
            the inode.
    """

    call: int
    began: float
    ended: float
    inode: int | None
    data_only: bool
    failed: bool = False
    only: int | None = None
