"""The ``ocap`` command with a real daemon: what a user does, in the words that a user sees."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kernel
from kernel.daemon.lock import inspect_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(kernel.__file__).parent.parent

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
            [sys.executable, "-m", "kernel.cli", *words],
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

    @property
    def pid(self) -> int:
        return int((self.home / "daemon.pid").read_text())


@pytest.fixture
def shell(short_tmp: Path) -> Iterator[Shell]:
    user = Shell(short_tmp)
    (short_tmp / "counter.py").write_text(COUNTER)
    user.ocap("bundle", "counter.py", "-o", "c1.bundle")
    yield user
    user.ocap("daemon", "stop", "--force")


def test_a_lost_bundle_costs_its_own_subcluster_and_nothing_else(shell: Shell) -> None:
    for name in ("c2.bundle", "c3.bundle"):
        shell.ocap("bundle", "counter.py", "-o", name)

    started = shell.ocap("daemon", "start")
    assert started.stdout == f"{shell.home}/daemon.sock\n"
    assert started.stderr == "ready\n"

    first = shell.json("subcluster", "launch", "c1.bundle")
    assert first["subclusterId"] == "s1"
    one, two, three = first["rootKref"], shell.launch("c2.bundle"), shell.launch("c3.bundle")
    assert [shell.send(one, "increment") for _ in range(2)] == ["1", "2"]
    assert shell.send(two, "increment", "10") == "10"
    shell.ocap("daemon", "stop")

    os.rename(shell.folder / "c2.bundle", shell.folder / "away")
    degraded = shell.ocap("daemon", "start")
    lost = f"{shell.folder}/c2.bundle"
    assert degraded.stderr == f"ready, degraded: 1 subcluster quarantined: s2 (bundle-missing: {lost})\n"

    status = shell.json("daemon", "status")
    assert status["state"] == status["daemon"]["state"] == "degraded"
    (quarantined,) = [record for record in status["subclusters"] if record["state"] == "quarantined"]
    assert quarantined["id"] == "s2"
    assert quarantined["quarantine"]["code"] == "bundle-missing"
    assert quarantined["quarantine"]["path"] == lost
    assert lost in quarantined["quarantine"]["message"]

    assert shell.send(one, "increment") == "3"
    assert shell.send(three, "increment") == "1"
    refused = shell.ocap("daemon", "queueMessage", two, "increment", code=1)
    assert "s2" in refused.stderr
    assert lost in refused.stderr
    assert "(code subcluster-quarantined)" in refused.stderr

    assert "(code repair-failed)" in shell.ocap("subcluster", "repair", "s2", code=1).stderr
    os.rename(shell.folder / "away", shell.folder / "c2.bundle")
    assert shell.ocap("subcluster", "repair", "s2").stdout == "s2: running\n"
    assert shell.send(two, "increment") == "11"
    assert shell.json("daemon", "status")["state"] == "ready"


def test_a_person_reads_what_is_quarantined_why_and_what_to_do(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    root = shell.launch("c1.bundle")
    shell.ocap("daemon", "stop")
    lost = shell.folder / "c1.bundle"
    lost.unlink()
    shell.ocap("daemon", "start")

    status = shell.ocap("daemon", "status")
    assert status.stdout.splitlines()[0].startswith(f"degraded: pid {shell.pid}, version {kernel.__version__}, since ")
    assert "subclusters: 0 running, 1 quarantined" in status.stdout
    assert f"s1           bundle-missing: {lost}" in status.stdout
    assert status.stderr == "Next: remove the cause, then: ocap subcluster repair s1\n"

    shown = shell.ocap("subcluster", "show", "s1")
    assert shown.stdout.startswith(
        f"s1: quarantined\nroot object: {root}\n\nVAT   ID  BUNDLE\nmain  v1  {lost.as_uri()}\n"
    )
    assert f"{lost} does not exist (code bundle-missing)\n  vat: main\n" in shown.stdout
    assert shown.stderr.startswith("Next: ")
    assert "Or delete it for good: ocap subcluster prune s1\n" in shown.stderr

    examined = shell.ocap("doctor", code=1, said="1 finding; nothing was changed\n")
    assert examined.stdout.startswith("degraded: a start would succeed, and leave out what is wrong\n")
    assert f"\ns1 would be quarantined (bundle-missing: {lost})\n" in examined.stdout
    assert "subclusters: 0 of 1 would run\n" in examined.stdout


def test_a_subcluster_is_terminated_for_good(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    root = shell.launch("c1.bundle")

    assert shell.ocap("subcluster", "terminate", "s1").stdout == "terminated s1\n"

    assert shell.json("subcluster", "list") == []
    assert shell.ocap("subcluster", "list").stderr == "no subclusters\n"
    for words in (["subcluster", "terminate", "s1"], ["subcluster", "show", "s1"], ["subcluster", "repair", "s1"]):
        assert "there is no subcluster s1 (code not-found)" in shell.ocap(*words, code=1).stderr
    assert shell.ocap("daemon", "queueMessage", root, "increment", code=1).stderr.startswith("Error: ")


def test_a_configuration_is_launched_with_its_parameters(shell: Shell) -> None:
    (shell.folder / "greeter.py").write_text(GREETER)
    shell.ocap("bundle", "greeter.py")
    vat = {"bundleSpec": "greeter.bundle", "parameters": {"greeting": "Good morning"}}
    (shell.folder / "cluster.json").write_text(json.dumps({"bootstrap": "g", "vats": {"g": vat}}))
    shell.ocap("daemon", "start")

    launched = shell.ocap("subcluster", "launch", "cluster.json")
    assert launched.stdout.splitlines()[1] == 'bootstrap answered "Good morning, world"'
    given = shell.ocap("subcluster", "launch", "greeter.bundle", "--parameters", '{"greeting": "Hi"}')
    assert given.stdout.splitlines()[1] == 'bootstrap answered "Hi, world"'


GREETER = """\
from kernel.vat import Exo


