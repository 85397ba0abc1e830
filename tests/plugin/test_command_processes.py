"""Daemons detach in every way there is: all that a start left behind is found and ended, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from watching import eventually

from pytest_ocap import processes
from pytest_ocap.clients import RUNNING
from pytest_ocap.driver import Interrupt
from pytest_ocap.drivers.command import CommandDriver, driver_from
from pytest_ocap.listeners import listener
from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.verdict import Finding

if TYPE_CHECKING:
    pass

ROOT = Path(__file__).parents[2]
LIFECYCLE = ROOT / "examples" / "daemons" / "lifecycle"

WAYS = {
    "child": "spawn(sleep)",
    "new session": "spawn(sleep, start_new_session=True)",
    "second fork": "fork(lambda: (os.setsid(), fork(lambda: exec(sleep))))",
    "emptied environment": "fork(lambda: (os.setsid(), os.chdir('/'), fork(lambda: exec(sleep, {}))))",
    "supervisor": "fork(lambda: (os.setsid(), supervise(lambda: fork(lambda: exec(sleep, {})))))",
    "three of them": "[fork(lambda: (os.setsid(), fork(lambda: exec(sleep, {})))) for _ in range(3)]",
}

PROGRAM = """
import os, subprocess, sys, time
sleep = ["/bin/sleep", "600"]
spawn = subprocess.Popen
def exec(words, env=None): os.execve(words[0], words, os.environ if env is None else env)
def fork(child):
    if os.fork() == 0:
        child()
        os._exit(0)
def supervise(begin):
    while True:
        begin()
        os.wait()
{way}
print("ready")
sys.stdout.flush()
os._exit(0)
"""


def described(folder: Path, **table: Any) -> CommandDriver:
    """Make a driver; ``start`` may be the text of a Python program."""
    if isinstance(table.get("start"), str):
        (folder / "daemon.py").write_text(table["start"])
        table["start"] = [sys.executable, "-S", "daemon.py", "{home}"]
    table = {"env": {"PLACE": "{home}"}, "stop": ["true"], "cli": {"ping": ["true"]}, "start_timeout": 20.0} | table
    return driver_from(table, folder / "pyproject.toml")


def sleepers(home: Path) -> list[psutil.Process]:
    return [process for process in processes.using(home) if name_of(process) == "sleep"]


def name_of(process: psutil.Process) -> str | None:
    """Give a process's name; None for one that has ended since it was found."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return None


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
@pytest.mark.parametrize("way", WAYS)
def test_what_a_start_leaves_behind_is_ended_and_nothing_else(short_tmp: Path, way: str) -> None:
    driver = described(short_tmp, start=PROGRAM.replace("{way}", WAYS[way]))
    with subprocess.Popen(["/bin/sleep", "600"]) as bystander:
        outcome = driver.start(short_tmp / "h", timeout=20.0)
        assert (outcome.ok, outcome.text, outcome.status) == (True, "ready\n", 0), outcome.describe()
        wanted = 3 if way == "three of them" else 1
        eventually(lambda: len(sleepers(short_tmp / "h")) == wanted)
        assert driver.kill(short_tmp / "h").ok
        assert processes.using(short_tmp / "h") == []
        assert bystander.poll() is None
        bystander.kill()
    assert not RUNNING


def test_the_runner_ends_with_the_last_of_what_it_adopted(short_tmp: Path) -> None:
    driver = described(short_tmp, start=PROGRAM.replace("{way}", WAYS["second fork"]))
    assert driver.start(short_tmp / "h", timeout=20.0).ok
    eventually(lambda: len(sleepers(short_tmp / "h")) == 1)
    (daemon,) = sleepers(short_tmp / "h")
    daemon.kill()
    eventually(lambda: processes.using(short_tmp / "h") == [])


def test_a_client_s_end_and_words_are_told(short_tmp: Path) -> None:
    home = short_tmp / "h"
    failing = described(short_tmp, start=["sh", "-c", "echo out; echo err >&2; exit 7"])
    outcome = failing.start(home, timeout=20.0)
    assert (outcome.ok, outcome.status, outcome.text, outcome.value) == (False, 7, "out\nerr\n", "out\n")
    killed = described(short_tmp, start=["sh", "-c", "kill -9 $$"]).start(home, timeout=20.0)
    assert (killed.ok, killed.status) == (False, -9)
    gone = short_tmp / "program"
    gone.write_text("#!/nowhere/at/all\n")
    gone.chmod(0o755)
    unrunnable = described(short_tmp, start=[str(gone)]).start(home, timeout=20.0)
    assert not unrunnable.ok
    assert f"cannot run '{gone}'" in unrunnable.text


