"""A pid that is somebody else's by now: what a dead daemon has left names a process that is not it.

Invariant: what lies in the home is what the daemon itself left when it was killed, with its pid replaced wherever that
stands in a small file; the process that has the pid now is a companion, and knows what was done to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_ocap.faults.companions import Companion
from pytest_ocap.persisted import start

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.driver import KernelDriver

SMALL_BYTES = 1 << 16
"""No pid is looked for in files larger than this: they are stores and logs."""

KINDS = ("other", "look-alike")


class ReusedPid:
    """A killed daemon, whose pid belongs to a bystander.

    Args:
        driver: The daemon.
        home: Its home, stopped.
        kind: ``other`` for any process, ``look-alike`` for one whose command line has the daemon's words, though not
            its home.
    """

    def __init__(self, driver: KernelDriver, home: Path, kind: str) -> None:
        self.id = f"reused-pid-{kind}"
        self._driver = driver
        self._home = home
        self._kind = kind
        self._bystander: Companion | None = None
        self._left: dict[Path, bytes] = {}

    @property
    def bystander(self) -> Companion:
        """The process that has the pid now."""
        assert self._bystander is not None, "the fault was not arranged"
        return self._bystander

    @property
    def pid_file(self) -> Path:
        """The daemon's pid file."""
        path = self._driver.pid(self._home)
        assert path is not None, "the driver claims a pid file, and does not say where it lies"
        return path

    def arrange(self) -> None:
        """Kill a daemon, and have its pid belong to the bystander."""
        start(self._driver, self._home)
        pid = int(self.pid_file.read_text())
        words = _words(pid, self._home) if self._kind == "look-alike" else []
        self._driver.kill(self._home)
        self._bystander = Companion(words=words)
        word, mine = re.compile(rb"(?<!\d)%d(?!\d)" % pid), b"%d" % self._bystander.pid
        for path in {*self._home.iterdir(), self.pid_file} - {
            self._driver.store(self._home),
            self._driver.log(self._home),
        }:
            if path.is_file() and path.stat().st_size <= SMALL_BYTES and word.search(content := path.read_bytes()):
                self._left[path] = word.sub(mine, content)
        self.leave()

    def leave(self) -> None:
        """Leave once more what the killed daemon left."""
        for path, content in self._left.items():
            path.write_bytes(content)

    def fired(self) -> str | None:
        """See that the pid file names the bystander, which lives."""
        named = self.pid_file.read_text().split() == [str(self.bystander.pid)]
        if not named or self.bystander.harm() is not None:
            return None
        return f"{self.pid_file} names pid {self.bystander.pid}, which is somebody else's"

    def undo(self) -> None:
        """End the bystander."""
        if self._bystander is not None:
            self._bystander.end()
            self._bystander = None


def _words(pid: int, home: Path) -> list[str]:
    """Give the command line of a process as it would be for another home."""
    import psutil

    return [word.replace(str(home), f"/somewhere/else{home.name}") for word in psutil.Process(pid).cmdline()]
