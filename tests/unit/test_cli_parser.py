"""The grammar of the command line: what is understood, and what is refused in which words."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING, Any

import pytest

from kernel.cli.launch import resolve_path
from kernel.cli.parser import build_parser, parse
from kernel.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield child
                yield from commands(child)


LEAVES = [parser for parser in commands(build_parser()) if parser.get_default("handler")]


@pytest.mark.parametrize("parser", LEAVES, ids=lambda parser: parser.prog)
def test_every_command_has_a_function_that_carries_it_out(parser: argparse.ArgumentParser) -> None:
    module, _, function = parser.get_default("handler").partition(":")

    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("parser", [build_parser(), *commands(build_parser())], ids=lambda parser: parser.prog)
def test_the_help_of_every_command_shows_examples_of_that_command(parser: argparse.ArgumentParser) -> None:
    _, _, examples = parser.format_help().partition("examples:\n")

    words = parser.prog.split()[1:]
    assert all(word in examples for word in words)
    assert examples.startswith("  ocap ")


@pytest.mark.parametrize("parser", LEAVES, ids=lambda parser: parser.prog)
def test_every_command_takes_the_home_and_json_after_its_name(parser: argparse.ArgumentParser) -> None:
    options = {option for action in parser._actions for option in action.option_strings}

    assert {"--home", "--json", "--help"} <= options


def test_help_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    text = build_parser().format_help().partition("examples:")[0]

    assert max(len(line) for line in text.splitlines()) <= 60


@pytest.mark.parametrize(
    ("words", "home"),
    [
        (["daemon", "status"], None),
        (["--home", "a", "daemon", "status"], "a"),
        (["daemon", "--home", "a", "status"], "a"),
        (["daemon", "status", "--home", "a"], "a"),
        (["--home", "a", "daemon", "status", "--home", "b"], "b"),
        (["--home=a", "daemon", "status"], "a"),
    ],
)
def test_the_home_may_stand_before_or_after_the_command(words: list[str], home: str | None) -> None:
    assert parse(words).home == home


@pytest.mark.parametrize(
    ("words", "arguments", "as_json"),
    [
        (["ko4", "m"], [], False),
        (["ko4", "m", "a", "1"], ["a", "1"], False),
        (["ko4", "m", "a", "--json", "b", "c"], ["a", "b", "c"], True),
        (["ko4", "--json", "m", "a"], ["a"], True),
        (["--json", "ko4", "m", "-1", "2"], ["-1", "2"], True),
        (["ko4", "m", "a", "--timeout", "3", "b"], ["a", "b"], False),
        (["--", "ko4", "m", "--json"], ["--json"], False),
        (["ko4", "m", ""], [""], False),
        (["ko4", "m", "a", "--json", "-1", "-2.5"], ["a", "-1", "-2.5"], True),
        (["ko4", "m", "a", "--json", "b", "--", "--c"], ["a", "b", "--c"], True),
    ],
)
def test_options_may_stand_among_the_arguments_of_a_message(
    words: list[str], arguments: list[str], as_json: bool
) -> None:
    args = parse(["daemon", "queueMessage", *words])

    assert (args.kref, args.method, args.args, args.json) == ("ko4", "m", arguments, as_json)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "a command is missing"),
        (["daemon"], "ocap daemon: a command is missing"),
        (["daemon", "sttop"], "did you mean 'stop'?"),
        (["subclustr"], "did you mean 'subcluster'?"),
        (["daemon", "start", "--jsn"], "unrecognized arguments: --jsn"),
        (["daemon", "start", "--forc"], "unrecognized arguments: --forc"),
        (["daemon", "stop", "--for"], "unrecognized arguments: --for"),
        (["daemon", "start", "extra"], "unrecognized arguments: extra"),
        (["daemon", "start", "--timeout", "soon"], "'soon' is not a number of seconds greater than 0"),
        (["daemon", "start", "--timeout", "0"], "'0' is not a number of seconds greater than 0"),
        (["daemon", "start", "--timeout", "nan"], "'nan' is not a number of seconds greater than 0"),
        (["daemon", "start", "--timeout", "inf"], "'inf' is not a number of seconds greater than 0"),
        (["daemon", "logs", "-n", "-1"], "argument -n/--lines"),
        (["daemon", "logs", "-n", "many"], "'many' is not a whole number"),
        (["daemon", "logs", "--level", "warn"], "did you mean 'warning'?"),
        (["daemon", "queueMessage", "4", "m"], "'4' is not a kref"),
        (["daemon", "queueMessage", "ko04", "m"], "'ko04' is not a kref"),
        (["daemon", "queueMessage", "ko4"], "required: METHOD"),
        (["daemon", "queueMessage", "ko4", "m", "--loud"], "unrecognized arguments: --loud"),
        (["daemon", "queueMessage", "ko4", "m", "--json", "--loud", "--", "x"], "unrecognized arguments: --loud -- x"),
        (["subcluster", "show", "2"], "'2' is not a subcluster id"),
        (["subcluster", "repair", "s1", "--bundle", "main"], "'main' is not of the form VAT=PATH"),
        (["subcluster", "repair", "s1", "--bundle", "main="], "'main=' is not of the form VAT=PATH"),
        (["subcluster", "launch", "c.bundle", "--parameters", "{"], "'{' is not JSON"),
        (["completion", "fish"], "choose from"),
    ],
)
def test_what_is_not_understood_is_named(words: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)

    assert says in caught.value.message
    assert caught.value.exit_code == 2
    assert caught.value.remedy is not None
    assert "--help" in caught.value.remedy


@pytest.mark.parametrize(
    ("words", "path", "integrity"),
    [
        (["c.bundle"], "c.bundle", None),
        (["c.bundle", "--integrity"], "c.bundle", ""),
        (["--integrity", "c.bundle"], "c.bundle", ""),
        (["c.bundle", "--integrity", "sha256-abc"], "c.bundle", "sha256-abc"),
        (["--integrity", "sha256-abc", "c.bundle"], "c.bundle", "sha256-abc"),
        (["--integrity=sha256-abc", "c.bundle"], "c.bundle", "sha256-abc"),
    ],
)
def test_a_bare_integrity_does_not_swallow_the_path(words: list[str], path: str, integrity: str | None) -> None:
    args = parse(["subcluster", "launch", *words])
    resolve_path(args)

    assert (args.path, args.integrity) == (path, integrity)


@pytest.mark.parametrize("words", [[], ["--integrity"], ["--integrity", "sha256-abc"]])
def test_a_launch_needs_a_path(words: list[str]) -> None:
    args = parse(["subcluster", "launch", *words])

    with pytest.raises(UsageError, match="required: PATH"):
        resolve_path(args)


def test_repair_takes_a_bundle_for_each_of_several_vats() -> None:
    words: list[Any] = ["subcluster", "repair", "s2", "--bundle", "a=x.bundle", "--bundle", "b=http://h/y=z"]

    assert parse(words).bundles == [("a", "x.bundle"), ("b", "http://h/y=z")]