def test_a_client_that_takes_too_long_is_ended_after_its_time_and_some_grace(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_ocap.drivers.command.GRACE_SECONDS", 0.1)
    outcome = described(short_tmp, start=["sleep", "600"], start_timeout=0.2).start(short_tmp / "h", timeout=0.1)
    assert (outcome.ok, outcome.timed_out, outcome.status) == (False, True, None)
    assert 0.3 <= outcome.seconds < 10
    eventually(lambda: processes.using(short_tmp / "h") == [])


FOREGROUND = """
import os, socket, sys, time
os.makedirs(sys.argv[1], exist_ok=True)
time.sleep(0.2)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + "/s")
listener.listen()
while True:
    connection = listener.accept()[0]
    if connection.recv(1000):
        connection.sendall(b'{"jsonrpc": "2.0", "id": 1, "result": {"up": [true]}}\\n')
    connection.close()
"""


def test_a_daemon_in_the_foreground_is_ready_when_it_answers(short_tmp: Path) -> None:
    ping = {"ping": {"method": "ping", "expect": {"up.0": True}}}
    table = {"foreground": True, "socket": "{home}/s", "rpc": ping, "cli": {}}
    driver = described(short_tmp, start=FOREGROUND, **table)
    home = short_tmp / "h"
    assert driver.start(home, timeout=20.0).ok
    assert driver.ping(home, timeout=5.0).ok
    assert driver.kill(home).ok
    assert not driver.ping(home, timeout=5.0).ok
    failing = described(short_tmp, start=["sh", "-c", "echo no; exit 3"], **table).start(home, timeout=20.0)
    assert (failing.ok, failing.status, failing.text) == (False, 3, "no\n")
    idle = described(short_tmp, start=["sleep", "600"], **table).start(home, timeout=0.3)
    assert (idle.ok, idle.timed_out) == (False, True)
    assert driver.kill(home).ok


RIVAL = FOREGROUND.replace("listener =", "if os.path.exists(sys.argv[1] + '/s'): {rival}\nlistener =", 1)
"""As that, and ``rival`` is what it does where there is a socket."""


def rivals(folder: Path, rival: str) -> CommandDriver:
    ping = {"ping": {"method": "ping", "expect": {"up.0": True}}}
    program = RIVAL.replace("{rival}", rival)
    return described(folder, start=program, foreground=True, socket="{home}/s", rpc=ping, cli={})


@pytest.mark.skipif(sys.platform != "linux", reason="who listens is told by Linux")
def test_a_daemon_in_the_foreground_is_not_ready_because_another_one_answers_whose_place_it_takes(
    short_tmp: Path,
) -> None:
    driver, home = rivals(short_tmp, "os.unlink(sys.argv[1] + '/s')"), short_tmp / "h"
    for _ in range(2):
        assert driver.start(home, timeout=20.0).ok
    newest = max(processes.using(home), key=lambda process: process.create_time())
    assert listener(home / "s") == newest.pid
    assert driver.kill(home).ok


def test_a_daemon_in_the_foreground_that_ends_beside_another_is_as_good_as_ready(short_tmp: Path) -> None:
    driver, home = rivals(short_tmp, "sys.exit('there is one already')"), short_tmp / "h"
    assert driver.start(home, timeout=20.0).ok
    second = driver.start(home, timeout=20.0)
    assert (second.ok, second.status, second.text) == (True, 1, "there is one already\n")
    assert driver.kill(home).ok
    alone = driver.start(home, timeout=20.0)
    assert (alone.ok, alone.status, alone.text) == (False, 1, "there is one already\n")


SLOW = """
import os, signal, subprocess, sys, time
home = sys.argv[1]
if os.fork():
    sys.exit(os.wait()[1] and 4)  # the client fails when the daemon dies
os.makedirs(home, exist_ok=True)
for name in ("pid", "log", "store"):
    with open(f"{home}/{name}", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(0.2)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="moments are observed on Linux only")
@pytest.mark.parametrize("phase", ["home", "pidfile", "log", "store"])
def test_a_start_is_killed_at_the_moment_that_is_observed(short_tmp: Path, phase: str) -> None:
    home = short_tmp / "h"
    driver = described(short_tmp, start=SLOW, pidfile="{home}/pid", log="{home}/log", store="{home}/store")
    assert driver.phases == ("home", "pidfile", "log", "store")
    outcome = driver.start(home, timeout=20.0, interrupt=Interrupt("kill", phase))
    assert (outcome.ok, outcome.status) == (False, 4)
    expected = {"home": {"pid"}, "pidfile": {"pid"}, "log": {"pid", "log"}, "store": {"pid", "log", "store"}}
    assert {path.name for path in home.iterdir()} == expected[phase]


@pytest.mark.skipif(sys.platform != "linux", reason="moments are observed on Linux only")
def test_a_start_that_is_stopped_stands_still(short_tmp: Path) -> None:
    home = short_tmp / "h"
    driver = described(short_tmp, start=SLOW, pidfile="{home}/pid", log="{home}/log", start_timeout=0.5)
    driver.start(home, timeout=0.5, interrupt=Interrupt("hang", "log"))
    (daemon,) = [process for process in processes.using(home) if processes.stopped(process)]
    assert daemon.pid == int((home / "pid").read_text())
    assert driver.kill(home).ok


@pytest.fixture(scope="module")
def lifecycle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the daemon in C, built."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("lifecycle") / "daemon"
    shutil.copytree(LIFECYCLE, folder)
    subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", "-o", "beacon", "beacon.c"], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize(
    ("scenario", "parameters"),
    [
        ("crashed_init", {"phase": "socket"}),
        ("crashed_init", {"how": "hang", "phase": "listening"}),
        ("legible_fatal", {"cause": "home-is-file"}),
        ("stale_socket", {"kind": "live"}),
        ("stale_socket", {"kind": "dead"}),
        ("long_socket_path", {}),
        ("long_socket_path", {"length": "too-long"}),
        ("clock_step", {}),
        ("kill_at_stop", {}),
        ("ready_then_dies", {"how": "crash"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_a_daemon_that_can_only_live_gets_the_scenarios_about_its_life(
    lifecycle: Path, short_tmp: Path, monkeypatch: pytest.MonkeyPatch, scenario: str, parameters: dict[str, Any]
) -> None:
    import tomllib

    if scenario == "kill_at_stop":
        monkeypatch.setenv("BEACON_PACE", "200")  # else it has ended before anybody could strike
    source = lifecycle / "pyproject.toml"
    driver = driver_from(tomllib.loads(source.read_text())["tool"]["pytest_ocap"]["command"], source)
    verdict = SCENARIOS[scenario](driver, short_tmp / "h", **parameters)
    assert verdict.verdict is Finding.PASSED, verdict.explain()


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
@pytest.mark.parametrize("way", ["emptied environment", "supervisor"])
def test_nothing_is_left_when_pytest_is_killed(
    pytester: pytest.Pytester, short_tmp: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("TMPDIR", str(short_tmp))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (pytester.path / "daemon.py").write_text(PROGRAM.replace("{way}", WAYS[way]))
    (pytester.path / "pyproject.toml").write_text(
        textwrap.dedent(f"""
        [tool.pytest_ocap]
        driver = "command"
        [tool.pytest_ocap.command]
        start = [{sys.executable!r}, "-S", "daemon.py", "{{home}}"]
        stop = ["true"]
        cli = {{ ping = ["true"] }}
        """)
    )
    pytester.makepyfile(
        """
        import pathlib, time

        def test_it(ocap_driver, ocap_home):
            assert ocap_driver.start(ocap_home, timeout=20).ok
            pathlib.Path("ready").write_text(str(ocap_home))
            time.sleep(600)
        """
    )
    ready = pytester.path / "ready"
    command = [sys.executable, "-m", "pytest", "-p", "pytest_ocap", "-p", "no:cacheprovider"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        eventually(lambda: ready.exists() and bool(ready.read_text()))
        home = Path(ready.read_text())
        eventually(lambda: len(sleepers(home)) == 1)
        found = processes.using(home)
        os.kill(run.pid, signal.SIGKILL)
    eventually(lambda: not list(short_tmp.iterdir()))
    eventually(lambda: not any(processes.alive(process) for process in found))