class Greeter(Exo):
    def __init__(self, greeting):
        self.greeting = greeting

    def bootstrap(self, vats, services):
        return f"{self.greeting}, world"


def build_root_object(vat_powers, parameters, baggage):
    return Greeter(parameters["greeting"])
"""


def test_a_repair_can_point_a_vat_to_another_bundle(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    root = shell.launch("c1.bundle")
    shell.send(root, "increment")
    shell.ocap("daemon", "stop")
    os.rename(shell.folder / "c1.bundle", shell.folder / "moved.bundle")
    shell.ocap("daemon", "start")

    repaired = shell.json("subcluster", "repair", "s1", "--bundle", "main=moved.bundle")

    assert repaired["state"] == "running"
    assert shell.send(root, "increment") == "2"
    assert (
        shell.json("subcluster", "show", "s1")["config"]["vats"]["main"]["bundleSpec"]
        == (shell.folder / "moved.bundle").as_uri()
    )


def test_pruning_needs_a_yes_and_says_what_it_deleted(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    shell.launch("c1.bundle")
    assert "not-quarantined" in shell.ocap("subcluster", "prune", "s1", "--yes", code=1).stderr
    shell.ocap("daemon", "stop")
    os.remove(shell.folder / "c1.bundle")
    shell.ocap("daemon", "start")

    assert "--yes" in shell.ocap("subcluster", "prune", "--quarantined", code=2).stderr
    assert [record["id"] for record in shell.json("subcluster", "list")] == ["s1"]

    pruned = shell.ocap("subcluster", "prune", "--quarantined", "--yes")
    assert pruned.stdout.startswith("pruned s1: 1 vat, ")
    assert shell.json("subcluster", "list") == []
    assert "nothing was deleted" in shell.ocap("subcluster", "prune", "--quarantined", "--yes").stderr


def test_on_a_terminal_pruning_asks(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    shell.launch("c1.bundle")
    shell.ocap("daemon", "stop")
    os.remove(shell.folder / "c1.bundle")
    shell.ocap("daemon", "start")

    assert "nothing was deleted" in at_terminal(shell, b"no\n", "subcluster", "prune", "s1")
    assert [record["id"] for record in shell.json("subcluster", "list")] == ["s1"]
    shown = at_terminal(shell, b"y\n", "subcluster", "prune", "s1")
    assert "s1: quarantined (bundle-missing: " in shown
    assert "pruned s1: 1 vat" in shown
    assert shell.json("subcluster", "list") == []


def test_tables_are_drawn_on_a_terminal_and_plain_in_a_pipe(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    root = shell.launch("c1.bundle")

    assert shell.ocap("subcluster", "list").stdout == (
        f"ID  STATE    ROOT  VATS       CAUSE\ns1  running  {root}   main (v1)\n"
    )
    drawn = at_terminal(shell, b"", "subcluster", "list")
    assert "─" in drawn
    assert "main (v1)" in drawn


def test_on_a_terminal_a_start_shows_which_phase_it_is_in(shell: Shell) -> None:
    shown = at_terminal(shell, b"", "daemon", "start", "--timeout", "3", OCAP_FAILPOINT="restore=hang")

    assert "the daemon is starting: restore" in shown
    assert "Error: The daemon (pid " in shown


def test_a_quick_start_on_a_terminal_shows_only_how_it_ended(shell: Shell) -> None:
    shell.ocap("daemon", "start")

    shown = at_terminal(shell, b"", "daemon", "start")

    assert shown == f"already running: pid {shell.pid}\n{shell.home}/daemon.sock\nready\n"


def test_an_interrupted_start_says_so_and_that_the_daemon_may_go_on(shell: Shell) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kernel.cli", "daemon", "start"],
        env={**shell.environment, "OCAP_FAILPOINT": "restore=hang"},
        cwd=shell.folder,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
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


def at_terminal(shell: Shell, typed: bytes, *words: str, **more: str) -> str:
    """Run the command on a terminal, type, and give what it showed."""
    leader, follower = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "kernel.cli", *words],
            env={**shell.environment, "TERM": "xterm", "COLUMNS": "100", **more},
            cwd=shell.folder,
            stdin=follower,
            stdout=follower,
            stderr=follower,
        ) as process:
            os.close(follower)
            os.write(leader, typed)
            shown = b""
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if not select.select([leader], [], [], 0.05)[0]:
                    if process.poll() is not None:
                        break
                    continue
                try:
                    shown += os.read(leader, 65536)
                except OSError:  # what Linux says when the last process has closed the terminal
                    break
    finally:
        os.close(leader)
    return shown.decode().replace("\r\n", "\n")


def test_answers_are_plain_values_where_they_can_be_and_capdata_where_they_must(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    root = shell.launch("c1.bundle")

    assert shell.send(root, "echo", "hello") == '"hello"'
    assert shell.send(root, "echo", '{"a": [1, null, "ä"]}') == '{"a":[1,null,"ä"]}'
    assert shell.send(root, "echo", "-1.5") == "-1.5"
    assert shell.send(root, "echo", "null") == "null"
    assert json.loads(shell.send(root, "me")) == {"body": '#"$0.Alleged: Counter"', "slots": [root]}
    assert shell.json("daemon", "queueMessage", root, "echo", "1") == {"body": "#1", "slots": []}


def test_the_exception_of_a_vat_keeps_its_message_word_for_word(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    root = shell.launch("c1.bundle")

    failed = shell.ocap("daemon", "queueMessage", root, "fail", "Out of widgets.", code=1)

    assert failed.stderr.splitlines()[0] == "Error: Out of widgets. (code rejected)"


def test_exec_and_queue_message_start_the_daemon(shell: Shell) -> None:
    params = {"config": {"bootstrap": "main", "vats": {"main": {"bundleSpec": "c1.bundle"}}}}
    launched = shell.ocap("daemon", "exec", "launchSubcluster", json.dumps(params))

    assert launched.stderr.startswith("started the daemon (pid ")
    root = json.loads(launched.stdout)["rootKref"]
    shell.ocap("daemon", "stop")
    counted = shell.ocap("daemon", "queueMessage", root, "increment")
    assert counted.stdout == "1\n"
    assert counted.stderr.startswith("started the daemon (pid ")
    assert counted.stderr.endswith("): ready\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nope"], "'nope'"),
        (["pingVat", '{"id": 1}'], "'id' of pingVat"),
        (["pingVat", '["v99"]'], "v99"),
        (["launchSubcluster", '{"config": {"bootstrap": "a", "vats": {"a": {"bundelSpec": "x"}}}}'], "bundelSpec"),
    ],
)
def test_what_the_daemon_refuses_is_told_by_name(shell: Shell, words: list[str], says: str) -> None:
    shell.ocap("daemon", "start")

    assert says in shell.ocap("daemon", "exec", *words, code=1).stderr
    record = json.loads(shell.ocap("daemon", "exec", *words, "--json", code=1).stdout)
    assert says in record["error"]["message"]


def test_a_launch_that_fails_names_the_file_and_leaves_nothing(shell: Shell) -> None:
    shell.ocap("daemon", "start")

    failed = shell.ocap("subcluster", "launch", "nothing.bundle", code=1)

    assert f"{shell.folder}/nothing.bundle" in failed.stderr
    assert shell.json("subcluster", "list") == []


def test_starting_twice_is_starting_once(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    pid = shell.pid

    again = shell.ocap("daemon", "start")
    assert again.stderr == f"already running: pid {pid}\nready\n"
    state = shell.json("daemon", "start")
    assert (state["pid"], state["started"], state["state"]) == (pid, False, "ready")


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
    deadline = time.monotonic() + 10
    while inspect_lock(str(shell.home / "daemon.lock")).held:
        assert time.monotonic() < deadline, "the daemon goes on"
        time.sleep(0.01)


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
