"""The ``ocap`` command: what a person at a shell, or a program that runs commands, sees of the kernel.

Results go to standard output, everything else to standard error; an expected failure is a sentence with a code and a
next step, never a traceback.  Start-up time is a feature: what one command needs, the others do not import.

The commands know the daemon by its public functions and the wire protocol only; they never open the store.
"""

from __future__ import annotations

from kernel.cli.app import main

__all__ = ["main"]
