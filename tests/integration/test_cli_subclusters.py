"""The ``ocap`` command with subclusters and messages: what a user does, in the words that a user sees."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from shells import Shell, shell_in

import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shell(short_tmp: Path) -> Iterator[Shell]:
    with shell_in(short_tmp) as user:
        yield user


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

    assert "nothing was deleted" in shell.at_terminal("no\n", "subcluster", "prune", "s1")
    assert [record["id"] for record in shell.json("subcluster", "list")] == ["s1"]
    shown = shell.at_terminal("y\n", "subcluster", "prune", "s1")
    assert "s1: quarantined (bundle-missing: " in shown
    assert "pruned s1: 1 vat" in shown
    assert shell.json("subcluster", "list") == []


def test_tables_are_drawn_on_a_terminal_and_plain_in_a_pipe(shell: Shell) -> None:
    shell.ocap("daemon", "start")
    root = shell.launch("c1.bundle")

    assert shell.ocap("subcluster", "list").stdout == (
        f"ID  STATE    ROOT  VATS       CAUSE\ns1  running  {root}   main (v1)\n"
    )
    drawn = shell.at_terminal("", "subcluster", "list")
    assert "─" in drawn
    assert "main (v1)" in drawn


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
