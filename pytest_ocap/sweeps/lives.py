"""Calls by which processes begin, become another program, and end; and whether one may be acted for.

Invariant: a call is made in a process's place only while that process may and sees exactly what its supervisor may and
sees: same user, groups and capabilities, same root, same mounts.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from pytest_ocap.sweeps import tracee
from pytest_ocap.sweeps.abi import AT_FDCWD, CLONE_THREAD
from pytest_ocap.sweeps.calls import Kind
from pytest_ocap.sweeps.scene import Draft

if TYPE_CHECKING:
    from pytest_ocap.sweeps.scene import Event, Scene
    from pytest_ocap.sweeps.tree import Tree

_CLONE_FLAGS = struct.Struct("=Q")


class Lives:
    """Handlers of these calls, with the tree that they grow."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._trusted: dict[int, bool] = {}
        self._own = _standing("self")

    def spawns(self, _scene: Scene, event: Event) -> Draft:
        """``clone``, clone3, fork, vfork."""
        flags = 0
        if event.name == "clone":
            flags = event.args[0]
        elif event.name == "clone3":
            flags = tracee.read_struct(event.thread, event.args[0], _CLONE_FLAGS)[0]
        name = "thread" if flags & CLONE_THREAD else self._tree.spawns(event.process)
        return Draft(Kind.SPAWN, {"text": name})

    def executes(self, _scene: Scene, event: Event) -> Draft:
        """``execve`` and execveat."""
        directory, address = (event.signed(0), event.args[1]) if event.name == "execveat" else (AT_FDCWD, event.args[0])
        path = tracee.read_path(event.thread, address)
        return Draft(Kind.EXEC, {"text": path or os.readlink(f"/proc/{event.thread}/fd/{directory}")})

    def exits(self, scene: Scene, event: Event) -> Draft:
        """``exit_group``."""
        self._tree.ends(event.process)
        self._trusted.pop(event.process.pid, None)
        scene.borrower.forget(event.process.pid)
        status = event.args[0] & 0xFF
        return Draft(Kind.EXIT, {"text": str(status)})

    def changes_credentials(self, _scene: Scene, event: Event) -> None:
        """What was known of the process holds no longer."""
        self._trusted.pop(event.process.pid, None)

    def may_act_for(self, scene: Scene, event: Event) -> bool:
        """Say whether calls may be made in the process's place."""
        pid = event.process.pid
        trusted = self._trusted.get(pid)
        if trusted is None:
            try:
                trusted = self._trusted[pid] = _standing(str(pid)) == self._own
            except OSError:  # it was killed while its call waited: nothing is to be done in its place any more
                return False
            if not trusted:
                scene.note(
                    f"process {event.process.name} has another user, other rights or another root than its supervisor: "
                    "results of its calls were not seen"
                )
        return trusted


def _standing(process: str) -> tuple[str, ...]:
    """Say what a process may and sees."""
    with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as file:
        status = dict(line.split(":", 1) for line in file)
    links = (os.readlink(f"/proc/{process}/{name}") for name in ("root", "ns/mnt", "ns/user"))
    return (*(status[key].strip() for key in ("Uid", "Gid", "Groups", "CapEff")), *links)
