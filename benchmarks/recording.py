"""What recording costs: the same workloads alone, under the supervisor and under strace, side by side.

Two of them are rows of the table: commits of SQLite, which do nothing but what is recorded, and a session of a daemon.
For all of them run ``python -m benchmarks.recording [RUNS]``.  Each workload runs RUNS times in each way, the ways
taking turns, so that a busy machine troubles all of them alike; the least time counts.  "A call" is one that the
supervisor looked at, also where it did not touch the home and was let go at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measuring import FailedError, await_gone, begin, finish, ocap, ocap_command
from benchmarks.table import Benchmark, Row, Sample
from benchmarks.vats import SOURCE
from kernel.bundle import build_bundle
from kernel.daemon.client import Client
from pytest_ocap.sweeps.supervisor import SupervisedSession, Supervisor
from pytest_ocap.sweeps.witness import Witness

if TYPE_CHECKING:
    from pytest_ocap.sweeps.means import Means

COMMITS = 200
_SQLITE = f"SQLite, {COMMITS} commits"

MESSAGES = 20

WORKLOADS = {
    _SQLITE: f"""
import sqlite3
connection = sqlite3.connect("store.sqlite", isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
for number in range({COMMITS}):
    connection.execute("INSERT INTO t (b) VALUES (?)", (str(number) * 100,))
""",
    "2,000 writes of 4 KiB": """
import os
file = os.open("file", os.O_CREAT | os.O_WRONLY)
data = bytes(4096)
for _ in range(2000):
    os.write(file, data)
""",
    "importing, nothing in the home": "import asyncio, email.message, http.client, json, unittest, xml.dom",
    "2,000 writes to /dev/null": """
import os
file = os.open("/dev/null", os.O_WRONLY)
for _ in range(2000):
    os.write(file, b"x")
""",
}


def seconds(means: Means | None, program: str) -> tuple[float, int]:
    """Run a program once; give how long its process took, and how many calls were looked at."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with nullcontext() if means is None else means.record(home, "benchmark") as session:
            prefix = () if session is None else session.prefix
            began = time.perf_counter()
            subprocess.run([*prefix, sys.executable, "-c", program], cwd=home, check=True)
            took = time.perf_counter() - began
            if session is not None:
                session.wait(10.0)
            heard = session.heard() if isinstance(session, SupervisedSession) else 0
    return took, heard


def session_seconds(place: Path, means: Means | None) -> float:
    """Give how long a session of a daemon takes: a start, a launch, some messages, and a stop."""
    place.mkdir()
    home, source, bundle = place / "h", place / "main.py", place / "main.bundle"
    source.write_text(SOURCE)
    bundle.write_bytes(build_bundle(os.fspath(source)))
    home.mkdir(mode=0o700)
    config = {"bootstrap": "vat", "vats": {"vat": {"bundleSpec": bundle.as_uri()}}}
    with nullcontext() if means is None else means.record(home, "benchmark") as session:
        prefix = () if session is None else session.prefix
        began = time.perf_counter()
        status = finish(begin(*prefix, *ocap_command(home, "daemon", "start")))
        if status != 0:
            raise FailedError(f"a daemon that is recorded did not start: exit status {status}")
        pid = int((home / "daemon.pid").read_text())
        with Client(home / "daemon.sock") as client:
            root = client.call("launchSubcluster", {"config": config})["rootKref"]
            for _ in range(MESSAGES):
                client.call("queueMessage", [root, "greet", []])
        ocap(home, "daemon", "stop")
        took = time.perf_counter() - began
        if session is not None and not session.wait(10.0):
            raise FailedError("a daemon that is recorded did not end")
    await_gone(pid)
    return took


def measure(place: Path) -> dict[str, Sample]:
    """Run the workloads of the table alone and recorded; only alone where this machine cannot record."""
    program = WORKLOADS[_SQLITE]
    samples = {"commits": Sample(seconds(None, program)[0]), "session": Sample(session_seconds(place / "a", None))}
    with Supervisor() as supervisor:
        if supervisor.missing() is None:
            samples["commits, recorded"] = Sample(seconds(supervisor, program)[0])
            samples["session, recorded"] = Sample(session_seconds(place / "r", supervisor))
    return samples


def main(runs: int) -> None:
    """Print the table."""
    with Supervisor() as supervisor:
        ways: dict[str, Means | None] = {"alone": None}
        for means in (supervisor, Witness()):
            reason = means.missing()
            if reason is None:
                ways[means.name] = means
            else:
                print(f"{means.name} is left out: {reason}")
        print(f"{'workload':32} {'calls':>6}  " + "  ".join(f"{name:^28}" for name in ways))
        for workload, program in WORKLOADS.items():
            least = dict.fromkeys(ways, float("inf"))
            heard = 0
            for _ in range(runs):
                for name, way in ways.items():
                    took, count = seconds(way, program)
                    least[name] = min(least[name], took)
                    heard = max(heard, count)
            cells = [f"{least['alone'] * 1000:8.1f} ms {'':17}"]
            for name in list(ways)[1:]:
                extra = (least[name] - least["alone"]) / max(heard, 1)
                ratio = least[name] / least["alone"]
                cells.append(f"{least[name] * 1000:8.1f} ms {ratio:5.2f}x {extra * 1000:6.3f} ms/c")
            print(f"{workload:32} {heard:6}  " + "  ".join(cells))


_ALONE = "the same, not recorded"

BENCHMARK = Benchmark(
    "recording",
    (
        Row(9, f"start, launch, {MESSAGES} messages and stop, recorded", "session, recorded", "session", _ALONE),
        Row(9, f"a process with {COMMITS} commits of SQLite, recorded", "commits, recorded", "commits", _ALONE),
    ),
    measure,
)

if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
