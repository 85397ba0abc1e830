"""The ``ocap`` command with the daemon: starts, stops, deaths, hangs and strangers, in the words that a user sees."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from shells import OCAP, Shell, interruptible, shell_in
from watching import eventually

from kernel.daemon.lock import inspect_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shell(short_tmp: Path) -> Iterator[Shell]:
    with shell_in(short_tmp) as user:
        yield user


SLOW_RESTORE = """
import sys

if "kernel.daemon" in sys.orig_argv:
    import time
    from kernel.engine.restore import Restore

    def run(self, progress, quick=Restore.run):
        time.sleep(2)
        return quick(self, progress)

    Restore.run = run
"""


def test_on_a_terminal_a_start_shows_which_phase_it_is_in(shell: Shell) -> None:
    (shell.folder / "sitecustomize.py").write_text(SLOW_RESTORE)
    path = os.pathsep.join([str(shell.folder), shell.environment["PYTHONPATH"]])

    shown = shell.at_terminal("", "daemon", "start", PYTHONPATH=path)

    assert "the daemon is starting: restore" in shown
    assert shown.endswith("ready\n")


def test_on_a_terminal_a_start_that_stands_still_is_told(shell: Shell) -> None:
    shown = shell.at_terminal("", "daemon", "start", "--timeout", "3", OCAP_FAILPOINT="restore=hang")

    assert "Error: The daemon (pid " in shown


def test_a_quick_start_on_a_terminal_shows_only_how_it_ended(shell: Shell) -> None:
    shell.ocap("daemon", "start")

    shown = shell.at_terminal("", "daemon", "start")

    assert shown == f"already running: pid {shell.pid}\n{shell.home}/daemon.sock\nready\n"


def test_an_interrupted_start_says_so_and_that_the_daemon_may_go_on(shell: Shell) -> None:
    hanging = {**shell.environment, "OCAP_FAILPOINT": "restore=hang"}
    with interruptible([*OCAP, "daemon", "start"], hanging, shell.folder) as process:
        wait_for_phase(shell, "restore")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert err == "The daemon may go on starting; to see how it is: ocap daemon status\nInterrupted.\n"


def wait_for_phase(shell: Shell, phase: str) -> None:
    deadline = time.monotonic() + 30
    while (info := inspect_lock(str(shell.home / "daemon.lock")).info) is None or info.phase != phase:
        assert time.monotonic() < deadline, "the daemon does not get there"
        time.sleep(0.01)


def test_starting_twice_is_starting_once(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    pid = shell.pid

    again = shell.ocap("daemon", "start")
    assert again.stderr == f"already running: pid {pid}\nready\n"
    state = shell.json("daemon", "start")
    assert (state["pid"], state["started"], state["state"]) == (pid, False, "ready")


def test_a_vat_may_take_as_long_as_the_daemon_was_told(shell: Shell) -> None:
    (shell.folder / "slow.py").write_text(
        "def build_root_object(vat_powers, parameters, baggage):\n    while True:\n        pass\n"
    )
    shell.ocap("bundle", "slow.py")
    shell.ocap("daemon", "start", "--init-timeout", "0.5", "--delivery-timeout=7", "--log-level", "error")

    failed = shell.ocap("subcluster", "launch", "slow.bundle", code=1)

    assert "0.5 s" in failed.stderr
    assert shell.ocap("daemon", "logs", "--level", "info").stdout == ""


def test_restart_is_a_new_daemon_with_the_old_state(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    root = shell.launch("c1.bundle")
    shell.send(root, "increment")
    pid = shell.pid

    shell.ocap("daemon", "restart")

    assert shell.pid != pid
    assert shell.send(root, "increment") == "2"


def test_stop_says_what_it_did(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    pid = shell.pid

    stopped = shell.ocap("daemon", "stop")
    assert stopped.stderr.startswith("asked it to shut down over the socket\nstopped: pid ")
    shell.ocap("daemon", "start")
    report = shell.json("daemon", "stop", "--force")
    assert report["how"] in ("sigterm", "sigkill")
    assert report["pid"] != pid
    assert shell.json("daemon", "stop")["how"] == "not-running"


def test_a_start_that_dies_tells_phase_cause_and_log_and_4(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    shell.ocap("daemon", "stop")
    (shell.home / "kernel.sqlite").write_bytes(b"not a database" * 100)
    began = time.monotonic()

    died = shell.ocap("daemon", "start", code=4)

    assert time.monotonic() - began < 10
    first, *rest = died.stderr.splitlines()
    assert first.startswith("Error: The daemon died during its start, in phase store: ")
    assert f"{shell.home}/kernel.sqlite" in first
    assert "  cause: StoreCorruptError (code store-corrupt)" in rest
    assert sum("daemon.starting" in line for line in rest) == 1
    assert rest[-1].startswith("Next: ")
    record = shell.json("daemon", "start", code=4)["error"]
    assert (record["code"], record["phase"], record["error"]["code"]) == ("daemon-died", "store", "store-corrupt")


def test_a_start_that_was_killed_is_told_and_the_next_one_succeeds(shell: Shell) -> None:
    died = shell.ocap("daemon", "start", code=4, OCAP_FAILPOINT="restore=kill")

    assert "SIGKILL" in died.stderr
    assert "restore" in died.stderr
    assert "died in phase restore" in shell.ocap("daemon", "status", code=3).stderr
    assert shell.ocap("daemon", "start").stderr == "ready\n"


def test_a_start_that_hangs_is_told_by_every_command_and_can_be_stopped(shell: Shell) -> None:
    hung = shell.ocap("daemon", "start", "--timeout", "3", code=5, OCAP_FAILPOINT="restore=hang")
    assert "hangs in phase restore" in hung.stderr
    assert f"ocap --home {shell.home} daemon stop --force" in hung.stderr

    status = shell.json("daemon", "status", code=5)
    assert (status["state"], status["error"]["phase"]) == ("hung", "restore")
    assert "hangs in phase restore" in shell.ocap("subcluster", "list", code=5).stderr
    assert [finding["code"] for finding in examined(shell)["findings"]] == ["daemon-hung"]

    shell.ocap("daemon", "stop", "--force")
    assert shell.ocap("daemon", "start").stderr == "ready\n"


def examined(shell: Shell) -> Any:
    """Give the report of a doctor who has findings: a result, and no error."""
    return json.loads(shell.ocap("doctor", "--json", code=1, said="").stdout)


def test_a_ready_daemon_that_is_stopped_is_unresponsive(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    os.kill(shell.pid, signal.SIGSTOP)

    assert "has not answered" in shell.ocap("subcluster", "list", code=5).stderr
    assert shell.json("daemon", "status", code=5)["state"] == "unresponsive"


@pytest.mark.parametrize("manners", ["silent", "rude"])
@pytest.mark.parametrize("words", [["daemon", "start"], ["daemon", "status"], ["subcluster", "list"]])
def test_somebody_else_on_the_socket_is_named_and_left_alone(shell: Shell, words: list[str], manners: str) -> None:
    shell.home.mkdir(mode=0o700)
    path = shell.home / "daemon.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        stranger = subprocess.Popen([sys.executable, "-c", STRANGER, manners], stdin=listener.fileno())
        try:
            failed = shell.ocap(*words, code=6)
        finally:
            stranger.kill()
            stranger.wait()

    assert "belongs to pid" in failed.stderr
    assert "(code daemon-foreign)" in failed.stderr
    assert path.is_socket()


STRANGER = """\
import socket, sys
listener = socket.socket(fileno=0)
kept = []
while True:
    kept.append(listener.accept()[0])
    if sys.argv[1] == "rude":
        kept.pop().close()
