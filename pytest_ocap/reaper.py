"""A second process that cleans up when the test process is killed.

Invariant: whatever ends the test process, the directories that it registered here vanish, and the processes that use
them die.  The reaper sees the end of its standard input (the kernel closes the pipe for the dead) or a change of its
parent; it is started with the first home, and told of each directory before that is made.  A run without homes has no
reaper.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from pathlib import Path

from pytest_ocap.processes import REAPER

PARENT_CHECK_SECONDS = 1.0

# Started without site or user configuration, by a program text that needs nothing but what its argument says.
_PROGRAM = (
    "import json, sys; settings = json.loads(sys.argv[1]); sys.path[:] = settings['path']; "
    f"{REAPER}; main(settings['parent'], settings['since'])"
)


class Reaper:
    """The test process's side: tells the reaper which directories are at stake."""

    def __init__(self) -> None:
        from pytest_ocap import processes

        package = str(Path(__file__).resolve().parent.parent)
        settings = {
            "path": [package, *(entry for entry in sys.path if os.path.isabs(entry))],
            "parent": os.getpid(),
            "since": processes.own_birth(),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the terminal is for pytest, not for its cleaner
            cwd="/",
        )

    @property
    def pid(self) -> int:
        """The reaper's pid."""
        return self._process.pid

    def watch(self, root: Path) -> None:
        """Register a directory, before it is made."""
        self._tell({"watch": os.fspath(root)})

    def forget(self, root: Path) -> None:
        """Say that a directory is gone."""
        self._tell({"forget": os.fspath(root)})

    def close(self) -> None:
        """End the reaper, after it has cleaned what is still registered, and wait for it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died before; there is nothing to tell it
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, message: dict[str, object]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise RuntimeError(f"the reaper (pid {self.pid}) is gone: nothing would clean up after a crash") from error


def main(parent: int, since: float) -> None:
    """Be the reaper: read what is at stake until the test process ``parent`` is gone, then clean.

    Only processes created ``since`` then (seconds since the epoch) are ended.
    """
    roots: dict[str, None] = {}
    descriptor = sys.stdin.fileno()
    pending = b""
    while True:
        readable, _, _ = select.select([descriptor], [], [], PARENT_CHECK_SECONDS)
        if not readable:
            if os.getppid() != parent:
                break
            continue
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            break
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "watch" in message:
                roots[message["watch"]] = None
            else:
                roots.pop(message["forget"], None)
    for root in roots:
        clean(Path(root), since)


def clean(root: Path, since: float) -> None:
    """End what uses a directory and remove it."""
    from pytest_ocap import homes, processes

    processes.end(root, since=since)
    if root.exists():
        homes.remove_tree(root)
