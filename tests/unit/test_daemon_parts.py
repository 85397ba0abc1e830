"""The small parts of a start: options, failpoints, the status pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernel.daemon.failpoint import Failpoint
from kernel.daemon.options import DaemonOptions, parse_options
from kernel.daemon.status import StatusPipe, StatusReader
from kernel.errors import UsageError


def test_options_are_read_in_both_forms() -> None:
    assert parse_options([]) == DaemonOptions()
    given = ["--home", "h", "--status-fd=5", "--require-confinement", "--init-timeout", "2.5", "--delivery-timeout=1"]
    assert parse_options([*given, "--log-level", "debug"]) == DaemonOptions("h", 5, True, 2.5, 1.0, "debug")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--hme", "h"],
        ["--home"],
        ["--status-fd", "x"],
        ["--status-fd", "-1"],
        ["--init-timeout", "0"],
        ["--init-timeout", "nan"],
        ["--delivery-timeout", "soon"],
        ["--log-level", "loud"],
        ["--require-confinement=no"],
        ["h"],
    ],
)
def test_a_wrong_option_is_named(arguments: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options(arguments)
    assert arguments[0].partition("=")[0] in caught.value.message
    assert str(caught.value.remedy).startswith("Usage:")


@pytest.mark.parametrize("text", ["restore", "restore=", "restore=die", "boot=kill", "=kill", "kill=restore"])
def test_a_failpoint_that_names_nothing_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="OCAP_FAILPOINT"):
        Failpoint(text)


def test_a_failpoint_elsewhere_does_nothing_here() -> None:
    Failpoint(None).reach("restore")
    Failpoint("").reach("restore")
    Failpoint("restore=kill").reach("store")


def test_a_failpoint_notes_whom_it_strikes_before_it_does(tmp_path: Path) -> None:
    note = tmp_path / "note"
    program = (
        "import sys; from kernel.daemon.failpoint import Failpoint; Failpoint('log=kill', sys.argv[1]).reach('log')"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(note)]) as process:
        assert process.wait() == -signal.SIGKILL
    assert note.read_text() == f"{process.pid}\n"


def received(reading: int) -> list[dict[str, Any]]:
    os.set_blocking(reading, False)
    return StatusReader().feed(os.read(reading, 1 << 20))


def test_the_caller_reads_what_the_daemon_says() -> None:
    reading, writing = os.pipe()
    pipe = StatusPipe(writing)
    pipe.phase("restore")
    pipe.progress(1, 2)
    assert pipe.fatal({"phase": "restore"})
    pipe.close()
    pipe.close()
    assert received(reading) == [{"phase": "restore"}, {"progress": [1, 2]}, {"fatal": {"phase": "restore"}}]
    os.close(reading)


def test_the_pipe_is_not_inherited() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    pipe = StatusPipe(writing)
    assert not os.get_inheritable(writing)
    pipe.close()
    os.close(reading)


def test_a_caller_that_has_gone_does_not_hold_up_the_start() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    pipe = StatusPipe(writing)
    pipe.phase("store")
    assert not pipe.fatal({})


def test_a_caller_that_does_not_read_does_not_hold_up_the_start() -> None:
    reading, writing = os.pipe()
    pipe = StatusPipe(writing)
    for number in range(10_000):
        pipe.progress(number, 10_000)
    pipe.close()
    assert len(received(reading)) > 1000
    os.close(reading)


def test_without_a_pipe_nobody_is_told() -> None:
    pipe = StatusPipe(None)
    pipe.phase("store")
    assert not pipe.fatal({})


def test_the_reader_puts_messages_together_and_skips_what_is_none() -> None:
    reader = StatusReader()
    assert reader.feed(b'{"phase": "st') == []
    assert reader.feed(b'ore"}\nnoise\n[1]\n{"phase": "io"}\n') == [{"phase": "store"}, {"phase": "io"}]
