"""Failures in words: everything that helps, nothing twice, and never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kernel import errors
from kernel.cli import app
from kernel.cli.failure import failure_lines, report, report_unexpected

if TYPE_CHECKING:
    from argparse import Namespace


def test_a_failure_is_a_sentence_with_its_code_and_the_next_step() -> None:
    error = errors.BundleMissingError("/x/c.bundle does not exist", path="/x/c.bundle", remedy="Bring it back.")

    assert list(failure_lines(error)) == [
        "Error: /x/c.bundle does not exist (code bundle-missing)",
        "Next: Bring it back.",
    ]


def test_facts_that_the_sentence_lacks_stand_below_it() -> None:
    error = errors.VatInitError("the vat failed", vat="bob", path="/x/c.bundle", bundleSpec="file:///x/c.bundle")

    assert list(failure_lines(error)) == [
        "Error: the vat failed (code vat-init-failed)",
        "  vat: bob",
        "  bundle: file:///x/c.bundle",
        "  path: /x/c.bundle",
    ]


def died() -> errors.DaemonDiedError:
    return errors.DaemonDiedError(
        "the daemon died during its start",
        phase="store",
        pid=12,
        exitStatus=1,
        error={
            "code": "store-corrupt",
            "type": "StoreCorruptError",
            "message": "the store /h/kernel.sqlite is damaged",
            "remedy": "Move it away.",
            "causes": ["DatabaseError: malformed"],
            "traceback": "Traceback (most recent call last):\n  boom",
        },
        logTail=[
            '{"ts": "S", "level": "info", "event": "daemon.starting", "pid": 11}',
            '{"ts": "S", "level": "info", "event": "daemon.stopped", "pid": 11}',
            '{"ts": "T", "level": "info", "event": "daemon.starting", "pid": 12}',
            (
                '{"ts": "T", "level": "fatal", "event": "daemon.fatal", "error": {"type": "E", "message": "m", '
                '"code": "c", "traceback": "Traceback (most recent call last): x"}}'
            ),
            "Fatal Python error: Segmentation fault",
        ],
        remedy="See the log.",
    )


def test_a_died_start_tells_phase_cause_log_and_the_next_steps_of_both_errors() -> None:
    assert list(failure_lines(died())) == [
        "Error: the daemon died during its start (code daemon-died)",
        "  phase: store",
        "  pid: 12",
        "  exit status: 1",
        "  cause: StoreCorruptError: the store /h/kernel.sqlite is damaged (code store-corrupt)",
        "  cause: DatabaseError: malformed",
        "  last lines of the log:",
        "    T info    daemon.starting pid=12",
        '    T fatal   daemon.fatal error="E: m (code c)"',
        "    Fatal Python error: Segmentation fault",
        "Next: See the log.",
        "Next: Move it away.",
    ]


def test_of_a_recorded_cause_that_the_sentence_tells_its_class_and_code_remain() -> None:
    record = {"code": "store-corrupt", "type": "StoreCorruptError", "message": "/s is damaged."}
    error = errors.DaemonDiedError("The daemon died in phase store: /s is damaged.", error=record)

    assert list(failure_lines(error))[1:] == ["  cause: StoreCorruptError (code store-corrupt)"]


def test_a_death_without_a_word_is_told_once() -> None:
    record = {"code": "daemon-died", "type": "DaemonDiedError", "message": "it was ended by SIGKILL"}
    error = errors.DaemonDiedError("The daemon died: it was ended by SIGKILL.", signal="SIGKILL", error=record)

    assert len(list(failure_lines(error))) == 1


def test_a_cause_that_the_sentence_has_told_is_not_told_again() -> None:
    error = errors.LaunchError("the vat main failed: /x is missing", causes=["BundleMissingError: /x is missing"])

    assert len(list(failure_lines(error))) == 1


def test_the_causes_of_an_error_in_this_process_are_told() -> None:
    error = errors.HomeError("no home")
    error.__cause__ = PermissionError("denied")

    assert "  cause: PermissionError: denied" in list(failure_lines(error))


def test_the_code_belongs_to_the_sentence_but_a_vats_own_words_stay_as_they_are() -> None:
    assert next(failure_lines(errors.HomeError("There is no home."))) == "Error: There is no home (code home-invalid)"
    assert next(failure_lines(errors.RejectedError("Enough."))) == "Error: Enough. (code rejected)"
    assert next(failure_lines(errors.HomeError("Wait..."))) == "Error: Wait... (code home-invalid)"


def test_a_remedy_of_two_lines_is_two_steps() -> None:
    error = errors.HomeError("no home", remedy="First this.\nThen that.\n")

    assert list(failure_lines(error))[1:] == ["Next: First this.", "Next: Then that."]


def test_with_json_the_whole_record_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(died(), as_json=True) == 4

    out, err = capsys.readouterr()
    record: dict[str, Any] = json.loads(out)["error"]
    assert (record["code"], record["phase"], record["error"]["code"]) == ("daemon-died", "store", "store-corrupt")
    assert err.startswith("Error: the daemon died during its start (code daemon-died)\n")


def test_nothing_that_a_vat_says_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report(errors.RejectedError("red \x1b[31m alert \x07\x9b"), as_json=True)

    out, err = capsys.readouterr()
    assert err == "Error: red \\x1b[31m alert \\x07\\x9b (code rejected)\n"
    assert json.loads(out)["error"]["message"] == "red \x1b[31m alert \x07\x9b"
    assert "\x9b" not in out


def test_an_unexpected_failure_is_one_line_and_a_file_with_the_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KeyError) as caught:
        raise KeyError("absent")

    assert report_unexpected(caught.value, ["daemon", "status"]) == 1

    err = capsys.readouterr().err
    (details,) = tmp_path.iterdir()
    assert err.splitlines()[:2] == [
        "Error: unexpected KeyError: 'absent' (code internal-error)",
        f"  details: {details}",
    ]
    assert "Traceback" not in err
    text = details.read_text()
    assert "KeyError: 'absent'" in text
    assert "Traceback" in text
    assert "['daemon', 'status']" in text


def test_where_no_file_can_be_written_the_unexpected_failure_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent/folder")

    assert report_unexpected(ValueError("x"), []) == 1
    assert "OCAP_DEBUG=1" in capsys.readouterr().err


@pytest.fixture
def broken_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[BaseException]:
    """Make ``ocap completion bash`` raise what is put into the list."""
    raised: list[BaseException] = []

    def fail(args: Namespace) -> int:
        raise raised[0]

    monkeypatch.setattr("kernel.cli.completion.completion", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return raised


def test_an_interrupt_is_one_line_and_130(
    broken_command: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    broken_command.append(KeyboardInterrupt())

    assert app.main(["completion", "bash"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_ocap_debug_shows_the_traceback_of_an_unexpected_failure(
    broken_command: list[BaseException], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_command.append(ZeroDivisionError("oh"))

    assert app.main(["completion", "bash"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("OCAP_DEBUG", "1")
    assert app.main(["completion", "bash"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


ERRORS = [kind for _code, kind in sorted(errors.OcapError.by_code.items())]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_ends_the_command_with_its_own_exit_code(
    kind: type[errors.OcapError], broken_command: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    error = kind.__new__(kind)
    errors.OcapError.__init__(error, "something /p", path="/p")
    broken_command.append(error)

    assert app.main(["completion", "bash"]) == kind.exit_code
    assert capsys.readouterr().err == f"Error: something /p (code {kind.code})\n"
