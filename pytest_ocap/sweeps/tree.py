"""Names for the processes of a tree, the same in every run: ``0`` is the first, ``0.2`` its second child.

Invariant: a name depends on the order in which each parent made its children, never on pids.  A child gets its name
when its parent is about to make the next one, when the parent ends, or when the child is first seen, whichever comes
first, so that the grandchild of a parent that has gone (a daemon) keeps its place.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from dataclasses import dataclass, field

from pytest_ocap.sweeps import tracee


@dataclass
class Process:
    """A process of the tree."""

    name: str
    pid: int
    started: int
    children: int = 0
    expected: deque[str] = field(default_factory=deque)
    """The names of children that were made and not yet seen, oldest first."""


class Tree:
    """All processes that were seen, and which thread belongs to which."""

    def __init__(self) -> None:
        self._processes: dict[int, Process] = {}
        self._threads: dict[int, Process] = {}
        self._roots = 0
        self.new: list[Process] = []
        """Processes seen since somebody last looked."""

    def add_root(self, pid: int) -> Process:
        """A client starts: the first process of a tree of its own."""
        process = self._add(pid, str(self._roots))
        self._roots += 1
        return process

    def of(self, thread: int) -> Process:
        """Find the process of a thread; one that is seen for the first time gets its name."""
        process = self._threads.get(thread)
        if process is not None:
            return process
        status = tracee.status(thread)
        pid = int(status["Tgid"])
        process = self._processes.get(pid)
        if process is None:
            parent = self._processes.get(int(status["PPid"]))
            if parent is not None:
                self.discover(parent)
            process = self._processes.get(pid) or self._add(pid, f"?{pid}")
        self._threads[thread] = process
        return process

    def spawns(self, parent: Process) -> str:
        """A process is about to make a child; give the child's name."""
        self.discover(parent)
        parent.expected.clear()  # whoever was expected and is nowhere has lived and died unseen
        parent.children += 1
        name = f"{parent.name}.{parent.children}"
        parent.expected.append(name)
        return name

    def ends(self, process: Process) -> None:
        """A process is about to end: its children are named while it is known whose they are."""
        self.discover(process)
        self._processes.pop(process.pid, None)
        self._threads = {thread: owner for thread, owner in self._threads.items() if owner is not process}

    def living(self) -> list[Process]:
        """Give the processes that have not ended by themselves."""
        return list(self._processes.values())

    def discover(self, parent: Process) -> None:
        """Name a process's children while it is known whose they are."""
        if not parent.expected:
            return
        unknown = [pid for pid in children(parent.pid) if pid not in self._processes]
        for pid in unknown:
            if parent.expected:
                with contextlib.suppress(OSError):
                    self._add(pid, parent.expected.popleft())

    def _add(self, pid: int, name: str) -> Process:
        process = Process(name, pid, tracee.start_time(pid))
        self._processes[pid] = self._threads[pid] = process
        self.new.append(process)
        return process


def children(pid: int) -> list[int]:
    """List a process's children, oldest first; none when it is gone."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return found
