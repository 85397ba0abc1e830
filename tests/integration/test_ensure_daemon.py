"""``ensure_daemon``: one daemon for all who ask at once; slow is not hung; each way to be stuck has its own words."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time
from sabotage import Saboteur
from watching import eventually

from kernel.bundle import build_bundle
from kernel.daemon.client import Client
from kernel.daemon.ensure import daemon_status, ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.daemon.lock import inspect_lock
from kernel.daemon.log import read_records
from kernel.daemon.process import identify, state_of
from kernel.errors import (
    DaemonDiedError,
    DaemonForeignError,
    DaemonHungError,
    DaemonUnresponsiveError,
    HomeError,
    NotRunningError,
    RpcError,
    SocketPathError,
)

PATIENCE = 30.0
COUNTER = Path(__file__).parents[2] / "examples" / "vats" / "counter.py"


def starts(home: Home) -> int:
    return len([record for record in read_records(home.log) if record["event"] == "daemon.starting"])


def fatals(home: Home) -> list[dict[str, Any]]:
    return [record for record in read_records(home.log) if record["level"] == "fatal"]


CALLER = """
import json, sys
from kernel.daemon.ensure import ensure_daemon
from kernel.daemon.home import Home
state = ensure_daemon(Home(sys.argv[1]))
print(json.dumps([state.pid, state.started]))
"""


def test_a_daemon_that_runs_is_given_to_whoever_asks_again(home: Home) -> None:
    first = ensure_daemon(home)
    second = ensure_daemon(home)
    assert (first.started, second.started) == (True, False)
    assert first.pid == second.pid
    assert second.quarantined == []
    assert starts(home) == 1


def test_of_many_processes_that_ask_at_once_all_get_the_one_daemon(home: Home) -> None:
    callers = [
        subprocess.Popen([sys.executable, "-c", CALLER, home.path], stdout=subprocess.PIPE, text=True) for _ in range(8)
    ]
    answers = [json.loads(caller.communicate(timeout=PATIENCE)[0]) for caller in callers]
    assert len({pid for pid, _started in answers}) == 1
    assert sum(started for _pid, started in answers) == 1
    assert starts(home) == 1
    assert fatals(home) == []


def test_of_many_threads_that_ask_at_once_all_get_the_one_daemon(home: Home) -> None:
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(ensure_daemon(home).pid)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(pids) == 6
    assert len(set(pids)) == 1


def test_of_many_who_ask_for_a_start_that_fails_all_are_told_why(home: Home, sabotage: Saboteur) -> None:
    home.create()
    Path(home.store).write_bytes(b"no store" * 1000)
    sabotage.before_import_of("kernel.store", "import time; time.sleep(0.3)")
    messages: list[str] = []

    def ask() -> None:
        with pytest.raises(DaemonDiedError) as caught:
            ensure_daemon(home)
        messages.append(caught.value.message)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(messages) == 4
    assert all(home.store in message for message in messages)
    assert len(fatals(home)) == starts(home)


def test_a_slow_start_that_gets_on_is_waited_for_beyond_the_timeout(home: Home, sabotage: Saboteur) -> None:
    for module in ("kernel.store", "kernel.engine", "kernel.daemon.listening"):
        sabotage.before_import_of(module, "import time; time.sleep(0.7)")
    state = ensure_daemon(home, timeout=1.5)
    assert state.seconds > 2.1
    assert state.started


def test_a_slow_start_of_somebody_else_is_waited_for_as_well(home: Home, sabotage: Saboteur) -> None:
    for module in ("kernel.store", "kernel.engine", "kernel.daemon.listening"):
        sabotage.before_import_of(module, "import time; time.sleep(0.7)")
    other = subprocess.Popen([sys.executable, "-c", CALLER, home.path], stdout=subprocess.PIPE)
    eventually(lambda: inspect_lock(home.lock).held)
    state = ensure_daemon(home, timeout=1.5)
    other.communicate(timeout=PATIENCE)
    assert not state.started


def test_a_start_without_progress_hangs_and_is_left_for_the_caller_to_end(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of("kernel.store", "import time; time.sleep(600)")
    with pytest.raises(DaemonHungError) as caught:
        ensure_daemon(home, timeout=0.6)
    error = caught.value
    assert error.data["phase"] == "store"
    assert error.data["seconds"] >= 0.6
    assert f"pid {error.data['pid']}" in error.message
    assert f"ocap --home {home.path} daemon stop --force" in str(error.remedy)
    assert identify(error.data["pid"]) is not None
    began = time.monotonic()
    with pytest.raises(DaemonHungError) as again:
        ensure_daemon(home, timeout=0.6)
    assert again.value.data["pid"] == error.data["pid"]
    assert time.monotonic() - began < 3
    status = daemon_status(home)["daemon"]
    assert (status["state"], status["phase"]) == ("starting", "store")
    assert status["idleSeconds"] >= 0.6
    stop_daemon(home, force=True)
    sabotage.undo()
    assert ensure_daemon(home).state == "ready"


@pytest.mark.parametrize("phase", ["lock", "store", "restore", "listen"])
def test_a_start_whose_process_is_stopped_hangs_at_once(
    home: Home, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCAP_FAILPOINT", f"{phase}=hang")
    pids = {_stopped_in(home, phase) for _caller in ("the one that spawned it", "the next")}
    monkeypatch.delenv("OCAP_FAILPOINT")
    (pid,) = pids
    os.kill(pid, signal.SIGCONT)
    assert ensure_daemon(home).pid == pid


def _stopped_in(home: Home, phase: str) -> int:
    """See a start hang in a phase because its process is stopped; give its pid."""
    began = time.monotonic()
    with pytest.raises(DaemonHungError, match="stopped") as caught:
        ensure_daemon(home, timeout=PATIENCE)
    assert time.monotonic() - began < 5
    pid: int = caught.value.data["pid"]
    assert caught.value.data["phase"] == phase
    assert f"kill -CONT {pid}" in str(caught.value.remedy)
    with pytest.raises(DaemonHungError, match=f"pid {pid}"):
        daemon_status(home)
    return pid


def test_a_ready_daemon_that_is_stopped_is_unresponsive(home: Home) -> None:
    pid = ensure_daemon(home).pid
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state_of(pid) == "T")
    with pytest.raises(DaemonUnresponsiveError, match=f"pid {pid}") as caught:
        ensure_daemon(home, timeout=PATIENCE)
    assert caught.value.exit_code == 5
    with pytest.raises(DaemonUnresponsiveError):
        daemon_status(home)
    os.kill(pid, signal.SIGCONT)
    assert ensure_daemon(home).pid == pid


def test_a_daemon_whose_socket_was_removed_is_unresponsive_and_can_be_stopped(home: Home) -> None:
    pid = ensure_daemon(home).pid
    os.unlink(home.socket)
    for ask in (ensure_daemon, daemon_status):
        with pytest.raises(DaemonUnresponsiveError, match="nothing listens") as caught:
            ask(home)
        assert caught.value.data["pid"] == pid
    assert stop_daemon(home).how == "sigterm"


def test_a_daemon_that_listens_elsewhere_is_said_to(
    home: Home, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCAP_SOCKET_PATH", str(short_tmp / "elsewhere.sock"))
    elsewhere = Home(home.path)
    assert ensure_daemon(elsewhere).socket == str(short_tmp / "elsewhere.sock")
    with pytest.raises(DaemonUnresponsiveError, match="not on"):
        ensure_daemon(home)
    assert stop_daemon(elsewhere).how == "rpc"


def test_a_listener_that_is_not_the_holder_of_the_lock_is_foreign(home: Home) -> None:
    ensure_daemon(home)
    os.unlink(home.socket)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(home.socket)
        other.listen()
        with pytest.raises(DaemonForeignError) as caught:
            ensure_daemon(home)
        assert caught.value.data["pid"] == os.getpid()
        assert caught.value.exit_code == 6
        report = stop_daemon(home)
        assert report.how == "sigterm"
        assert f"pid {os.getpid()}" in report.steps[0]


def test_a_lock_that_a_stranger_holds_is_foreign(home: Home) -> None:
    home.create()
    with open(home.lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for ask in (ensure_daemon, daemon_status, stop_daemon):
            with pytest.raises(DaemonForeignError, match=f"pid {os.getpid()}"):
                ask(home)


def test_a_pid_that_somebody_else_bears_now_is_not_believed(home: Home) -> None:
    """The text in the lock names a living pid, but of another process: the lock is free, so the daemon is dead."""
    home.create()
    me = identify(os.getpid())
    assert me is not None
    text = {
        "pid": me.pid,
        "startTime": me.start_time,
        "bootId": me.boot_id,
        "version": "0",
        "phase": "ready",
        "phaseSince": 1.0,
        "progressMonotonic": 1.0,
        "home": home.path,
    }
    Path(home.lock).write_text(json.dumps(text))
    Path(home.pid).write_text(f"{os.getpid()}\n")
    with pytest.raises(NotRunningError):
        daemon_status(home)
    report = stop_daemon(home)
    assert report.how == "not-running"
    assert ensure_daemon(home).started


def test_a_frozen_clock_in_the_callers_process_does_no_harm(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of("kernel.store", "import time; time.sleep(600)")
    with freeze_time("2020-01-01"):
        with pytest.raises(DaemonHungError):
            ensure_daemon(home, timeout=0.5)
        stop_daemon(home, force=True)
        sabotage.undo()
        assert ensure_daemon(home).state == "ready"
        assert stop_daemon(home).how == "rpc"


def test_an_old_hang_is_told_without_waiting_the_whole_timeout_again(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of("kernel.store", "import time; time.sleep(600)")
    with pytest.raises(DaemonHungError):
        ensure_daemon(home, timeout=3.0)
    began = time.monotonic()
    with pytest.raises(DaemonHungError) as caught:
        ensure_daemon(home, timeout=3.0)
    assert time.monotonic() - began < 2.8
    assert caught.value.data["seconds"] >= 3.0


def test_a_home_that_cannot_be_is_told_without_starting_anything(short_tmp: Path) -> None:
    (short_tmp / "file").write_text("")
    with pytest.raises(HomeError):
        ensure_daemon(Home(short_tmp / "file"))
    with pytest.raises(SocketPathError):
        ensure_daemon(Home(short_tmp / ("x" * 100)))


def test_a_status_never_starts_a_daemon_and_says_what_became_of_the_last(home: Home) -> None:
    with pytest.raises(NotRunningError, match="does not exist"):
        daemon_status(home)
    assert not os.path.exists(home.path)
    pid = ensure_daemon(home).pid
    assert daemon_status(home)["daemon"]["pid"] == pid
    stop_daemon(home)
    with pytest.raises(NotRunningError) as caught:
        daemon_status(home)
    assert caught.value.data["lastPhase"] == "stopped"
    assert f"ocap --home {home.path} daemon start" in str(caught.value.remedy)


def test_a_store_with_one_missing_bundle_boots_degraded_and_is_usable(home: Home, tmp_path: Path) -> None:
    roots = []
    ensure_daemon(home)
    with Client(home.socket) as client:
        for name in ("one", "two", "three"):
            bundle = tmp_path / f"{name}.bundle"
            bundle.write_bytes(build_bundle(str(COUNTER)))
            config = {"bootstrap": "main", "vats": {"main": {"bundleSpec": bundle.as_uri()}}}
            launched = client.call("launchSubcluster", {"config": config})
            roots.append((launched["subclusterId"], launched["rootKref"]))
            assert client.call("queueMessage", [launched["rootKref"], "increment", []])["body"] == "#1"
    stop_daemon(home)
    (tmp_path / "two.bundle").unlink()
    state = ensure_daemon(home)
    assert state.state == "degraded"
    ((identifier, path, code),) = [(one["id"], one["path"], one["code"]) for one in state.quarantined]
    assert (identifier, path, code) == (roots[1][0], str(tmp_path / "two.bundle"), "bundle-missing")
    with Client(home.socket) as client:
        assert client.call("ping") == "pong"
        assert client.call("queueMessage", [roots[0][1], "increment", []])["body"] == "#2"
        for wanted in ("running", "quarantined"):
            status = client.call("getStatus", {"state": wanted})
            listed = [one["id"] for one in status["subclusters"]]
            assert listed == [name for name, _ in roots if (name == identifier) == (wanted == "quarantined")]
            assert {vat["subclusterId"] for vat in status["vats"]} == set(listed)
            assert status["daemon"]["state"] == "degraded"
        everything = client.call("getStatus")
        assert [one for one in everything["subclusters"] if one["state"] == "running"] == client.call(
            "getStatus", ["running"]
        )["subclusters"]
    assert daemon_status(home)["daemon"]["state"] == "degraded"
    assert len(daemon_status(home)["subclusters"]) == 3


def test_a_daemon_of_an_older_edition_that_runs_is_found(home: Home, sabotage: Saboteur) -> None:
    older = """
    from kernel.daemon.methods import METHODS
    METHODS["getStatus"] = METHODS["getStatus"]._replace(params=())
    """
    sabotage.before_import_of("kernel.daemon.server", older)
    started = ensure_daemon(home)
    sabotage.undo()
    with Client(home.socket) as client, pytest.raises(RpcError, match="takes 0 parameters"):
        client.call("getStatus", ["quarantined"])
    found = ensure_daemon(home)
    assert (found.pid, found.state, found.started) == (started.pid, "ready", False)


def test_progress_of_the_restore_is_shown_to_whoever_waits(home: Home, tmp_path: Path) -> None:
    ensure_daemon(home)
    bundle = tmp_path / "one.bundle"
    bundle.write_bytes(build_bundle(str(COUNTER)))
    with Client(home.socket) as client:
        config = {"bootstrap": "main", "vats": {"main": {"bundleSpec": bundle.as_uri()}}}
        client.call("launchSubcluster", {"config": config})
    stop_daemon(home)
    seen: list[tuple[str, int | None, int | None]] = []
    ensure_daemon(home, on_phase=lambda *step: seen.append(step))
    assert ("restore", 1, 1) in seen


def test_a_daemon_that_stands_still_before_its_lock_names_it_is_found_and_can_be_stopped(
    home: Home, sabotage: Saboteur
) -> None:
    # The lock is taken, and the text that says by whom is not written: it is empty, or that of a daemon long gone.
    ensure_daemon(home)
    stop_daemon(home)
    sabotage.before_import_of(
        "kernel.daemon.lock",
        """
        import os, signal
        write = os.pwrite
        os.pwrite = lambda *what: (os.kill(os.getpid(), signal.SIGSTOP), write(*what))[1]
        """,
    )
    with pytest.raises(DaemonHungError) as first:
        ensure_daemon(home, timeout=5.0)
    sabotage.undo()
    pid = first.value.data["pid"]
    with pytest.raises(DaemonHungError) as second:
        ensure_daemon(home, timeout=5.0)
    assert second.value.data["pid"] == pid
    assert second.value.data["phase"] == "lock"
    report = stop_daemon(home, force=True)
    assert (report.pid, report.how) == (pid, "sigterm")
    assert ensure_daemon(home).started
