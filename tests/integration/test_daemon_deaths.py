"""A daemon that ran and dies: of its own errors or by a signal, it says why if it can, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sabotage import Saboteur
from watching import eventually

from kernel.bundle import build_bundle
from kernel.daemon.client import Client
from kernel.daemon.ensure import daemon_status, ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.daemon.lock import inspect_lock
from kernel.daemon.log import read_records
from kernel.daemon.process import identify, is_alive, state_of
from kernel.errors import DaemonDiedError, NotRunningError

COUNTER = Path(__file__).parents[2] / "examples" / "vats" / "counter.py"


def fatals(home: Home) -> list[dict[str, Any]]:
    return [record for record in read_records(home.log) if record["level"] == "fatal"]


def test_an_unhandled_exception_of_a_running_daemon_is_a_fatal_and_ends_it(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of(
        "kernel.daemon.methods",
        """
        import gc
        from kernel.loop import Loop
        def callback():
            raise RuntimeError("in a callback")
        gc.unfreeze()  # else what the start has made is not among the objects
        (loop,) = [one for one in gc.get_objects() if isinstance(one, Loop)]
        loop.call_soon(callback)
        """,
    )
    with suppress(DaemonDiedError):  # it may answer once before it ends
        ensure_daemon(home)
    eventually(lambda: not inspect_lock(home.lock).held)
    (fatal,) = fatals(home)
    assert fatal["phase"] == "ready"
    assert "in a callback" in fatal["error"]["message"]
    assert not os.path.exists(home.pid)
    assert not os.path.exists(home.socket)


def test_an_exception_that_ends_a_thread_is_a_fatal(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of(
        "kernel.daemon.methods",
        """
        import threading
        def work():
            raise RuntimeError("in a thread")
        threading.Thread(target=work).start()
        """,
    )
    with suppress(DaemonDiedError):  # it may answer once before it ends
        ensure_daemon(home)
    eventually(lambda: not inspect_lock(home.lock).held)
    (fatal,) = fatals(home)
    assert "in a thread" in fatal["error"]["message"]
    with pytest.raises(NotRunningError, match="in a thread"):
        daemon_status(home)


def test_nothing_outlives_a_daemon_that_is_killed(home: Home) -> None:
    process = identify(ensure_daemon(home).pid)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not is_alive(process))
    with pytest.raises(NotRunningError, match="died in phase ready"):
        daemon_status(home)


def test_nothing_of_a_daemon_lives_on_after_it_was_killed(home: Home, tmp_path: Path) -> None:
    """Workers, and the process that starts them, go with the daemon."""
    pid = ensure_daemon(home).pid
    bundle = tmp_path / "one.bundle"
    bundle.write_bytes(build_bundle(str(COUNTER)))
    with Client(home.socket) as client:
        config = {"bootstrap": "main", "vats": {"main": {"bundleSpec": bundle.as_uri()}}}
        client.call("launchSubcluster", {"config": config})
    family = [process for process in map(identify, _descendants(pid)) if process is not None]
    assert len(family) >= 2
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(is_alive(process) for process in family))


def _descendants(pid: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found += [int(name), *_descendants(int(name))]
    return found


def test_a_caller_that_lives_long_keeps_no_zombies(home: Home) -> None:
    first = _killed(home)
    second = _killed(home)
    assert state_of(first) is None
    stop_daemon(home)
    assert state_of(second) is None


def _killed(home: Home) -> int:
    """Start a daemon and kill it; give its pid."""
    pid = ensure_daemon(home).pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: state_of(pid) in ("Z", None))
    return pid
