"""Calls that open files and change what is in them, or make it durable.

Invariant: a call is made in its process's place only where that makes no difference to the process: on the same open
file, which is borrowed, or on the same path, under its umask.  Whatever might block, or depends on a limit of the
process, is left to the kernel.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import stat
import struct
from typing import TYPE_CHECKING

from pytest_ocap.sweeps import abi, tracee
from pytest_ocap.sweeps.abi import AT_FDCWD, FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, O_TMPFILE, WRITES
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.notify import libc
from pytest_ocap.sweeps.scene import Draft, NotSeenError

if TYPE_CHECKING:
    from pytest_ocap.sweeps.scene import Event, Place, Scene

NO_LIMIT = -1
_APPEND = 0x10  # RWF_APPEND
_DURABLE = 0x2 | 0x4  # RWF_DSYNC, RWF_SYNC
_OPEN_HOW = struct.Struct("=QQQ")
_OFFSET = struct.Struct("=q")
_FLOCK = struct.Struct("=hh4xqq")  # struct flock on 64-bit machines: type, whence, start, length
_COPIED_AT_MOST = 1 << 24
"""How much of a copy within the kernel is looked at, in bytes."""


def opens(scene: Scene, event: Event) -> Draft | None:
    """``open``, openat, openat2, creat."""
    args, special = event.args, False
    match event.name:
        case "open":
            directory, address, flags, mode = AT_FDCWD, args[0], args[1], args[2]
        case "creat":
            directory, address, flags, mode = AT_FDCWD, args[0], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, args[1]
        case "openat2":
            flags, mode, resolve = tracee.read_struct(event.thread, args[2], _OPEN_HOW)
            directory, address, special = event.signed(0), args[1], resolve != 0
        case _:
            directory, address, flags, mode = event.signed(0), args[1], args[2], args[3]
    flags &= 0xFFFFFFFF
    if not flags & WRITES or flags & os.O_PATH:
        return None
    exclusive = flags & os.O_CREAT and flags & os.O_EXCL
    place = scene.place(event, directory, address, follow=not (flags & os.O_NOFOLLOW or exclusive))
    if place is None:
        return None
    unnamed = flags & O_TMPFILE == O_TMPFILE
    created = unnamed or (place.found is None and bool(flags & os.O_CREAT))
    truncated = bool(flags & os.O_TRUNC) and place.found is not None and not exclusive
    draft = Draft(Kind.OPEN, {"created": created, "truncated": truncated, "append": bool(flags & os.O_APPEND)})
    draft.fields["text" if unnamed else "path"] = place.relative
    if place.found is not None and not unnamed:
        draft.fields["file"] = scene.files.of(place.found)

    def perform() -> int:
        if special or not _is_plain(place, unnamed=unnamed) or not tracee.may_open_more(event.process.pid):
            raise NotSeenError
        with tracee.umask_of(event.thread) as mask:
            descriptor = os.open(place.usable, flags | os.O_CLOEXEC, mode & 0o7777)
        event.here.append(descriptor)
        found = os.fstat(descriptor)
        draft.fields["file"] = scene.files.fresh(found) if created else scene.files.of(found)
        if created:
            draft.fields["mode"] = mode & 0o7777 & ~mask
        return descriptor

    def deliver(descriptor: int) -> int:
        result = event.listener.give(event.identity, descriptor, close_on_exec=bool(flags & os.O_CLOEXEC))
        draft.fields["fd"] = result if result >= 0 else None
        return result

    draft.perform, draft.deliver = perform, deliver
    return draft


def _is_plain(place: Place, *, unnamed: bool) -> bool:
    """Say whether opening it can neither block nor do anything but open a file."""
    if place.found is None:
        return True
    return stat.S_ISDIR(place.found.st_mode) if unnamed else stat.S_ISREG(place.found.st_mode)


def writes(scene: Scene, event: Event) -> Draft | None:
    """``write``, pwrite64, writev, pwritev, pwritev2; on a connection they send."""
    descriptor = event.signed(0)
    described = tracee.link(event.thread, descriptor)
    if described.startswith("socket:"):
        return scene.channels.sends(scene, event, described)
    if scene.relative(described) is None:
        return None
    draft = Draft(Kind.WRITE, {"fd": descriptor})
    here = scene.borrow(event, descriptor)
    found = os.fstat(here)
    if not stat.S_ISREG(found.st_mode):
        return None
    positioned = event.name.startswith("p") and not (event.name == "pwritev2" and event.offset(3) == -1)
    how = event.args[5] if event.name == "pwritev2" else 0
    status = fcntl.fcntl(here, fcntl.F_GETFL)
    if status & os.O_APPEND or how & _APPEND:
        offset = found.st_size
    elif positioned:
        offset = event.offset(3)
    else:
        offset = os.lseek(here, 0, os.SEEK_CUR)
    if event.name in ("write", "pwrite64"):
        data = tracee.gather(event.thread, [(event.args[1], event.args[2])])
    else:
        data = tracee.gather(event.thread, tracee.read_vector(event.thread, event.args[1], event.args[2]))
    draft.fields |= {
        "path": scene.name_of(described, found),
        "file": scene.files.of(found),
        "offset": offset,
        "data": data,
        "durable": bool(status & os.O_DSYNC or how & _DURABLE),
    }

    def perform() -> int:
        if tracee.file_size_limit(event.process.pid) != NO_LIMIT or status & os.O_DIRECT:
            raise NotSeenError
        wanted = draft.fields["data"]
        if positioned:
            return os.pwritev(here, [wanted], event.offset(3), how) if how else os.pwrite(here, wanted, event.offset(3))
        if how:
            raise NotSeenError
        return os.write(here, wanted)

    draft.perform = perform
    return draft


def copies(scene: Scene, event: Event) -> Draft | None:
    """``sendfile``, copy_file_range, splice into a file of the home: what is about to be copied is read before."""
    into, source, length, from_offset, into_offset = _copy(event)
    described = scene.described(event, into)
    if described is None:
        return None
    draft = Draft(Kind.WRITE, {"fd": into})
    here = scene.borrow(event, into)
    found = os.fstat(here)
    there = scene.borrow(event, source)
    draft.fields |= {"path": scene.name_of(described, found), "file": scene.files.of(found)}
    if not stat.S_ISREG(os.fstat(there).st_mode):
        scene.note(f"{event.name} from a pipe or a socket into {draft.fields['path']}: what it wrote was not seen")
        return draft
    begin = _pointed(event, from_offset, there)
    draft.fields["offset"] = _pointed(event, into_offset, here)
    draft.fields["data"] = os.pread(there, min(length, _COPIED_AT_MOST), begin)
    if length > _COPIED_AT_MOST < os.fstat(there).st_size - begin:
        scene.note(f"{event.name} of more than {_COPIED_AT_MOST} bytes into {draft.fields['path']}: cut")
    return draft


def _copy(event: Event) -> tuple[int, int, int, int, int]:
    """Give where a copy goes, where it comes from, how much it is, and where its two offsets lie (0: in the file)."""
    if event.name == "sendfile":
        return event.signed(0), event.signed(1), event.args[3], event.args[2], 0
    return event.signed(2), event.signed(0), event.args[4], event.args[1], event.args[3]


def _pointed(event: Event, address: int, here: int) -> int:
    if address:
        return int(tracee.read_struct(event.thread, address, _OFFSET)[0])
    return os.lseek(here, 0, os.SEEK_CUR)


def truncates(scene: Scene, event: Event) -> Draft | None:
    """``truncate`` and ftruncate."""
    size = event.offset(1)
    if event.name == "truncate":
        place = scene.place(event, AT_FDCWD, event.args[0], follow=True)
        if place is None:
            return None
        target, found, path = place.usable, place.found, place.relative
        draft = Draft(Kind.TRUNCATE, {"path": path, "size": size})
        if found is not None:
            draft.fields["file"] = scene.files.of(found)
        draft.perform = lambda: _limited(event, lambda: os.truncate(target, size))
        return draft
    draft_or_none = _on_file(scene, event, Kind.TRUNCATE)
    if draft_or_none is not None:
        here = event.here[0]
        draft_or_none.fields["size"] = size
        draft_or_none.perform = lambda: _limited(event, lambda: os.ftruncate(here, size))
    return draft_or_none


def _limited(event: Event, call: object) -> int:
    assert callable(call)
    if tracee.file_size_limit(event.process.pid) != NO_LIMIT:
        raise NotSeenError
    call()
    return 0


def allocates(scene: Scene, event: Event) -> Draft | None:
    """``fallocate``: it extends, or it punches a hole; what else it does to a file is noted."""
    draft = _on_file(scene, event, Kind.TRUNCATE)
    if draft is None:
        return None
    here = event.here[0]
    mode, offset, length = event.signed(1), event.offset(2), event.offset(3)
    size = os.fstat(here).st_size
    if mode & FALLOC_PUNCH_HOLE:
        end = min(offset + length, size)
        draft.kind = Kind.WRITE
        draft.fields |= {"offset": offset, "data": bytes(max(end - offset, 0))}
    else:
        draft.fields["size"] = size if mode & FALLOC_KEEP_SIZE else max(size, offset + length)
        if mode & ~FALLOC_KEEP_SIZE:
            scene.note(f"fallocate with mode {mode:#x} on {draft.fields['path']}: what it did was not seen")

    def perform() -> int:
        places = (ctypes.c_int(mode), ctypes.c_int64(offset), ctypes.c_int64(length))
        return _limited(event, lambda: _checked(libc.fallocate(here, *places)))

    draft.perform = perform
    return draft


def _checked(result: int) -> int:
    if result < 0:
        raise tracee.failure()
    return result


def syncs(scene: Scene, event: Event) -> Draft | None:
    """``fsync``, fdatasync; sync_file_range, which promises nothing."""
    kind = Kind.FLUSH if event.name == "sync_file_range" else Kind.SYNC
    draft = _on_file(scene, event, kind)
    if draft is None:
        return None
    here = event.here[0]
    draft.fields["data_only"] = event.name == "fdatasync"

    def perform() -> int:
        if kind is Kind.FLUSH:
            places = (ctypes.c_int64(event.offset(1)), ctypes.c_int64(event.offset(2)), ctypes.c_uint(event.args[3]))
            return _checked(libc.sync_file_range(here, *places))
        (os.fdatasync if event.name == "fdatasync" else os.fsync)(here)
        return 0

    draft.perform = perform
    return draft


def syncs_all(scene: Scene, event: Event) -> Draft | None:
    """``sync``, which cannot fail, and syncfs on the home's file system."""
    draft = Draft(Kind.SYNC_ALL)
    if event.name == "sync":
        draft.fields["result"] = 0
        return draft
    here = scene.borrow(event, event.signed(0))
    if os.fstat(here).st_dev != os.stat(scene.home).st_dev:
        return None
    draft.perform = lambda: _checked(libc.syncfs(here))
    return draft


