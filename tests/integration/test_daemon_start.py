"""A daemon's start: its phases, what it leaves behind when it fails, and that the reason is told at once and once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sabotage import Saboteur
from watching import descriptors, eventually

from kernel.daemon.client import Client
from kernel.daemon.ensure import daemon_status, ensure_daemon, stop_daemon
from kernel.daemon.home import Home
from kernel.daemon.lock import inspect_lock
from kernel.daemon.log import read_records
from kernel.daemon.process import identify
from kernel.errors import DaemonDiedError, DaemonForeignError, OcapError

PHASES = ["lock", "log", "store", "identity", "restore", "io", "listen", "ready"]
PATIENCE = 20.0


def records(home: Home, *, level: str | None = None, event: str | None = None) -> list[dict[str, Any]]:
    return [
        record
        for record in read_records(home.log)
        if level in (None, record["level"]) and event in (None, record["event"])
    ]


def failed_start(home: Home, kind: type[OcapError] = DaemonDiedError) -> OcapError:
    """Start a daemon that must fail, and check what every failed start has in common."""
    with pytest.raises(kind) as caught:
        ensure_daemon(home, timeout=PATIENCE)
    assert len(records(home, level="fatal")) == 1
    assert not inspect_lock(home.lock).held
    assert not os.path.exists(home.pid)
    assert not os.path.lexists(home.socket)
    assert identify(caught.value.data["pid"]) is None
    assert caught.value.remedy
    return caught.value


def test_the_phases_come_in_order_and_end_with_ready(home: Home) -> None:
    seen: list[str] = []
    state = ensure_daemon(home, on_phase=lambda phase, _done, _total: seen.append(phase))
    assert list(dict.fromkeys(seen)) == PHASES
    assert state.state == "ready"
    assert state.started
    assert os.path.exists(state.socket)
    assert Path(home.pid).read_text() == f"{state.pid}\n"
    info = inspect_lock(home.lock).info
    assert info is not None
    assert (info.pid, info.phase) == (state.pid, "ready")


def test_a_daemon_stands_on_its_own(home: Home) -> None:
    pid = ensure_daemon(home).pid
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    targets = descriptors(pid)
    assert targets[0] == targets[1] == "/dev/null"
    assert targets[2] == home.log
    assert not [target for fd, target in targets.items() if target.startswith("pipe:")]
    for name in os.listdir(home.path):
        assert os.lstat(os.path.join(home.path, name)).st_mode & 0o077 == 0, name


def test_a_descriptor_that_a_careless_caller_leaves_open_is_not_kept(home: Home) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    pid = ensure_daemon(home).pid
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert identify(pid) is not None


def test_the_daemon_is_this_package_wherever_the_caller_stands(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kernel", "json"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a stranger was imported')")
    monkeypatch.chdir(tmp_path)
    assert ensure_daemon(home).state == "ready"


@pytest.mark.parametrize("phase", PHASES)
def test_a_daemon_killed_in_any_phase_is_reported_once_and_the_next_start_recovers(
    home: Home, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCAP_FAILPOINT", f"{phase}=kill")
    began = time.monotonic()
    with pytest.raises(DaemonDiedError) as caught:
        ensure_daemon(home)
    assert time.monotonic() - began < 5
    assert caught.value.data["signal"] == "SIGKILL"
    assert caught.value.data["phase"] == phase
    assert "SIGKILL" in caught.value.message
    assert phase in caught.value.message
    (fatal,) = records(home, level="fatal")
    assert (fatal["reporter"], fatal["signal"], fatal["phase"]) == ("client", "SIGKILL", phase)
    assert fatal["pid"] == caught.value.data["pid"]
    monkeypatch.delenv("OCAP_FAILPOINT")
    assert ensure_daemon(home).state == "ready"
    (recovered,) = records(home, event="daemon.recovered")
    assert (recovered["previousPid"], recovered["previousPhase"]) == (fatal["pid"], phase)
    assert len(records(home, level="fatal")) == 1


def test_a_death_that_nobody_saw_is_reported_by_the_next_caller(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.create()
    command = [sys.executable, "-m", "kernel.daemon", "--home", home.path]
    done = subprocess.run(command, env={**os.environ, "OCAP_FAILPOINT": "restore=kill"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert records(home, level="fatal") == []
    ensure_daemon(home)
    (fatal,) = records(home, level="fatal")
    assert fatal["phase"] == "restore"


def test_a_damaged_store_is_told_with_its_path_in_the_error_and_in_the_log(home: Home) -> None:
    home.create()
    Path(home.store).write_bytes(b"this is not a store at all" * 100)
    error = failed_start(home)
    assert home.store in error.message
    assert error.data["phase"] == "store"
    assert error.data["exitStatus"] == 1
    assert error.data["error"]["code"] == "store-corrupt"
    (fatal,) = records(home, level="fatal")
    assert home.store in fatal["error"]["message"]
    assert "Traceback" in fatal["error"]["traceback"]
    assert any("fatal" in line for line in error.data["logTail"])


def test_a_store_of_another_program_is_foreign_and_not_touched(home: Home) -> None:
    home.create()
    connection = sqlite3.connect(home.store)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = Path(home.store).read_bytes()
    error = failed_start(home, DaemonForeignError)
    assert home.store in error.message
    assert error.data["error"]["code"] == "store-foreign"
    assert Path(home.store).read_bytes() == before
    assert error.exit_code == 6


def test_a_broken_import_of_the_daemon_itself_is_a_fatal_like_any_other(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fcntl.py").write_text("raise ImportError('no such thing as fcntl here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    error = failed_start(home)
    assert "no such thing as fcntl here" in error.message
    assert error.data["phase"] == "spawn"


def test_a_broken_import_later_in_the_start_names_its_phase(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of("kernel.store", "raise ImportError('no such thing as sqlite here')")
    error = failed_start(home)
    assert "no such thing as sqlite here" in error.message
    assert error.data["phase"] == "store"
    assert error.data["error"]["type"] == "ImportError"


def test_an_interpreter_that_does_not_even_start_is_reported_with_its_own_words(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'cannot find the standard library' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    error = failed_start(home)
    assert "cannot find the standard library" in error.message
    assert error.data["exitStatus"] == 3
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(DaemonDiedError, match="No such file"):
        ensure_daemon(home)


def test_a_crash_in_c_code_is_reported_with_the_interpreters_last_words(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of("kernel.engine", "import faulthandler; faulthandler._sigsegv()")
    error = failed_start_by_signal(home)
    assert error.data["signal"] == "SIGSEGV"
    assert error.data["phase"] == "identity"
    assert "Segmentation fault" in error.data["error"]["crash"]


def failed_start_by_signal(home: Home) -> OcapError:
    """Start a daemon that a signal ends: it leaves its pid file, for the next start to clear."""
    with pytest.raises(DaemonDiedError) as caught:
        ensure_daemon(home)
    assert len(records(home, level="fatal")) == 1
    assert not inspect_lock(home.lock).held
    return caught.value


def test_an_exception_without_words_still_has_its_type(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of("kernel.store", "raise type('Odd', (Exception,), {})(object())")
    error = failed_start(home)
    assert "Odd" in error.message
    assert "object at 0x" not in json.dumps(records(home, level="fatal")[0]["error"]["message"])


@pytest.mark.parametrize("how", ["exit", "interrupt"])
def test_a_start_that_is_left_by_another_door_is_a_fatal_too(home: Home, sabotage: Saboteur, how: str) -> None:
    raised = {"exit": "raise SystemExit(0)", "interrupt": "raise KeyboardInterrupt"}[how]
    sabotage.before_import_of("kernel.store", raised)
    error = failed_start(home)
    assert error.data["exitStatus"] == 1


def test_a_log_that_cannot_be_written_is_told_to_the_caller_with_the_reason(home: Home) -> None:
    home.create()
    os.mkdir(home.log)
    with pytest.raises(DaemonDiedError) as caught:
        ensure_daemon(home)
    assert caught.value.data["phase"] == "log"
    assert caught.value.data["error"]["code"] == "log-failed"
    assert home.log in caught.value.message
    assert home.log in caught.value.data["notLogged"]
    assert not inspect_lock(home.lock).held


def test_a_failure_in_the_logs_own_setup_is_in_the_log_nevertheless(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of(
        "kernel.daemon.main",
        """
        import kernel.daemon.log as log
        def broken(self):
            raise RuntimeError("the log's set-up failed")
        log.DaemonLog.open = broken
        """,
    )
    error = failed_start(home)
    assert error.data["phase"] == "log"
    assert "the log's set-up failed" in records(home, level="fatal")[0]["error"]["message"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it_and_is_recorded_as_such(
    home: Home, sabotage: Saboteur, number: signal.Signals
) -> None:
    sabotage.before_import_of(
        "kernel.engine", f"import os; os.kill(os.getpid(), {int(number)}); import time; time.sleep(60)"
    )
    error = failed_start(home)
    assert error.data["error"]["code"] == "start-interrupted"
    assert number.name in error.message
    assert error.data["exitStatus"] == 128 + number


def test_a_cause_is_told_at_once_though_the_process_does_not_end(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of(
        "kernel.store",
        """
        import time
        import kernel.daemon.main as main
        main.Daemon._close_kernel = lambda self: time.sleep(600)
        raise RuntimeError("the cause")
        """,
    )
    with pytest.raises(DaemonDiedError, match="the cause") as caught:
        ensure_daemon(home, timeout=60)
    assert caught.value.data["stillRunning"]
    assert "daemon stop --force" in str(caught.value.remedy)
    assert stop_daemon(home, force=True).how == "sigkill"


def test_options_and_failpoints_that_are_wrong_are_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DaemonDiedError, match="--init-timeout"):
        ensure_daemon(home, options=["--init-timeout", "soon"])
    monkeypatch.setenv("OCAP_FAILPOINT", "restore=explode")
    with pytest.raises(DaemonDiedError, match="restore=explode"):
        ensure_daemon(home)


def test_a_start_where_confinement_is_missing_but_required_is_refused(home: Home, sabotage: Saboteur) -> None:
    sabotage.before_import_of(
        "kernel.engine",
        """
        import kernel.workers.pool as pool
        from kernel.workers.types import Confinement
        pool.expected_confinement = lambda: Confinement("none", "no seccomp here", "Get some.")
        """,
    )
    with pytest.raises(DaemonDiedError, match="no seccomp here") as caught:
        ensure_daemon(home, options=["--require-confinement"])
    assert caught.value.data["error"]["code"] == "confinement-unavailable"
    assert ensure_daemon(home).state == "ready"
    assert records(home, event="daemon.unconfined")[0]["reason"] == "no seccomp here"
    assert daemon_status(home)["daemon"]["confinement"]["state"] == "none"


def test_somebody_elses_listener_is_refused_by_name_and_left_alone(home: Home) -> None:
    home.create()
    program = (
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen();"
        "print('listening', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, home.socket], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DaemonForeignError) as caught:
            ensure_daemon(home)
        assert caught.value.data["pid"] == other.pid
        assert home.socket in caught.value.message
        with pytest.raises(DaemonForeignError):
            daemon_status(home)
        assert other.poll() is None
        assert os.path.exists(home.socket)
        other.kill()
    assert ensure_daemon(home).state == "ready"


def test_garbage_is_looked_for_once_a_daemon_is_ready(home: Home, sabotage: Saboteur, short_tmp: Path) -> None:
    note = short_tmp / "note"
    note_it = f"import gc; open({str(note)!r}, 'a').write(f'{{gc.isenabled()}} ')"
    sabotage.before_import_of("kernel.engine", note_it)  # in the middle of its start
    sabotage.before_import_of("kernel.daemon.methods", note_it)  # at the first request

    assert ensure_daemon(home).state == "ready"

    assert note.read_text() == "False True "


def test_a_person_who_starts_it_in_a_terminal_is_told_in_words(home: Home) -> None:
    home.create()
    Path(home.store).write_bytes(b"no store" * 1000)
    command = [sys.executable, "-m", "kernel.daemon", "--home", home.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert home.store in done.stderr
    assert "Traceback" not in done.stderr
    assert len(records(home, level="fatal")) == 1


def test_a_daemon_started_without_standard_descriptors_keeps_its_lock(home: Home) -> None:
    command = f"exec {sys.executable} -m kernel.daemon --home {home.path} 0<&- 1>&- 2>&-"
    with subprocess.Popen(["sh", "-c", command]) as process:
        eventually(lambda: os.path.exists(home.socket))
        state = ensure_daemon(home)
        assert (state.pid, state.started) == (process.pid, False)
        assert os.readlink(f"/proc/{process.pid}/fd/2") == home.log
        assert stop_daemon(home).how == "rpc"
    assert process.returncode == 0


def test_a_second_daemon_is_refused_and_the_log_of_the_first_is_left_alone(home: Home) -> None:
    state = ensure_daemon(home)
    before = Path(home.log).read_bytes()
    command = [sys.executable, "-m", "kernel.daemon", "--home", home.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"pid {state.pid}" in done.stderr
    assert "(code daemon-running" in done.stderr
    assert Path(home.log).read_bytes() == before
    with Client(home.socket) as client:
        assert client.call("ping") == "pong"
