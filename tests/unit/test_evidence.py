"""What a run is seen to do: verbs, processes, files and locks, looked at while they are there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from report_samples import report
from report_schema import validate
from watching import eventually

from pytest_ocap.driver import FULL, Capability, Interrupt, Outcome
from pytest_ocap.evidence import Event, Evidence
from pytest_ocap.examination import Examination, scenario
from pytest_ocap.faults.companions import Companion
from pytest_ocap.journal import Journal
from pytest_ocap.observer import Observer
from pytest_ocap.processes import TOKEN
from pytest_ocap.recording import recorded
from pytest_ocap.timeline import compose
from pytest_ocap.verdict import Check, Declared, Finding, Verdict
from pytest_ocap.witness import MOST_CALLS, MOST_CHARACTERS, MOST_FILES, MOST_LINES, gather

HOLDER = """
import fcntl, os, signal, sys
home = sys.argv[1]
os.mkdir(home)
file = open(home + "/lock", "w")
fcntl.flock(file, fcntl.LOCK_EX)
os.symlink("lock", home + "/link")
os.mkfifo(home + "/fifo", 0o640)
open(home + "/ready", "w").close()
signal.pause()
"""


class Quiet:
    """A driver whose verbs do nothing, and whose daemon logs what a test writes."""

    name = "quiet"
    version = "0"
    phases = ()
    start_timeout = 5.0
    supports = MappingProxyType({Capability.LOG: FULL, Capability.PIDFILE: FULL})

    def start(self, _home: Path, **_circumstances: Any) -> Outcome:
        return Outcome(False, "x" * (3 * MOST_CHARACTERS) + "the end", 0.0, status=4, code="no")

    def ping(self, _home: Path, **_circumstances: Any) -> Outcome:
        raise ZeroDivisionError("the driver's own fault")

    def log(self, home: Path) -> Path:
        return home / "log"

    def pid(self, home: Path) -> Path:
        return home / "pid"


@pytest.fixture
def driver() -> Any:
    return Quiet()


@pytest.fixture
def home(short_tmp: Path) -> Path:
    return short_tmp / "h"


def test_verbs_are_noted_with_what_they_were_asked_and_what_came_of_them(driver: Any, home: Path) -> None:
    journal = Journal(driver, home)
    recording = recorded(driver, journal)
    assert recording.name == "quiet"
    assert not recording.start(home, timeout=2.0, interrupt=Interrupt("kill", "store")).ok
    with pytest.raises(ZeroDivisionError):
        recording.ping(home, timeout=1.0)
    start, ping = gather(journal, "").client
    assert (start.verb, start.asked) == ("start", "timeout=2 s, interrupt=kill in store")
    assert (start.ok, start.status, start.code) == (False, 4, "no")
    assert start.text.endswith("the end")
    assert "characters left out" in start.text
    assert (ping.ok, ping.text) == (False, "the driver's own fault")


def test_what_is_asked_in_a_row_with_the_same_answer_is_one(driver: Any, home: Path) -> None:
    journal = Journal(driver, home)
    recording = recorded(driver, journal)
    for timeout in (1.0, 1.0, 1.0, 2.0, 1.0):
        recording.start(home, timeout=timeout)
    assert [(call.asked, call.times) for call in gather(journal, "").client] == [
        ("timeout=1 s", 3),
        ("timeout=2 s", 1),
        ("timeout=1 s", 1),
    ]
    assert [event.detail.partition(" s;")[0] for event in compose(journal)] == [
        "3 times; timeout=1",
        "timeout=2",
        "timeout=1",
    ]


def test_what_is_there_is_seen_with_modes_targets_and_holders(driver: Any, home: Path) -> None:
    journal = Journal(driver, home)
    environment = {**os.environ, TOKEN: str(home)}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(home)], env=environment) as holder:
        try:
            eventually((home / "ready").exists)
            (home / "pid").write_text(str(os.getpid()))
            (home / "log").write_text('{"level": "error", "event": "broken"}\nplain\n')
            journal.meet(home)
            seen = gather(journal, "something")
        finally:
            holder.kill()
    files = {file.path: file for file in seen.files}
    assert files["lock"].locked_by == (holder.pid,)
    assert (files["link"].kind, files["link"].target) == ("link", "lock")
    assert (files["fifo"].kind, files["fifo"].mode[1:]) == ("fifo", "640")
    assert (files["log"].bytes, files["log"].locked_by) == (44, ())
    assert seen.log == ('{"level": "error", "event": "broken"}', "plain")
    processes = {process.pid: process for process in seen.processes}
    assert (processes[holder.pid].role, processes[holder.pid].ppid) == ("client", os.getpid())
    assert str(home) in processes[holder.pid].command
    assert processes[os.getpid()].role == "bystander", "the pid file names it"
    assert seen.cut == ()


def test_a_process_that_the_harness_runs_as_somebody_elses_is_a_bystander_of_the_run(driver: Any, home: Path) -> None:
    journal = Journal(driver, home)
    home.mkdir()
    companion = Companion(words=[str(home / "theirs")])
    try:
        journal.meet(home)
        roles = {process.pid: process.role for process in gather(journal, "something").processes}
        assert roles[companion.pid] == "bystander"
    finally:
        companion.end()


def test_what_is_too_much_is_left_out_and_said(driver: Any, home: Path) -> None:
    journal = Journal(driver, home)
    home.mkdir()
    for number in range(MOST_FILES):
        (home / f"f{number}").touch()
    lines = ["error: the first"] + [f"line {number}" for number in range(2 * MOST_LINES)]
    (home / "log").write_text("\n".join(lines))
    for number in range(MOST_CALLS + 3):
        recorded(driver, journal).start(home, timeout=1.0 + number)
    seen = gather(journal, "")
    assert (len(seen.client), len(seen.log), len(seen.files)) == (MOST_CALLS, MOST_LINES, MOST_FILES)
    assert (seen.log[0], seen.log[-1]) == (lines[0], lines[-1]), "the serious ones and the last"
    assert seen.cut == (
        f"3 of {MOST_CALLS + 3} verbs are not shown",
        f"{MOST_LINES + 1} of {2 * MOST_LINES + 1} lines of the log are not shown",
        f"2 of {MOST_FILES + 2} files are not shown",
    )


def lives(observer: Observer, pid: int) -> bool:
    """Say whether the observer has found a process, and has not seen its end."""
    return any(seen.pid == pid and seen.ended is None for seen in list(observer._found.values()))


@pytest.mark.skipif(sys.platform != "linux", reason="the observer is inotify and pidfd")
def test_processes_and_files_are_seen_to_come_and_go(driver: Any, home: Path) -> None:
    journal = Journal(driver, home)
    environment = {**os.environ, TOKEN: str(home)}
    with Observer(journal) as observer:
        with subprocess.Popen([sys.executable, "-c", HOLDER, str(home)], env=environment) as holder:
            eventually((home / "ready").exists)
            eventually(lambda: lives(observer, holder.pid))
            holder.kill()
        eventually(lambda: not lives(observer, holder.pid))
        (home / "lock").unlink()
        (home / "link").rename(home / "renamed")
    changes = [(event.what, event.detail) for event in journal.events if event.lane == "file"]
    for change in ((".", "created"), ("lock", "created"), ("lock", "deleted"), ("renamed", "moved here")):
        assert change in changes
    (process,) = [event for event in journal.events if event.lane == "process"]
    assert f"pid {holder.pid}, client" in process.detail
    assert process.until is not None
    assert 0 <= process.at < process.until


def test_an_observer_that_saw_nothing_leaves_nothing(driver: Any, home: Path) -> None:
    def descriptors() -> set[str]:
        return set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()

    before = descriptors()
    with Observer(Journal(driver, home)):
        pass
    eventually(lambda: descriptors() <= before)  # the last one is closed when nobody waits for it


class Dawdling(Journal):
    """A journal that keeps the observer's thread between its waking and its work, until it has been told to end."""

    def __init__(self, driver: Any, home: Path) -> None:
        super().__init__(driver, home)
        self.woken, self.told = threading.Event(), threading.Event()

    def now(self) -> float:
        if threading.current_thread().name == "ocap-observer":
            self.woken.set()
            self.told.wait(10)
        return super().now()


