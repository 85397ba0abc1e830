"""Stopping: asked, told, ended; what it took is reported, and nothing is left."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from sabotage import Saboteur
from watching import eventually

from kernel.daemon.client import Client
from kernel.daemon.ensure import ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.daemon.lock import inspect_lock
from kernel.daemon.log import read_records
from kernel.daemon.process import identify
from kernel.errors import DaemonHungError

PATIENCE = 20.0


def assert_nothing_is_left(home: Home, pid: int) -> None:
    assert identify(pid) is None
    assert not inspect_lock(home.lock).held
    assert not os.path.exists(home.pid)
    assert not os.path.lexists(home.socket)
    assert not [name for name in os.listdir(home.path) if name.endswith(("-wal", "-shm", ".tmp"))]


def events(home: Home) -> list[str]:
    return [record["event"] for record in read_records(home.log)]


def test_a_daemon_that_is_asked_stops_by_itself_and_leaves_nothing(home: Home) -> None:
    pid = ensure_daemon(home).pid
    report = stop_daemon(home)
    assert (report.how, report.pid) == ("rpc", pid)
    assert report.steps == ["asked it to shut down over the socket"]
    assert report.seconds < 3
    assert_nothing_is_left(home, pid)
    assert events(home)[-1] == "daemon.stopped"


def test_stopping_what_does_not_run_is_no_error(home: Home) -> None:
    report = stop_daemon(home)
    assert (report.pid, report.how, report.steps) == (None, "not-running", [])
    assert not os.path.exists(home.path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_daemon_gracefully(home: Home, number: signal.Signals) -> None:
    pid = ensure_daemon(home).pid
    os.kill(pid, number)
    eventually(lambda: not inspect_lock(home.lock).held)
    eventually(lambda: identify(pid) is None)
    assert_nothing_is_left(home, pid)
    last = list(read_records(home.log))[-1]
    assert (last["event"], last["reason"]) == ("daemon.stopped", number.name)
    info = inspect_lock(home.lock).info
    assert info is not None
    assert info.phase == "stopped"


def test_losing_the_terminal_does_not_stop_a_daemon(home: Home) -> None:
    pid = ensure_daemon(home).pid
    os.kill(pid, signal.SIGHUP)
    with Client(home.socket) as client:
        assert client.call("ping") == "pong"


def test_the_shutdown_request_is_answered_before_the_daemon_stops(home: Home) -> None:
    pid = ensure_daemon(home).pid
    with Client(home.socket) as client:
        assert client.call("shutdown") == {"status": "shutting down"}
    eventually(lambda: identify(pid) is None)
    assert_nothing_is_left(home, pid)


def test_a_stopped_process_is_woken_to_stop(home: Home) -> None:
    pid = ensure_daemon(home).pid
    os.kill(pid, signal.SIGSTOP)
    report = stop_daemon(home)
    assert report.how == "sigterm"
    assert "SIGCONT" in report.steps[-1]
    assert report.seconds < 4
    assert_nothing_is_left(home, pid)


def test_a_daemon_that_does_not_listen_to_anybody_is_ended(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of(
        "kernel.store",
        """
        import signal, time
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        time.sleep(600)
        """,
    )
    with pytest.raises(DaemonHungError) as caught:
        ensure_daemon(home, timeout=0.5)
    pid = caught.value.data["pid"]
    report = stop_daemon(home, timeout=0.6)
    assert report.how == "sigkill"
    assert report.steps[:3] == [
        "could not ask it over the socket: nothing listens there",
        f"sent SIGTERM to pid {pid}",
        f"sent SIGKILL to pid {pid}",
    ]
    assert_nothing_is_left(home, pid)


def test_force_skips_the_request(home: Home) -> None:
    pid = ensure_daemon(home).pid
    report = stop_daemon(home, force=True)
    assert report.how == "sigterm"
    assert_nothing_is_left(home, pid)


def test_what_a_killed_daemon_left_is_cleared_away_and_said(home: Home) -> None:
    pid = ensure_daemon(home).pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not inspect_lock(home.lock).held)
    report = stop_daemon(home)
    assert report.how == "not-running"
    assert report.steps == [f"removed the stale {home.pid}", f"removed the stale {home.socket}"]
    assert os.path.exists(home.lock)


def test_a_socket_on_which_somebody_else_listens_is_not_cleared_away(home: Home) -> None:
    pid = ensure_daemon(home).pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not inspect_lock(home.lock).held)
    os.unlink(home.socket)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(home.socket)
        other.listen()
        stop_daemon(home)
        assert os.path.exists(home.socket)


def test_a_start_right_after_a_stop_finds_everything_free(home: Home) -> None:
    pids = set()
    for _ in range(3):
        pids.add(ensure_daemon(home).pid)
        with Client(home.socket) as client:
            client.call("shutdown")
    pids.add(ensure_daemon(home).pid)
    assert len(pids) == 4


def test_a_daemon_whose_home_is_removed_ends_by_itself_and_leaves_a_new_home_alone(home: Home) -> None:
    pid = ensure_daemon(home).pid
    os.rename(home.path, f"{home.path}-moved")
    successor = ensure_daemon(home).pid
    eventually(lambda: identify(pid) is None)
    assert identify(successor) is not None
    with Client(home.socket) as client:
        assert client.call("ping") == "pong"


def test_a_full_disk_does_not_keep_a_daemon_from_stopping(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of(
        "kernel.daemon.methods",
        """
        import os
        def full(*arguments):
            raise OSError(28, "No space left on device")
        os.pwrite = full
        """,
    )
    pid = ensure_daemon(home).pid
    assert stop_daemon(home).how == "rpc"
    assert identify(pid) is None
    assert "daemon.lock_text_not_written" in events(home)
