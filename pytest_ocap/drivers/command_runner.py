"""Run one client and adopt whatever it leaves behind.

Invariant: every process that the client starts stays a descendant of this one, however it daemonizes (double fork,
``setsid``, an emptied environment), since orphans are given to the nearest ancestor that is a subreaper.  This process
ends when the last of them has ended; it is found by its command line, which names the home.

Run by path: ``runner.py HOME CONTROL DIRECTORY ORDER WORD…``; ``ORDER`` is empty, or says as JSON how the start is to
be interrupted.  ``CONTROL`` is a socket: the runner says ``pid N``,
waits for a byte, lets the client begin, and says ``status N`` when it has ended or ``error TEXT`` when it could not
be run; before that, ``killed N`` of each orphan that died of SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
TOKEN = "PYTEST_OCAP_HOME"
"""As in :mod:`pytest_ocap.processes`, of which this program must not know."""


class Client:
    """The client; its end is told as soon as it is known."""

    def __init__(self, pid: int, control: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self._control = control

    def abandoned(self) -> bool:
        """Say whether the harness no longer waits for it."""
        if self.status is not None:
            return False
        poll = select.poll()
        poll.register(self._control, 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))

    def reap(self, options: int) -> bool:
        """Take in the end of one process; say whether one had ended (ChildProcessError when there are none left)."""
        ended, waited = os.waitpid(-1, options)
        status = os.waitstatus_to_exitcode(waited) if ended else None
        if ended == self.pid:
            with contextlib.suppress(ChildProcessError):
                while self.reap(os.WNOHANG):  # what ended before the client did is told before it
                    pass
            self.status = status
            tell(self._control, f"status {status}")
            os.close(self._control)
        elif status == -signal.SIGKILL and self.status is None:
            tell(self._control, f"killed {ended}")
        return ended != 0

    def wait(self, seconds: float) -> bool:
        """Wait for its end, taking in that of others; say whether it came within so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                while self.reap(os.WNOHANG):
                    pass
            except ChildProcessError:
                return True
            if self.status is not None or time.monotonic() >= deadline:
                return self.status is not None
            time.sleep(0.005)


def main(home: str, control: int, directory: str, order: str, words: list[str]) -> None:
    """Run the client, tell its end, and wait for the end of everything else."""
    os.set_inheritable(control, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the terminal is for the client and for pytest
    adopt()
    strike = Strike(order) if order else None
    gate, opener = os.pipe()
    pid = os.fork()
    if pid == 0:
        if strike is not None:
            strike.patient()
        os.close(opener)
        become_client(home, control, gate, directory, words)
    os.close(gate)
    client = Client(pid, control)
    tell(control, f"pid {pid}")
    if not os.read(control, 1):  # the harness is gone
        os.kill(pid, signal.SIGKILL)
    os.write(opener, b"!")
    os.close(opener)
    if strike is not None:
        strike.attend(client)
    while True:
        try:
            client.reap(0)
        except ChildProcessError:
            return


class Strike:
    """The interruption of a start; its module is loaded for those starts only."""

    def __init__(self, order: str) -> None:
        import json

        sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
        from pytest_ocap.drivers import command_watch

        wanted = command_watch.Order(**json.loads(order))
        command_watch.urgent()
        self.patient = command_watch.patient
        self._striker = command_watch.Striker(wanted)
        self._watch = command_watch.Watch(wanted).begin()

    def attend(self, client: Client) -> None:
        """Wait for the moment, and strike."""
        self._striker.attend(client, self._watch)
        self._watch.close()


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
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
