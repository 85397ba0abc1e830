"""Small real programs that keep what they are told, well or badly: for tests of what a power cut leaves of them.

Each serves one connection on the socket ``s`` of its home: it stores each line that it is sent, then sends it back.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

from watching import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_ocap.sweeps.calls import Recording
    from pytest_ocap.sweeps.injection import Injection, Reached
    from pytest_ocap.sweeps.supervisor import Supervisor

_SERVE = """
import os, socket, sys

def fsync_directory():
    directory = os.open(".", os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)

{store}

listener = socket.socket(socket.AF_UNIX)
listener.bind("s")
listener.listen()
connection, _ = listener.accept()
for line in connection.makefile("rb"):
    store(line)
    connection.sendall(line)
"""

REPLACES = """
def store(line):
    with open("value.tmp", "wb", buffering=0) as file:
        file.write(line)
        {sync}
    os.rename("value.tmp", "value")
    {sync_directory}
"""

ATOMIC = REPLACES.format(sync="os.fsync(file.fileno())", sync_directory="fsync_directory()")
NEVER_SYNCED = REPLACES.format(sync="", sync_directory="")
NO_FILE_SYNC = REPLACES.format(sync="", sync_directory="fsync_directory()")
NO_DIRECTORY_SYNC = REPLACES.format(sync="os.fsync(file.fileno())", sync_directory="")

NEW_FILES = """
def store(line):
    with open(line.decode().strip(), "xb", buffering=0) as file:
        file.write(line)
        os.fsync(file.fileno())
"""

APPENDS = """
log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
fsync_directory()

def store(line):
    os.write(log, line)
    os.fsync(log)
"""

RETRIES_FSYNC = """
log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
fsync_directory()

def store(line):
    os.write(log, line)
    try:
        os.fsync(log)
    except OSError:
        os.fsync(log)
"""

DATABASE = """
import sqlite3
database = sqlite3.connect("store", isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous={synchronous}")
database.execute("CREATE TABLE lines (line TEXT)")

def store(line):
    database.execute("INSERT INTO lines VALUES (?)", (line.decode(),))
"""


def record(
    supervisor: Supervisor, home: Path, store: str, lines: Sequence[bytes], injections: Sequence[Injection] = ()
) -> tuple[Recording, Reached]:
    """Run a program under a supervisor, tell it some lines, and give what was recorded.

    Args:
        supervisor: What records.
        home: An empty directory, or what a run before has left.
        store: The program's way to store a line.
        lines: What it is told; each is awaited back.
        injections: Faults.
    """
    program = _SERVE.format(store=textwrap.dedent(store))
    with supervisor.record(home, "program", injections) as session:
        command = [*session.prefix, sys.executable, "-I", "-S", "-c", program]
        process = subprocess.Popen(command, cwd=home, stderr=subprocess.PIPE)
        try:
            with socket.socket(socket.AF_UNIX) as client:
                path = os.fspath(home / "s")
                eventually(lambda: process.poll() is not None or client.connect_ex(path) == 0)
                for line in lines:
                    client.sendall(line)
                    assert client.recv(len(line), socket.MSG_WAITALL) == line
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0, errors.decode()
        assert session.wait(30)
        return session.recording(), session.reached()
