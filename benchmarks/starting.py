"""From nothing to a daemon that answers, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measuring import Meter, await_gone, bare_python, ocap
from benchmarks.table import Benchmark, Row, Sample
from kernel.daemon.client import Client

if TYPE_CHECKING:
    from pathlib import Path

_BARE = "one `python -c pass`"


def measure(place: Path) -> dict[str, Sample]:
    """Start a daemon on an empty home, ask it how it is, and stop it."""
    home = place / "h"
    python = bare_python()
    with Meter() as start:
        ocap(home, "daemon", "start")
        with Client(home / "daemon.sock") as client:
            client.call("ping")
    pid = int((home / "daemon.pid").read_text())
    with Meter() as status:
        ocap(home, "daemon", "status")
    with Meter() as stop:
        ocap(home, "daemon", "stop")
        await_gone(pid)
    return {"python": python, "start": start.sample, "status": status.sample, "stop": stop.sample}


BENCHMARK = Benchmark(
    "start",
    (
        Row(1, "`ocap daemon start` on an empty home, to an answered ping", "start", "python", _BARE, at_most=6),
        Row(1, "`ocap daemon status` of a daemon that runs", "status", "python", _BARE),
        Row(1, "`ocap daemon stop`, to the end of its process", "stop", "python", _BARE),
    ),
    measure,
)