class Impatient(Observer):
    """An observer that lets its journal know when it has been told to end."""

    journal: Dawdling

    def _look_now(self) -> None:
        super()._look_now()
        if self._over:
            self.journal.told.set()


@pytest.mark.skipif(sys.platform != "linux", reason="the observer is inotify and pidfd")
def test_an_observer_that_is_told_to_end_while_it_wakes_ends(driver: Any, home: Path) -> None:
    journal = Dawdling(driver, home)
    observer = Impatient(journal)
    observer.journal = journal
    observer.__enter__()
    journal.look()
    assert journal.woken.wait(10)
    ending = threading.Thread(target=observer.__exit__, args=(None, None, None), daemon=True)
    ending.start()
    ending.join(10)
    assert not ending.is_alive()


class Marked:
    """A fault that is a file, so that it can be seen whether it was still there."""

    id = "marked"

    def __init__(self, home: Path) -> None:
        self._path = home.parent / "bundles" / "fault"

    def arrange(self) -> None:
        self._path.parent.mkdir()
        self._path.touch()

    def fired(self) -> str | None:
        return "it lies there"

    def undo(self) -> None:
        self._path.unlink()


def judge(driver: Any, home: Path, body: Any) -> Verdict:
    return scenario(edition="2026.1", checks={"one": "one has to hold", "two": "two has to hold"})(body)(driver, home)


