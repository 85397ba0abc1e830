"""Calls that change names: rename, link, unlink, directories, and the modes of what has them.

Invariant: as in :mod:`pytest_ocap.sweeps.contents`; the paths are those that the process named, reached through its own
working directory and descriptors.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from pytest_ocap.sweeps import tracee
from pytest_ocap.sweeps.abi import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    RENAME_EXCHANGE,
)
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.notify import libc
from pytest_ocap.sweeps.scene import Draft, NotSeenError, Place

if TYPE_CHECKING:
    from pytest_ocap.sweeps.scene import Event, Scene


def renames(scene: Scene, event: Event) -> Draft | None:
    """``rename``, renameat, renameat2."""
    args = event.args
    if event.name == "rename":
        old, new = _any(scene, event, AT_FDCWD, args[0]), _any(scene, event, AT_FDCWD, args[1])
    else:
        old, new = _any(scene, event, event.signed(0), args[1]), _any(scene, event, event.signed(2), args[3])
    flags = args[4] & 0xFFFFFFFF if event.name == "renameat2" else 0
    if old.relative is None and new.relative is None:
        return None
    draft = Draft(Kind.RENAME, {"path": old.relative, "target": new.relative})
    if old.found is not None:
        draft.fields["file"] = scene.files.of(old.found)
    if flags & RENAME_EXCHANGE:
        draft.fields["text"] = "exchange"
    if old.relative is None or new.relative is None:
        scene.note(f"a name comes into the home or leaves it by {event.name}: {old.relative} to {new.relative}")

    def perform() -> int:
        if flags:
            here, there = os.fsencode(old.usable), os.fsencode(new.usable)
            return _checked(libc.renameat2(AT_FDCWD, here, AT_FDCWD, there, ctypes.c_uint(flags)))
        os.rename(old.usable, new.usable)
        return 0

    draft.perform = perform
    return draft


def _any(scene: Scene, event: Event, directory: int, address: int) -> Place:
    """Find a place that need not be in the home."""
    place = scene.place(event, directory, address, follow=False)
    if place is not None:
        return place
    usable = scene.usable(event, directory, tracee.read_path(event.thread, address))
    found = os.lstat(usable) if os.path.lexists(usable) else None
    return Place(usable, None, found)


def links(scene: Scene, event: Event) -> Draft | None:
    """``link`` and linkat; with linkat a file without a name can get one."""
    args = event.args
    if event.name == "link":
        old_at, old_path, new_at, new_path, flags = AT_FDCWD, args[0], AT_FDCWD, args[1], 0
    else:
        old_at, old_path, new_at, new_path = event.signed(0), args[1], event.signed(2), args[3]
        flags = event.signed(4)
    new = scene.place(event, new_at, new_path, follow=False)
    if new is None:
        return None
    old = scene.usable(event, old_at, tracee.read_path(event.thread, old_path))
    follow = bool(flags & (AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
    draft = Draft(Kind.LINK, {"target": new.relative})
    try:
        found = os.stat(old) if follow else os.lstat(old)
        draft.fields["file"] = scene.files.of(found)
        draft.fields["path"] = scene.name_of(os.path.realpath(old), found) if follow else _relative(scene, old)
    except OSError:
        draft.fields["path"] = _relative(scene, old)

    def perform() -> int:
        if flags & AT_EMPTY_PATH:
            raise NotSeenError  # needs a capability of the process itself
        here, there = os.fsencode(old), os.fsencode(new.usable)
        return _checked(libc.linkat(AT_FDCWD, here, AT_FDCWD, there, flags))

    draft.perform = perform
    return draft


def _relative(scene: Scene, path: str) -> str | None:
    head, tail = os.path.split(path)
    return scene.relative(os.path.join(os.path.realpath(head), tail))


def symlinks(scene: Scene, event: Event) -> Draft | None:
    """``symlink`` and symlinkat."""
    args = event.args
    directory, address = (AT_FDCWD, args[1]) if event.name == "symlink" else (event.signed(1), args[2])
    place = scene.place(event, directory, address, follow=False)
    if place is None:
        return None
    text = tracee.read_path(event.thread, args[0])
    draft = Draft(Kind.SYMLINK, {"path": place.relative, "text": text})

    def perform() -> int:
        os.symlink(text, place.usable)
        draft.fields["file"] = scene.files.fresh(os.lstat(place.usable))
        return 0

    draft.perform = perform
    return draft


def unlinks(scene: Scene, event: Event) -> Draft | None:
    """``unlink``, unlinkat, rmdir."""
    if event.name == "unlinkat":
        directory, address, is_directory = event.signed(0), event.args[1], bool(event.signed(2) & AT_REMOVEDIR)
    else:
        directory, address, is_directory = AT_FDCWD, event.args[0], event.name == "rmdir"
    place = scene.place(event, directory, address, follow=False)
    if place is None:
        return None
    draft = Draft(Kind.RMDIR if is_directory else Kind.UNLINK, {"path": place.relative})
    if place.found is not None:
        draft.fields["file"] = scene.files.of(place.found)

    def perform() -> int:
        (os.rmdir if is_directory else os.unlink)(place.usable)
        return 0

    draft.perform = perform
    return draft


def makes_directories(scene: Scene, event: Event) -> Draft | None:
    """``mkdir`` and mkdirat."""
    args = event.args
    directory, address, mode = (AT_FDCWD, *args[:2]) if event.name == "mkdir" else (event.signed(0), *args[1:3])
    place = scene.place(event, directory, address, follow=False)
    if place is None:
        return None
    draft = Draft(Kind.MKDIR, {"path": place.relative})

    def perform() -> int:
        with tracee.umask_of(event.thread) as mask:
            os.mkdir(place.usable, mode & 0o7777)
        draft.fields["file"] = scene.files.fresh(os.lstat(place.usable))
        draft.fields["mode"] = mode & 0o7777 & ~mask
        return 0

    draft.perform = perform
    return draft


def changes_modes(scene: Scene, event: Event) -> Draft | None:
    """``chmod``, chown, utimens and their kin; the kernel makes the call."""
    args, name = event.args, event.name
    on_descriptor = name in ("fchmod", "fchown") or (name in ("utimensat", "futimesat") and args[1] == 0)
    draft = Draft(Kind.CHMOD)
    if on_descriptor:
        described = scene.described(event, event.signed(0))
        if described is None:
            return None
        draft.fields |= {"path": scene.relative(described.removesuffix(" (deleted)")), "fd": event.signed(0)}
    else:
        at = name.endswith(("at", "at2"))
        flags = event.signed({"fchownat": 4, "fchmodat2": 3, "utimensat": 3}[name]) if name in _FLAGGED else 0
        follow = name != "lchown" and not flags & AT_SYMLINK_NOFOLLOW
        place = scene.place(event, event.signed(0) if at else AT_FDCWD, args[1] if at else args[0], follow=follow)
        if place is None:
            return None
        draft.fields["path"] = place.relative
    if "chmod" in name:
        draft.fields["mode"] = args[2 if name.startswith("fchmodat") else 1] & 0o7777
    return draft


_FLAGGED = frozenset({"fchownat", "fchmodat2", "utimensat"})


def _checked(result: int) -> int:
    if result < 0:
        raise tracee.failure()
    return result