def _on_file(scene: Scene, event: Event, kind: Kind) -> Draft | None:
    """Begin the draft of a call on a file or directory of the home that is given by its descriptor."""
    descriptor = event.signed(0)
    described = scene.described(event, descriptor)
    if described is None:
        return None
    draft = Draft(kind, {"fd": descriptor})
    found = os.fstat(scene.borrow(event, descriptor))
    draft.fields |= {"path": scene.name_of(described, found), "file": scene.files.of(found)}
    return draft


def maps(scene: Scene, event: Event) -> Draft | None:
    """``mmap``, shared and writable."""
    descriptor = event.signed(4)
    described = None if descriptor < 0 else scene.described(event, descriptor)
    if described is None:
        return None
    path = scene.relative(described.removesuffix(" (deleted)"))
    scene.note(f"{path} is mapped shared and writable: what is written through the mapping cannot be seen")
    found = os.stat(f"/proc/{event.thread}/fd/{descriptor}")
    return Draft(Kind.MMAP, {"path": path, "fd": descriptor, "file": scene.files.of(found), "size": event.args[1]})


def syncs_mapping(scene: Scene, event: Event) -> Draft | None:
    """``msync`` of a mapping of a file of the home."""
    with open(f"/proc/{event.thread}/maps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.rstrip("\n").split(maxsplit=5)
            if len(fields) < 6 or not fields[5].startswith(scene.home):
                continue
            begin, end = (int(part, 16) for part in fields[0].split("-"))
            path = scene.relative(fields[5])
            if begin <= event.args[0] < end and path is not None:
                awaited = event.args[2] & 4  # MS_SYNC
                draft = Draft(Kind.SYNC if awaited else Kind.FLUSH, {"path": path, "data_only": True})
                draft.fields["file"] = scene.files.of(os.stat(fields[5]))
                return draft
    return None


def locks(scene: Scene, event: Event) -> Draft | None:
    """``flock``, and the locks of fcntl."""
    descriptor = event.signed(0)
    described = scene.described(event, descriptor)
    if described is None:
        return None
    path = scene.relative(described.removesuffix(" (deleted)"))
    found = os.stat(f"/proc/{event.thread}/fd/{descriptor}")
    draft = Draft(Kind.LOCK, {"path": path, "fd": descriptor, "file": scene.files.of(found)})
    if event.name == "fcntl":
        kind, _whence, start, length = tracee.read_struct(event.thread, event.args[2], _FLOCK)
        draft.fields["operation"] = abi.record_lock(event.signed(1), kind, start, length)
        return draft
    # The process takes it itself: the system names as a lock's owner whoever made the call (/proc/locks).
    draft.fields["operation"] = abi.file_lock(event.signed(1))
    return draft