def test_a_broken_check_has_what_was_required_and_what_was_there_before_the_fault_was_undone(
    driver: Any, home: Path
) -> None:
    def body(examination: Examination, _driver: object, home: Path) -> None:
        examination.expect("one", "two")
        with examination.armed(Marked(home)):
            examination.check("one", False, "broken")

    first, second = judge(driver, home, body).checks
    assert first.evidence is not None
    assert first.evidence.expected == "one has to hold"
    assert "../bundles/fault" in {file.path for file in first.evidence.files}
    assert second.evidence == Evidence("two has to hold"), "it was not reached: there is no more to say"


def test_a_run_that_breaks_off_has_what_was_there_before_the_fault_was_undone(driver: Any, home: Path) -> None:
    def body(examination: Examination, _driver: object, home: Path) -> None:
        examination.expect("one")
        with examination.armed(Marked(home)):
            raise ZeroDivisionError

    verdict = judge(driver, home, body)
    evidence = verdict.checks[0].evidence
    assert evidence is not None
    assert (verdict.checks[0].id, evidence.expected) == ("harness", "the harness works")
    assert "../bundles/fault" in {file.path for file in evidence.files}


def test_a_timeline_has_verbs_faults_and_checks_in_their_order(driver: Any, home: Path) -> None:
    def body(examination: Examination, driver: Any, home: Path) -> None:
        examination.expect("one")
        with examination.armed(Marked(home)):
            driver.start(home, timeout=1.0)
            examination.check("one", True, "fine\nwith more")

    verdict = judge(driver, home, body)
    shown = [event for event in verdict.timeline if event.lane in ("client", "fault", "check")]
    assert [(event.lane, event.what, event.ok) for event in shown] == [
        ("fault", "marked", None),
        ("client", "start", False),
        ("check", "one", True),
    ]
    fault, start, check = shown
    assert (fault.detail, check.detail) == ("it lies there", "fine")
    assert fault.until is not None
    assert start.until is not None
    assert fault.at <= start.at <= start.until <= check.at <= fault.until <= verdict.seconds


def test_a_verdict_is_of_the_published_form_and_survives_the_way_through_it(driver: Any, home: Path) -> None:
    def body(examination: Examination, driver: Any, home: Path) -> None:
        examination.expect("one", "two")
        with examination.armed(Marked(home)):
            driver.start(home, timeout=1.0)
            examination.check("one", False, "größer\n<x>")

    data = judge(driver, home, body).to_json()
    validate(report(data))
    assert Verdict.from_json(data).to_json() == data
    declared = Verdict(
        "x[y]",
        Finding.FAILED,
        0.25,
        (Check("one", Finding.FAILED, "ü"),),
        edition="2026.1",
        timeline=(Event(0.5, "log", "fatal", "all is lost", until=1.0, ok=False),),
        new=True,
        declared=Declared({"one": "known"}, ("two",)),
        nodeid="test_x.py::test_y",
    )
    assert Verdict.from_json(declared.to_json()) == declared
