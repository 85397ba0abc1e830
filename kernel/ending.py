"""How a process of ours ends: what is registered for the end runs, what is buffered is written, and the rest is let go.

The interpreter would take every module and object apart, one by one, for a process whose memory the operating system
takes back at once; that costs half as much as starting Python does, at the end of each command, daemon and template.

Invariant: only what is the whole process comes here, after everything that it holds was closed.
"""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def end_process(status: int) -> NoReturn:
    """End this process with an exit status.

    What cannot be written any more makes the status 120, as it does when the interpreter ends by itself.
    """
    atexit._run_exitfuncs()  # a profiler's or a tracer's, say: whatever has hooked itself into the interpreter
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # its reader has gone, or somebody has closed it
            status = status or 120
    os._exit(status)
