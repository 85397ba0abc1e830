"""Run one client and adopt whatever it leaves behind.

Invariant: every process that the client starts stays a descendant of this one, however it daemonizes (double fork,
``setsid``, an emptied environment), since orphans are given to the nearest ancestor that is a subreaper.  This process
ends when the last of them has ended; it is found by its command line, which names the home.

Run by path, alone: ``runner.py HOME CONTROL DIRECTORY WORD…``.  ``CONTROL`` is a socket: the runner says ``pid N``,
waits for a byte, lets the client begin, and says ``status N`` when it has ended or ``error TEXT`` when it could not
be run.
"""

from __future__ import annotations

import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
TOKEN = "PYTEST_OCAP_HOME"
"""As in :mod:`pytest_ocap.processes`, of which this program must not know."""


def main(home: str, control: int, directory: str, words: list[str]) -> None:
    """Run the client, tell its end, and wait for the end of everything else."""
    os.set_inheritable(control, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the terminal is for the client and for pytest
    adopt()
    gate, opener = os.pipe()
    client = os.fork()
    if client == 0:
        os.close(opener)
        become_client(home, control, gate, directory, words)
    os.close(gate)
    tell(control, f"pid {client}")
    if not os.read(control, 1):  # the harness is gone
        os.kill(client, signal.SIGKILL)
    os.write(opener, b"!")
    os.close(opener)
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        if ended == client:
            tell(control, f"status {os.waitstatus_to_exitcode(status)}")
            os.close(control)


def adopt() -> None:
    """Become the parent of orphans, where the platform knows that."""
    if sys.platform == "linux":
        import ctypes

        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            sys.exit(f"cannot become a subreaper: {os.strerror(ctypes.get_errno())}")


def become_client(home: str, control: int, gate: int, directory: str, words: list[str]) -> None:
    """Wait for the word to begin, then run the client in place of this process."""
    try:
        os.read(gate, 1)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.chdir(directory)
        os.environ[TOKEN] = home
        os.execvp(words[0], words)
    except OSError as error:
        tell(control, f"error cannot run {words[0]!r}: {error}")
    finally:
        os._exit(127)


def tell(control: int, line: str) -> None:
    """Say something to the harness, which may be gone."""
    try:
        os.write(control, line.encode(errors="replace") + b"\n")
    except (BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
