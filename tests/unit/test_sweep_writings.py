"""Pid files and logs as sweeps judge them, and processes that are never idle: real files, real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from little_driver import LittleDriver

from pytest_ocap import processes
from pytest_ocap.driver import Capability
from pytest_ocap.sweeps import writings
from pytest_ocap.sweeps.copies import FAULTED
from pytest_ocap.sweeps.spinning import Effort, spinning
from pytest_ocap.sweeps.writings import glued_lines, is_log, log_state, pid_file_problem

DRIVER = LittleDriver()
SPINS = "print(flush=True)\nwhile True: pass"
SLEEPS = "import time\nprint(flush=True)\nwhile True: time.sleep(0.05)"


@pytest.fixture
def home(short_tmp: Path) -> Path:
    made = short_tmp / "h"
    made.mkdir()
    return made


@pytest.fixture
def working(home: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process at work in the home, on a given program."""
    words = [sys.executable, "-S", "-c", getattr(request, "param", SLEEPS)]
    with subprocess.Popen(words, cwd=home, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def write_pid(home: Path, content: str) -> None:
    DRIVER.pid(home).write_text(content)


def test_where_there_is_no_pid_file_nothing_is_wrong_with_it(home: Path) -> None:
    assert pid_file_problem(DRIVER, home, serves=True) is None


@pytest.mark.parametrize("content", ["", "\n", "pid\n"])
def test_a_pid_file_without_a_pid_is_not_whole(home: Path, content: str) -> None:
    write_pid(home, content)
    assert "which is no pid" in str(pid_file_problem(DRIVER, home, serves=False))


@pytest.mark.parametrize("form", ["{}\n", "{}", '{{"pid": {}, "port": 7}}'])
def test_a_pid_file_that_names_a_process_of_the_home_is_whole_whatever_its_form(
    home: Path, working: subprocess.Popen[str], form: str
) -> None:
    write_pid(home, form.format(working.pid))
    assert pid_file_problem(DRIVER, home, serves=True) is None


def test_a_pid_that_lacks_its_end_is_another_process(home: Path, working: subprocess.Popen[str]) -> None:
    write_pid(home, str(working.pid)[:-1])
    assert f"the processes of the home are [{working.pid}]" in str(pid_file_problem(DRIVER, home, serves=True))
    assert pid_file_problem(DRIVER, home, serves=False) is None, "while nothing serves, any pid may be a dead one's"


def test_what_the_log_said_may_be_in_a_file_that_it_was_rotated_to(home: Path) -> None:
    log = DRIVER.log(home)
    log.write_text("one\ntwo\nhalf a li")
    said = log_state(DRIVER, home)
    assert said.lines == (b"one", b"two")
    log.rename(home / "log.1")
    log.write_text("three\n")
    assert said.lost(DRIVER, home) == []
    (home / "log.1").write_text("two\n")
    assert said.lost(DRIVER, home) == ["one"]


def test_of_a_copy_of_a_home_it_is_known_what_the_log_said(home: Path) -> None:
    (home.parent / FAULTED).mkdir()
    (home.parent / FAULTED / "log").write_text("as the fault left it\n")
    assert log_state(DRIVER, home, home.parent / FAULTED).lines == (b"as the fault left it",)
    assert log_state(DRIVER, home).lines == ()


def test_a_daemon_without_a_log_loses_nothing(home: Path) -> None:
    driver = LittleDriver()
    del driver.supports[Capability.LOG]
    DRIVER.log(home).write_text("one\n")
    assert (log_state(driver, home).lines, glued_lines(driver, home)) == ((), [])


def test_a_log_that_trouble_wrote_is_no_file_left_and_one_with_a_name_like_it_is() -> None:
    logs = [name for name in ("log", "log.1", "lo", "pid.3.tmp", "sub/log") if is_log(DRIVER, Path("h"), name)]
    assert logs == ["log", "log.1"]


WHOLE = json.dumps({"ts": 1, "level": "info", "event": "a", "error": {"code": 2, "ts": 3}})


@pytest.mark.parametrize(
    ("line", "glued"),
    [
        (WHOLE, False),
        (WHOLE[:20] + WHOLE, True),
        (WHOLE[:-1] + WHOLE, True),
        (WHOLE[:20], False),
        (WHOLE[:-1], False),
        ("Fatal Python error: " + WHOLE, False),
        ("words", False),
        (WHOLE[:-1] + WHOLE[:-1], False),
    ],
)
def test_a_record_behind_half_of_another_is_told_from_half_a_record(home: Path, line: str, glued: bool) -> None:
    DRIVER.log(home).write_text(f"{WHOLE}\n{line}\n{WHOLE}\n")
    assert glued_lines(DRIVER, home) == ([line] if glued else [])


def test_only_so_many_of_the_last_lines_are_followed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writings, "LINES", 2)
    DRIVER.log(home).write_text("one\ntwo\nthree\n")
    assert log_state(DRIVER, home).lines == (b"two", b"three")


@pytest.mark.parametrize("working", [SPINS], indirect=True)
def test_a_process_that_is_never_idle_spins(home: Path, working: subprocess.Popen[str]) -> None:
    assert [process.pid for process in spinning(home)] == [working.pid]


@pytest.mark.parametrize(
    ("took", "waited", "busy"), [(0.05, 0.0, True), (0.02, 0.17, True), (0.02, 0.1, False), (0.0, 0.0, False)]
)
def test_one_that_seldom_gets_a_core_is_busy_when_it_always_wants_one(took: float, waited: float, busy: bool) -> None:
    before = Effort(7.0, 100, 3.0)
    assert Effort(7.0 + took, 101, 3.0 + waited).is_busy(before, 0.2) is busy


def test_one_that_wakes_up_now_and_then_does_not(home: Path, working: subprocess.Popen[str]) -> None:
    assert [process.pid for process in processes.using(home)] == [working.pid]
    assert spinning(home) == []
