"""Which handler looks at which call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap.sweeps import contents, names
from pytest_ocap.sweeps.abi import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_ocap.sweeps.connections import Channels
    from pytest_ocap.sweeps.lives import Lives
    from pytest_ocap.sweeps.scene import Draft, Event, Scene

    Handler = Callable[[Scene, Event], Draft | None]


def handlers(channels: Channels, lives: Lives) -> dict[str, Handler]:
    """Give the handler of each call by its name; ``io_uring_setup`` has none, since it is refused."""
    groups: list[tuple[Handler, str]] = [
        (contents.opens, "open openat openat2 creat"),
        (contents.writes, "write pwrite64 writev pwritev pwritev2"),
        (contents.copies, "sendfile copy_file_range splice"),
        (contents.truncates, "truncate ftruncate"),
        (contents.allocates, "fallocate"),
        (contents.syncs, "fsync fdatasync sync_file_range"),
        (contents.syncs_all, "sync syncfs"),
        (contents.syncs_mapping, "msync"),
        (contents.maps, "mmap"),
        (contents.locks, "flock fcntl"),
        (names.renames, "rename renameat renameat2"),
        (names.links, "link linkat"),
        (names.symlinks, "symlink symlinkat"),
        (names.unlinks, "unlink unlinkat rmdir"),
        (names.makes_directories, "mkdir mkdirat"),
        (
            names.changes_modes,
            "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat",
        ),
        (channels.binds, "bind"),
        (channels.listens, "listen"),
        (channels.accepts, "accept accept4"),
        (channels.connects, "connect"),
        (lambda scene, event: _send(channels, scene, event), "sendto sendmsg sendmmsg"),
        (channels.receives, "recvfrom recvmsg recvmmsg read readv"),
        (channels.closes, "close"),
        (lives.spawns, "clone clone3 fork vfork"),
        (lives.executes, "execve execveat"),
        (lives.exits, "exit_group"),
        (lives.changes_credentials, " ".join(sorted(CREDENTIALS))),
    ]
    return {name: handler for handler, words in groups for name in words.split()}


def _send(channels: Channels, scene: Scene, event: Event) -> Draft | None:
    from pytest_ocap.sweeps import tracee

    return channels.sends(scene, event, tracee.link(event.thread, event.signed(0)))
