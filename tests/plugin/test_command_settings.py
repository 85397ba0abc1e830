"""A description of a daemon: what is wrong with it is told by key, and nothing is started to find out."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_ocap.driver import Capability, Subcluster
from pytest_ocap.drivers.command import driver_from
from pytest_ocap.drivers.command_keys import KEYS, VERB_KEYS, VERBS

GOOD: dict[str, Any] = {
    "name": "example",
    "start": ["sh", "-c", "true", "{home}", "${HOME}", "{{home}}"],
    "stop": ["true"],
    "socket": "{home}/s",
    "bundle": "one.bundle",
    "rpc": {
        "ping": {"method": "ping"},
        "launch": {"method": "launch", "params": {"url": "{bundle_url}", "deep": [{"x": "{name}"}]}, "id": "a.0.id"},
        "list": {"method": "list", "items": "subclusters", "id": "id"},
        "probe": {"method": "greet", "params": ["{root}", ["{nonce}"]], "expect": "{nonce}"},
    },
}

WRONG: list[tuple[str, Any, str]] = [
    ("strat", ["true"], "strat is unknown; known: name, *did you mean 'start'?"),
    ("start", None, "start is missing; it is the command that starts the daemon"),
    ("stop", None, "stop is missing; it is the command that stops the daemon"),
    ("start", "node cli.mjs", "start is one text; write a list of words, as ['node', 'cli.mjs']"),
    ("start", [], "start is not a list of words: []"),
    ("start", ["true", "x"], "start has no {home}, and no variable of env has it*every daemon would be the same one"),
    ("start", ["true", "{hom}"], "start has the unknown placeholder {hom}; known here: {home}, *did you mean 'home'?"),
    ("start", ["true", "{root}"], "start has the unknown placeholder {root}; known here: {home}, {socket}, {timeout}"),
    (
        "start",
        ["no-such-program-here"],
        "start runs 'no-such-program-here', and no program of that name is in the PATH",
    ),
    ("stop", ["./no-such-program"], "stop runs './no-such-program', and */no-such-program is no program"),
    ("env", {"A": 1}, "env.A is not a text: 1"),
    ("env", {"A": "{id}"}, "env has the unknown placeholder {id}*"),
    ("bundle", "two.bundle", "bundle names */two.bundle, which is not there"),
    ("bundle", ".", "bundle names *, which is not a file"),
    ("bundle", None, "bundle is missing (or bundle_command); launch needs a bundle"),
    ("bundle_command", ["true"], "bundle_command is given beside bundle*"),
    ("start_timeout", "40", "start_timeout is not a number of seconds between 0 and 3600: '40'"),
    ("start_timeout", True, "start_timeout is not a number of seconds*"),
    ("foreground", 1, "foreground is neither true nor false: 1"),
    ("socket", None, "socket is missing; rpc.ping is asked over it"),
    ("log", "daemon.log", "log is 'daemon.log', and does not say where in {home}: each daemon has files of its own"),
    ("socket", "/run/one", "socket is '/run/one', and does not say where in {home}*"),
    (
        "force_stop",
        ["no-such-program"],
        "force_stop runs 'no-such-program', and no program of that name is in the PATH",
    ),
    ("version_command", ["true", "{home}"], "version_command has the unknown placeholder {home}; known here: none"),
    ("socket", "{home}/{name}", "socket has the unknown placeholder {name}; known here: {home}"),
    ("store_format", "sqlite", "store is missing; store_format says something about it"),
    ("store_format", "json", 'store_format is not "sqlite"*'),
    ("phases", ["one"], "phases has 'one', and without interrupt a start is interrupted at *: home, socket"),
    ("phases", ["home", "sokcet"], "phases has 'sokcet', *did you mean 'socket'?"),
    ("interrupt", {"A": "b"}, "phases is missing; interrupt sets a failpoint in each of them"),
    ("phases", ["one", "one"], "phases names a phase twice*"),
    ("cwd", "nowhere", "cwd names */nowhere, which is not there"),
    ("rpc", [], "rpc is not a table"),
    ("rpc.ping", None, "rpc.ping is missing (or cli.ping)*"),
    ("rpc.pnig", {"method": "x"}, "rpc.pnig is unknown; known: ping, *did you mean 'ping'?"),
    ("rpc.ping", ["ping"], "rpc.ping is neither a table nor *"),
    ("rpc.ping", {}, "rpc.ping.method is missing"),
    ("rpc.ping", {"method": "ping", "command": ["x"]}, "rpc.ping.command is unknown*"),
    ("rpc.ping", {"method": "ping", "items": "x"}, "rpc.ping.items is unknown*"),
    ("rpc.probe", {"method": "m", "params": 1}, "rpc.probe.params is neither a list nor a table: 1"),
    (
        "rpc.probe",
        {"method": "m", "params": [{"{rot}": 1}]},
        "rpc.probe.params has the unknown placeholder {rot}*'root'?",
    ),
    ("workers", "yes", "workers is neither true nor false: 'yes'"),
    (
        "cli.launch_io",
        ["true", "{io}"],
        "cli.launch_io.command has the unknown placeholder {io}; known here: *{io_path}",
    ),
    ("rpc.launch", None, "rpc.probe is given without launch*"),
    ("rpc.audit", {"method": "audit"}, "rpc.audit is asked when no daemon runs; it is a command line, in cli"),
    (
        "cli.prune",
        ["true", "{io_path}"],
        "cli.prune.command has the unknown placeholder {io_path}; known here: *{root}",
    ),
    ("cli.repair", {"command": ["true"], "root": "r"}, "cli.repair.root is unknown*"),
    ("small_log", {"A": "1"}, "log is missing; small_log says something about it"),
    ("small_log", {"A": "{home}"}, "small_log has the unknown placeholder {home}; known here: none"),
    ("rpc.list", {"method": "l", "quarantined": "bad"}, "rpc.list.state is missing*"),
    ("cli", {"ping": ["true"]}, "cli.ping is given in rpc, too*"),
    ("cli", {"ping": {"command": "true"}}, "cli.ping.command is one text*"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "one.bundle").write_text("{}")
    return tmp_path / "pyproject.toml"


def changed(path: str, value: Any) -> dict[str, Any]:
    """Give the good description with one value put in, or with ``None`` taken out."""
    table: dict[str, Any] = copy.deepcopy(GOOD)
    *tables, key = path.split(".")
    place = table
    for name in tables:
        place = place.setdefault(name, {})
    if value is None:
        del place[key]
    else:
        place[key] = value
    return table


@pytest.mark.parametrize(
    ("path", "value", "told"), WRONG, ids=[f"{row[0]}-{number}" for number, row in enumerate(WRONG)]
)
def test_what_is_wrong_is_told_by_its_key(source: Path, path: str, value: Any, told: str) -> None:
    with pytest.raises(pytest.UsageError) as error:
        driver_from(changed(path, value), source)
    pattern = ".*".join(map(re.escape, f"{source}: [tool.pytest_ocap.command] {told}".split("*")))
    assert re.fullmatch(pattern, str(error.value)), str(error.value)


def test_a_missing_table_is_told(source: Path) -> None:
    with pytest.raises(pytest.UsageError, match=r"\[tool.pytest_ocap.command\] is missing"):
        driver_from(None, source)


def test_verbs_and_files_that_are_given_are_capabilities_and_no_others(source: Path) -> None:
    driver = driver_from(GOOD, source)
    have = {
        Capability.LAUNCH,
        Capability.LIST,
        Capability.PROBE,
        Capability.FETCH,
        Capability.SOCKET,
        Capability.PHASES,
    }
    assert set(driver.supports) == have
    small = {"start": ["true", "{home}"], "stop": ["true"], "phases": [], "cli": {"ping": ["true"]}}
    assert driver_from(small, source).supports == {}
    more = changed("rpc.list", {"method": "l", "state": "s", "code": "c"}) | {
        "log": "{home}/l",
        "pidfile": "{home}/p",
        "store": "{home}/d",
        "store_format": "sqlite",
        "lock": "{home}/k",
        "force_stop": ["true"],
        "error_code": "data.code",
        "phases": ["one", "two"],
        "interrupt": {"FAIL": "{phase}={how}"},
        "workers": True,
        "small_log": {"LOG": "1"},
        "cli": {
            "status": ["true"],
            "launch_io": ["true", "{io_path}"],
            "launch_pinned": ["true", "{bundle}"],
            "repair": ["true", "{id}"],
            "prune": ["true", "{id}"],
            "terminate": ["true", "{id}"],
            "collect": ["true"],
            "audit": ["true"],
        },
    }
    more["rpc"]["probe"]["count"] = "n"
    python_only = {Capability.OLDER_STORE, Capability.REFERENCES, Capability.REVOKE}
    assert set(driver_from(more, source).supports) == set(Capability) - python_only


@pytest.mark.parametrize(
    ("status", "made", "sound"), [("0", True, True), ("1", True, False), ("2", False, None), ("127", False, None)]
)
def test_an_audit_finds_nothing_or_something_or_cannot_be_made(
    source: Path, status: str, made: bool, sound: bool | None
) -> None:
    driver = driver_from(changed("cli.audit", ["sh", "-c", f"exit {status}"]), source)
    outcome = driver.audit(source.parent, timeout=10.0)
    assert (outcome.ok, outcome.value and outcome.value.sound) == (made, sound)


@pytest.mark.parametrize(
    ("script", "made", "sound"),
    [
        ("echo sound", True, True),
        ("echo corrupt: 3 pages", True, False),
        ("true", True, False),
        ("echo sound; exit 1", True, False),
        ("echo sound; exit 2", False, None),
    ],
)
def test_an_audit_that_ends_well_has_found_something_when_it_does_not_say_what_is_expected(
    source: Path, script: str, made: bool, sound: bool | None
) -> None:
    driver = driver_from(changed("cli.audit", {"command": ["sh", "-c", script], "expect": "sound"}), source)
    outcome = driver.audit(source.parent, timeout=10.0)
    assert (outcome.ok, outcome.value and outcome.value.sound) == (made, sound)
    assert ("expected 'sound' in the answer" in outcome.text) is (sound is False and "sound" not in script)


def test_an_audit_that_takes_too_long_has_not_been_made(source: Path) -> None:
    driver = driver_from(changed("cli.audit", {"command": ["sleep", "600"], "expect": "sound"}), source)
    outcome = driver.audit(source.parent, timeout=0.05)
    assert (outcome.ok, outcome.timed_out, outcome.value) == (False, True, None)


def test_the_program_that_prints_the_version_has_a_home_that_is_gone_afterwards(source: Path) -> None:
    program = source.with_name("program")
    program.write_text('#!/bin/sh\nmkdir -p "$PLACE/data" && echo "v-$PLACE"\n')
    program.chmod(0o755)
    described = {"version_command": [str(program)], "env": {"PLACE": "{home}"}}
    driver = driver_from(GOOD | described, source)
    home = Path(driver.version.removeprefix("v-"))
    assert home.is_absolute()
    assert not home.parent.exists()
    assert sorted(path.name for path in source.parent.iterdir()) == ["one.bundle", "program"]


def test_a_version_that_cannot_be_printed_is_none(source: Path) -> None:
    for words in (["false"], ["sh", "-c", "echo 1.2; exit 3"], ["true"]):
        assert driver_from(GOOD | {"version_command": words}, source).version == ""
    assert driver_from(GOOD | {"version_command": ["printf", "1.2\\nmore"]}, source).version == "1.2"


def test_what_is_asked_about_a_subcluster_names_it_as_the_daemon_does(source: Path) -> None:
    words = ["sh", "-c", 'echo "$1 $2 $3"', "sh", "{id}", "{root}", "{name}"]
    about = Subcluster("s1", "o7", source, "file:///b/c1.bundle")
    for verb in ("repair", "prune", "terminate"):
        outcome = getattr(driver_from(changed(f"cli.{verb}", words), source), verb)(source.parent, about, timeout=10.0)
        assert (outcome.ok, outcome.text) == (True, "s1 o7 c1\n"), verb


def test_every_key_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "drivers.md").read_text()
    for key in (*KEYS, *VERBS, *VERB_KEYS):
        assert f"`{key}`" in page, key
    for name in {name for key in KEYS.values() for name in key.placeholders} | {n for v in VERBS.values() for n in v}:
        assert f"`{{{name}}}`" in page, name
    for capability in Capability:
        assert f"`{capability}`" in page, capability


def test_codes_of_errors_and_codes_of_causes_go_together(source: Path) -> None:
    table = changed("rpc.list", {"method": "l", "state": "s"}) | {"error_code": "data.code"}
    with pytest.raises(pytest.UsageError, match=r"rpc\.list\.code is missing; error_code says"):
        driver_from(table, source)


@pytest.mark.parametrize("key", ["start", "stop", "force_stop", "env"])
def test_a_socket_that_is_used_has_to_be_named(tmp_path: Path, key: str) -> None:
    table: dict[str, Any] = {"start": ["true"], "stop": ["true"], "cli": {"ping": ["true"]}}
    table[key] = {"WHERE": "{socket}"} if key == "env" else ["true", "{socket}"]
    with pytest.raises(pytest.UsageError, match=rf"socket is missing, and {key} uses {{socket}}"):
        driver_from(table, tmp_path / "pyproject.toml")