"""


@pytest.mark.parametrize("found", ["foreign", "newer"])
def test_a_store_of_somebody_else_or_of_a_newer_version_is_6_and_not_touched(shell: Shell, found: str) -> None:
    shell.ocap("daemon", "start")
    shell.ocap("daemon", "stop")
    store = shell.home / "kernel.sqlite"
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA application_id = 7" if found == "foreign" else "PRAGMA user_version = 999")
    connection.commit()
    connection.close()
    before = store.read_bytes()

    assert str(store) in shell.ocap("daemon", "start", code=6).stderr
    assert str(store) in shell.ocap("daemon", "purge", "--yes", code=6).stderr
    assert store.read_bytes() == before


def test_purge_stops_the_daemon_and_deletes_only_what_is_the_kernels(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    shell.ocap("subcluster", "launch", "c1.bundle", "--pin")
    (shell.home / "mine.txt").write_text("mine")
    assert len(os.listdir(shell.home / "bundles")) == 1

    assert "daemon purge --yes" in shell.ocap("daemon", "purge", code=2).stderr
    assert shell.json("daemon", "status")["state"] == "ready"

    purged = shell.ocap("daemon", "purge", "--yes")
    assert f"deleted {shell.home}/kernel.sqlite\n" in purged.stdout
    assert "stopped: pid" in purged.stderr
    assert sorted(os.listdir(shell.home)) == ["daemon.lock", "mine.txt"]
    assert shell.ocap("daemon", "start").stderr == "ready\n"
    assert shell.json("subcluster", "list") == []


def test_the_doctor_finds_what_a_start_would_and_changes_nothing(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    shell.launch("c1.bundle")
    assert shell.ocap("doctor").stdout.startswith("healthy: ")
    shell.ocap("daemon", "stop")
    os.remove(shell.folder / "c1.bundle")
    before = {path.name: path.read_bytes() for path in shell.home.iterdir()}

    report = examined(shell)

    assert report["state"] == "degraded"
    assert report["daemon"] == "not-running"
    (finding,) = report["findings"]
    assert (finding["subclusterId"], finding["code"]) == ("s1", "bundle-missing")
    assert {path.name: path.read_bytes() for path in shell.home.iterdir()} == before


def test_the_doctor_tells_what_a_killed_daemon_left_behind(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    os.kill(shell.pid, signal.SIGKILL)
    wait_until_not_running(shell)

    stale = [Path(item["path"]).name for item in shell.json("doctor")["stale"]]

    assert stale == ["daemon.pid", "daemon.sock"]


def wait_until_not_running(shell: Shell) -> None:
    eventually(lambda: not inspect_lock(str(shell.home / "daemon.lock")).held, "the daemon goes on")


def test_the_log_tells_of_a_quarantine_in_a_warning(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    shell.launch("c1.bundle")
    shell.ocap("daemon", "stop")
    os.remove(shell.folder / "c1.bundle")
    shell.ocap("daemon", "start")

    (line,) = shell.ocap("daemon", "logs", "--level", "warning").stdout.splitlines()

    assert "subcluster.quarantined" in line
    assert "subclusterId=s1" in line
    assert f"path={shell.folder}/c1.bundle" in line


def test_a_daemon_is_started_from_a_folder_with_modules_named_like_ours(shell: Shell) -> None:
    for name in ("json", "kernel", "signal", "sqlite3"):
        (shell.folder / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    script = "import sys; sys.path.pop(0); from kernel.cli import main; sys.exit(main(['daemon', 'start']))"

    done = subprocess.run(
        [sys.executable, "-c", script],
        env=shell.environment,
        cwd=shell.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "ready\n")
    for name in ("json", "kernel", "signal", "sqlite3"):
        os.remove(shell.folder / f"{name}.py")
