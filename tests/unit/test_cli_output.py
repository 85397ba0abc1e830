"""What the commands print: streams, tables, JSON, and nothing that steers a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import sys

import pytest

from kernel.cli import app, output


def test_json_is_one_compact_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_json({"a": [1, "hä"], "b": None})

    assert capsys.readouterr().out == '{"a":[1,"hä"],"b":null}\n'


def test_json_is_indented_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _on_terminal(monkeypatch, lambda: output.say_json({"a": 1})) == '{\n  "a": 1\n}\n'


def test_control_characters_are_shown_in_text_and_escaped_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\tb\nc\x1b[0m\x00\x7f\x9b"

    output.say(text)
    assert capsys.readouterr().out == "a\tb\nc\\x1b[0m\\x00\\x7f\\x9b\n"
    written = output.to_json(text)
    assert json.loads(written) == text
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in written)


def test_a_table_in_a_pipe_is_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.say_table(("ID", "STATE", "CAUSE"), [("s1", "running", ""), ("s20", "quarantined", "a\nb\x1b")])

    assert capsys.readouterr().out == ("ID   STATE        CAUSE\ns1   running\ns20  quarantined  a b\\x1b\n")


def test_a_table_on_a_terminal_is_drawn_and_its_cells_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    drawn = _on_terminal(monkeypatch, lambda: output.say_table(("ID", "CAUSE"), [("s1", "/x/[red]y[/red]\x1b[5m")]))

    assert "─" in drawn
    assert "/x/[red]y[/red]\\x1b[5m" in drawn


def test_what_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))

    output.prepare_streams()
    output.say("h\u00e4 \udcff")

    assert raw.getvalue() == b"h\\xe4 \\udcff\n"


def test_closed_streams_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    assert app.main(["completion", "bash"]) == 0
    assert app.main(["no-such-command"]) == 2


def _on_terminal(monkeypatch: pytest.MonkeyPatch, write: object) -> str:
    """Give what a function writes to standard output when that is a terminal."""
    assert callable(write)
    leader, follower = pty.openpty()
    try:
        with monkeypatch.context() as patch, os.fdopen(follower, "w") as stream:
            patch.setattr(sys, "stdout", stream)
            write()
        return _all_of(leader).decode().replace("\r\n", "\n")
    finally:
        os.close(leader)


def _all_of(leader: int) -> bytes:
    """Read what a terminal that has been closed was sent; it may come in parts."""
    shown = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # what Linux says at the end
            return shown
        if not data:
            return shown
        shown += data
