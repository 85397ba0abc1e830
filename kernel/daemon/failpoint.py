"""Failpoints: a daemon that kills or stops itself right after it announced a phase.

``OCAP_FAILPOINT`` is ``PHASE=kill`` or ``PHASE=hang``.  For tests of whatever starts daemons; a failpoint that names no
phase is an error, not a test that silently passes.  ``OCAP_FAILPOINT_NOTE`` is a file to which the process adds its pid
just before: a daemon that is gone again within a millisecond would otherwise leave nothing to prove that it was there.
"""

from __future__ import annotations

import os
import signal

from kernel.errors import UsageError

VARIABLE = "OCAP_FAILPOINT"
NOTE_VARIABLE = "OCAP_FAILPOINT_NOTE"
PHASES = ("lock", "log", "store", "identity", "restore", "io", "listen", "ready", "stopping")
_SIGNALS = {"kill": signal.SIGKILL, "hang": signal.SIGSTOP}


class Failpoint:
    """The failpoint that the environment asks for, if any."""

    def __init__(self, text: str | None, note: str | None = None) -> None:
        """Read ``PHASE=kill`` or ``PHASE=hang``; None or an empty text asks for nothing (UsageError otherwise).

        Args:
            text: What the environment says.
            note: The file to which the pid is added before the process is struck, if that is wanted.
        """
        self._note = note
        self._phase, _, how = (text or "").partition("=")
        self._signal: signal.Signals | None = None
        if not text:
            return
        if self._phase not in PHASES or how not in _SIGNALS:
            raise UsageError(
                f"{VARIABLE} is {text!r}; it has to be PHASE=kill or PHASE=hang, PHASE one of {', '.join(PHASES)}.",
                remedy=f"Correct or unset {VARIABLE}.",
            )
        self._signal = _SIGNALS[how]

    def reach(self, phase: str) -> None:
        """Kill or stop this process if its failpoint is there."""
        if self._signal is not None and phase == self._phase:
            if self._note:
                with open(self._note, "a", encoding="ascii") as file:
                    file.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), self._signal)
