"""The words of ``ocap daemon status`` and ``stop``, and the options that ``start`` hands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kernel.cli import app
from kernel.cli.daemon import daemon_options, stop_lines
from kernel.cli.parser import parse
from kernel.daemon.ensure import StopReport

if TYPE_CHECKING:
    from pathlib import Path


def status(state: str, **more: Any) -> dict[str, Any]:
    daemon = {"pid": 7, "version": "1.2", "state": state, "startedAt": "T", **more}
    return {"vats": [], "subclusters": [], "remoteComms": {"state": "disconnected"}, "daemon": daemon}


def shown(
    found: dict[str, Any], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr("kernel.cli.daemon.status_of", lambda _home: found)
    assert app.main(["--home", str(home), "daemon", "status"]) == 0
    return capsys.readouterr().out


def test_a_daemon_that_is_starting_tells_its_phase_and_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = status("starting", phase="restore", progress=[3, 10])

    text = shown(found, tmp_path, monkeypatch, capsys)

    assert text == "starting: pid 7, version 1.2, since T\nphase: restore 3 of 10\n"
    found["daemon"]["progress"] = None
    assert shown(found, tmp_path, monkeypatch, capsys).endswith("phase: restore\n")


def test_workers_without_confinement_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = status("ready", confinement={"state": "none", "reason": "there is no seccomp", "remedy": None})
    full = status("ready", confinement={"state": "full", "reason": None, "remedy": None})

    assert "workers are not confined: there is no seccomp\n" in shown(bare, tmp_path, monkeypatch, capsys)
    assert "confined" not in shown(full, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("report", "lines"),
    [
        (StopReport(7, "rpc", 0.04, ["asked it"]), ["asked it", "stopped: pid 7, after 0.0 s"]),
        (StopReport(7, "sigkill", 10.26, ["a", "b"]), ["a", "b", "stopped: pid 7, after 10.3 s"]),
        (StopReport(None, "not-running", 0.0, []), ["not running: nothing to stop"]),
        (StopReport(None, "not-running", 0.0, ["removed the stale /x"]), ["removed the stale /x", "not running"]),
    ],
)
def test_stopping_tells_each_step_and_the_end(report: StopReport, lines: list[str]) -> None:
    assert stop_lines(report) == lines


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], []),
        (["--require-confinement"], ["--require-confinement"]),
        (["--init-timeout", "2", "--log-level", "debug"], ["--init-timeout", "2.0", "--log-level", "debug"]),
        (["--delivery-timeout=0.5"], ["--delivery-timeout", "0.5"]),
    ],
)
@pytest.mark.parametrize("command", ["start", "restart"])
def test_a_start_hands_on_only_the_options_that_were_given(command: str, words: list[str], options: list[str]) -> None:
    assert daemon_options(parse(["daemon", command, *words])) == options
