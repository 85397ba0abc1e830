"""Run a command that file permissions bind, root or not.

Invariant: the command runs without ``CAP_DAC_OVERRIDE`` and ``CAP_DAC_READ_SEARCH``, or not at all.  Root reads files
of mode 000; a program that root starts through this file does not, since both capabilities have left its bounding
set.  Run by path, alone.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_CAPBSET_DROP = 24  # prctl(2)
CAP_DAC_OVERRIDE = 1  # capabilities(7)
CAP_DAC_READ_SEARCH = 2

if __name__ == "__main__":
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            sys.exit(f"cannot drop capability {capability}: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])
