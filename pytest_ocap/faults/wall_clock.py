"""A fault of the wall clock: it jumps under a daemon that runs, and is right for everybody else.

Invariant: only the wall clock moves, and only in the processes that run under :attr:`WallClock.setting`; the proof is
what a process of the harness's own reads there.  The library that does it (``wall_clock.c``) is compiled when it is
first needed.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ocap.driver import Setting
from pytest_ocap.verdict import UnsupportedError

if TYPE_CHECKING:
    import psutil

STEP_SECONDS = 86_400
"""How far the clock jumps: a day, more than any time-out."""

TOLERANCE_SECONDS = 60
"""How far two readings of one clock may be apart, on a machine that is busy."""

SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """A wall clock that jumps ``back`` or ``forward`` by a day when it is arranged.

    Args:
        folder: Where its library and its reading are kept, for as long as daemons run under it.
        direction: ``back`` or ``forward``.
    """

    def __init__(self, folder: Path, direction: str) -> None:
        self.id = f"wall-clock-{direction}"
        self._step = -STEP_SECONDS if direction == "back" else STEP_SECONDS
        self._library = folder / "wall_clock.so"
        self._wrong = folder / "wall_clock"

    @property
    def setting(self) -> Setting:
        """The circumstances under which the daemon has to run: it preloads the library."""
        preloaded = [os.fspath(self._library), *os.environ.get("LD_PRELOAD", "").split()]
        return Setting(env={"LD_PRELOAD": " ".join(preloaded), "OCAP_WALL_CLOCK": os.fspath(self._wrong)})

    def arrange(self) -> None:
        """Put library and clock in place, and let it jump.

        Raises:
            UnsupportedError: There is no compiler, or the platform preloads no libraries.
        """
        self._library.write_bytes(_compiled())
        self._wrong.write_bytes(struct.pack("q", 0))
        self.jump()

    def jump(self) -> None:
        """Let the clock jump, for whatever runs under it."""
        self._set(self._step)

    def right(self) -> None:
        """Put the clock right again."""
        self._set(0)

    def fired(self) -> str | None:
        """Have a process read both clocks: the wall clock is off by the step, the other is not."""
        program = "import time; print(time.time(), time.clock_gettime(time.CLOCK_MONOTONIC))"
        environment = {**os.environ, **self.setting.env}
        read = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        wall, monotonic = (float(word) for word in read.stdout.split())
        off = wall - time.clock_gettime(time.CLOCK_REALTIME)
        if abs(off - self._step) > TOLERANCE_SECONDS or abs(monotonic - _monotonic()) > TOLERANCE_SECONDS:
            return None
        return f"the wall clock is off by {off:.0f} s"

    def reaches(self, process: psutil.Process) -> bool:
        """Say whether a process reads this clock: one that is linked statically does not."""
        return any(file.path == os.fspath(self._library) for file in process.memory_maps())

    def undo(self) -> None:
        """Put the clock right; library and reading stay for daemons that still run, and go with their folder."""
        if self._wrong.exists():
            self.right()

    def _set(self, seconds: int) -> None:
        with self._wrong.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", seconds * 1_000_000_000))


def _monotonic() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC)


@cache
def _compiled() -> bytes:
    """Compile the library.

    Raises:
        UnsupportedError: That is not possible here.
    """
    if sys.platform != "linux":
        raise UnsupportedError("the wall clock of a daemon can be moved on Linux only")
    compiler = shutil.which("cc")
    if compiler is None:
        raise UnsupportedError(
            "the clock that jumps has to be compiled, and no C compiler (cc) is installed; "
            "on Debian: apt-get install gcc libc6-dev"
        )
    with tempfile.TemporaryDirectory(prefix="ocap-clock-") as folder:
        library = Path(folder, "wall_clock.so")
        words = [compiler, "-shared", "-fPIC", "-O2", "-o", os.fspath(library), os.fspath(SOURCE), "-ldl"]
        made = subprocess.run(words, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise UnsupportedError(f"the clock that jumps cannot be compiled here: {made.stderr.strip()[:500]}")
        return library.read_bytes()
