"""A user at a shell: runs the ``ocap`` command in a folder of their own, also at a terminal.

Insists, whatever is run, on what holds for every command: the exit code is the one that the test expects, a failure is
told in one sentence, and nobody ever sees a traceback.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(kernel.__file__).parent.parent
OCAP = [sys.executable, "-m", "kernel.cli"]

COUNTER = """\
from kernel.vat import Exo


class Counter(Exo):
    def __init__(self, baggage):
        self.baggage = baggage

    def increment(self, by: int = 1) -> int:
        self.baggage["count"] = self.baggage.get("count", 0) + by
        return self.baggage["count"]

    def echo(self, value):
        return value

    def me(self):
        return self

    def fail(self, message: str):
        raise ValueError(message)


def build_root_object(vat_powers, parameters, baggage):
    return Counter(baggage)
"""


class Shell:
    """A user at a shell, in a folder of their own, with the home ``H`` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "H"
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "OCAP_HOME": str(self.home)}

    def ocap(
        self, *words: str, code: int = 0, said: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command and insist on its exit code, and on what holds for all of them.

        A command that failed has said so in one sentence, unless it was to say something else (``said``).
        """
        done = subprocess.run(
            [*OCAP, *words],
            env={**self.environment, **more},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, (words, done)
        assert "Traceback" not in done.stderr
        if said is not None:
            assert done.stderr == said
        elif code:
            assert sum(line.startswith("Error: ") for line in done.stderr.splitlines()) == 1, done
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.ocap(*words, "--json", code=code).stdout)

    def launch(self, bundle: str) -> str:
        root: str = self.json("subcluster", "launch", bundle)["rootKref"]
        return root

    def send(self, kref: str, method: str, *args: str) -> str:
        return self.ocap("daemon", "queueMessage", kref, method, *args).stdout.strip()

    def at_terminal(self, typed: str, *words: str, **more: str) -> str:
        """Run the command on a terminal, type, and give all that it showed."""
        environment = {**self.environment, "TERM": "xterm", "COLUMNS": "100", **more}
        return on_terminal([*OCAP, *words], environment, self.folder, typed)

    @property
    def pid(self) -> int:
        return int((self.home / "daemon.pid").read_text())


@contextmanager
def shell_in(folder: Path) -> Iterator[Shell]:
    """Give a user with a counter's bundle, ``c1.bundle``, in a folder; their daemon is stopped at the end."""
    shell = Shell(folder)
    (folder / "counter.py").write_text(COUNTER)
    shell.ocap("bundle", "counter.py", "-o", "c1.bundle")
    try:
        yield shell
    finally:
        shell.ocap("daemon", "stop", "--force")


@contextmanager
def interruptible(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[str]]:
    """Run a command that takes SIGINT, even when whoever runs the tests in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


def on_terminal(command: Sequence[str], environment: Mapping[str, str], folder: Path, typed: str = "") -> str:
    """Run a command on a terminal of its own, type, and give all that it showed, standard error included."""
    leader, follower = pty.openpty()
    try:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=follower, stdout=follower, stderr=follower
        )
        os.close(follower)
        try:
            os.write(leader, typed.encode())
            return _read(leader).decode().replace("\r\n", "\n")
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(leader)


def _read(leader: int) -> bytes:
    """Read what a terminal is sent until the last process that has it open has gone."""
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([leader], [], [], 0.5)[0]:
            continue
        try:
            data = os.read(leader, 65536)
        except OSError:  # what Linux says at the end
            return shown
        if not data:
            return shown
        shown += data
    raise AssertionError(f"the command goes on, and showed {shown!r}")
