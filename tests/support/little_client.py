"""The client's side of the little daemon: it starts the daemon, waits for it, and stops it.

Run by way of ``little_daemon.py``, which it needs nothing of but its path.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

DAEMON = Path(__file__).with_name("little_daemon.py")
DEFECT = os.environ.get("LITTLE_DEFECT", "")
LONGEST_SOCKET = 107


def holder(path: Path) -> int | None:
    """Give the pid of whoever holds a lock, as the system tells (proc_locks(5)): a daemon may not have said so yet."""
    inode = str(path.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode:
            return int(fields[4])
    return None


def phase_of(home: Path) -> str:
    """Give the text of the phase file; nothing where there is none yet."""
    try:
        return (home / "phase").read_text()
    except FileNotFoundError:
        return ""


def alive(home: Path) -> int | None:
    """Give the pid of the daemon that holds the lock."""
    try:
        with (home / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return holder(home / "lock")
    except OSError:
        return None
    return None


def answers(home: Path) -> bool:
    """Say whether a daemon is ready: it answers on its socket."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(1)
        try:
            client.connect(str(home / "sock"))
            client.sendall(b'{"method": "ping", "params": null}\n')
            return b"pong" in client.recv(4096)
        except OSError:
            return False


def start(home: Path, timeout: float) -> int:
    if home.exists() and not home.is_dir():
        sys.stderr.write(f"Error: {home} is not a directory" + "\n")
        return 1
    if len(os.fsencode(home / "sock")) > LONGEST_SOCKET:
        sys.stderr.write(f"Error: the path {home / 'sock'} is too long: at most {LONGEST_SOCKET} bytes" + "\n")
        return 1
    if (home / "log").is_dir():
        sys.stderr.write(f"Error: {home / 'log'} is a directory" + "\n")
        return 1
    if DEFECT == "refuses-stale-pid" and (home / "pid").exists() and alive(home) is None:
        sys.stderr.write(f"Error: {home / 'pid'} is there; is a daemon running?" + "\n")
        return 1
    other = None if DEFECT == "loser-gives-up" else attend(home, timeout)
    return spawn(home, timeout) if other is None else other


def attend(home: Path, timeout: float) -> int | None:
    """Wait for a daemon that is there, as long as its start gets on; give the exit status, or None without one."""
    known = ""
    deadline = time.monotonic()
    while (pid := alive(home)) is not None:
        if (text := phase_of(home)) != known:
            known, deadline = text, time.monotonic() + timeout / 2
        if answers(home):
            sys.stdout.write(f"ready, as pid {pid} already was\n")
            return 0
        if time.monotonic() < deadline:
            time.sleep(0.01)
            continue
        phase = json.loads(phase_of(home) or '[0, "start"]')[1]
        if DEFECT == "says-locked":
            sys.stderr.write("Error: database is locked" + "\n")
        elif DEFECT == "silent-hang":
            sys.stderr.write("Error: timed out" + "\n")
        else:
            sys.stderr.write(f"Error: pid {pid} hangs in phase {phase}; stop it with: stop --force" + "\n")
        return 5
    return None


def spawn(home: Path, timeout: float) -> int:
    reader, writer = os.pipe()
    home.mkdir(mode=0o700, exist_ok=True)
    with (home / "stderr").open("w") as err:
        daemon = subprocess.Popen(
            [sys.executable, str(DAEMON), str(home), "serve"],
            env={**os.environ, "LITTLE_STATUS": str(writer)},
            pass_fds=[writer],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
        )
    os.close(writer)
    said = b""
    phase = "start"
    while True:
        if not select.select([reader], [], [], timeout)[0]:
            sys.stderr.write(f"Error: pid {daemon.pid} hangs in phase {phase}; stop it by force" + "\n")
            return 5
        chunk = os.read(reader, 4096)
        said += chunk
        for line in said.decode().splitlines():
            message = json.loads(line)
            phase = message.get("phase", phase)
            if message.get("ready"):
                sys.stdout.write("ready" + "".join(f", quarantined: {what}" for what in message["degraded"]))
                sys.stdout.write((message.get("unlogged") or "") + "\n")
                return 0
            if message.get("lost") and DEFECT != "loser-gives-up":
                return start(home, timeout)
            if "fatal" in message:
                sys.stderr.write(f"Error: {message['fatal']} (phase {phase})" + "\n")
                return 4
        if not chunk:
            sys.stderr.write(f"Error: the daemon died in phase {phase}" + "\n")
            return 4


def stop(home: Path, force: bool) -> int:
    pid = alive(home)
    if pid is None and force and (home / "pid").exists():
        pid = int((home / "pid").read_text())
    if pid is None and DEFECT == "trusts-pid" and (home / "pid").exists():
        pid = int((home / "pid").read_text())
    if pid is None:
        sys.stdout.write("not running\n")
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL if force else signal.SIGTERM)
    deadline = time.monotonic() + 5
    while alive(home) is not None and time.monotonic() < deadline:
        time.sleep(0.005)
    return 0
