"""What scenarios ask of words and files: lost texts, named paths, held locks, listeners."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import pytest

from pytest_ocap.logs import read_line
from pytest_ocap.report.collector import Run
from pytest_ocap.report.json import as_data
from pytest_ocap.report.outputs import OUTPUTS
from pytest_ocap.scenarios.contracts import (
    bare_errno,
    listens,
    locked_files,
    masked,
    masked_record,
    names_path,
    names_subcluster,
)
from pytest_ocap.scenarios.crashed_init import ADVICE
from pytest_ocap.verdict import Finding, lone_finding


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "Error: [object Object]",
        "the start failed: <StoreCorruptError object at 0x7f00dead>",
        "<kernel.errors.StoreError object at 0x7f00dead>",
        "Error:",
        "Error: undefined",
        "StoreCorruptError: None\nNext: look",
        "Error:  (code internal-error)",
    ],
)
def test_a_lost_text_is_noticed(text: str) -> None:
    assert masked(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Error: the store /h/x is damaged (code store-corrupt)\nNext: restore it",
        "The last log lines:\n  none",
        '{"parameters": {}}',
        "the cause: /h/x is a directory",
    ],
)
def test_a_text_that_says_something_is_let_pass(text: str) -> None:
    assert masked(text) is None


def test_a_record_with_an_empty_message_has_lost_it() -> None:
    assert masked_record(read_line('{"level": "fatal", "message": "", "path": "/x"}')) == "an empty field 'message'"
    assert masked_record(read_line('{"level": "fatal", "error": {}}')) == "an empty field 'error'"
    assert masked_record(read_line('{"level": "fatal", "error": {"message": "/x is gone"}}')) is None


@pytest.mark.parametrize(
    "text",
    [
        "ENOSPC\n",
        "enoent",
        "E2BIG",
        "EIO",
        "2",
        "-2",
        "errno 28",
        "errno: 28",
        "(code 2)",
        "Error: ENOENT",
        "FATAL: EIO",
        "OSError: [Errno 2] No such file or directory",
        "[Errno 2] No such file or directory",
        "Error: [Errno 5] Input/output error",
        "ENOENT: no such file or directory",
        "[Errno -2] Name or service not known",
    ],
)
def test_an_errno_is_no_message(text: str) -> None:
    assert bare_errno(text)


@pytest.mark.parametrize(
    "text",
    [
        "Error: the daemon died in phase store",
        "Error: the bundle of c1 is gone",
        "Error: /h/store: No space left on device",
        "[Errno 28] No space left on device: '/h/store'",
        "[Errno 2] No such file or directory: 'c1.bundle'",
        "ENOENT: no such file or directory, open 'c1.bundle'",
        "EACCES: /h/c1.bundle",
        "EIO while the store was opened",
        "2 bundles are missing",
        "exists already",
        "Error: ENOENT\nNext: put the bundle back",
        "",
    ],
)
def test_a_message_that_says_what_failed_is_more_than_an_errno(text: str) -> None:
    assert not bare_errno(text)


def test_a_path_is_named_as_itself_as_a_url_and_through_links(short_tmp: Path) -> None:
    (short_tmp / "real").mkdir()
    (short_tmp / "link").symlink_to("real")
    path = short_tmp / "link" / "my bundle"
    for text in (f"{path} is gone", f"cannot fetch {path.as_uri()}", f"{short_tmp}/real/my bundle: no"):
        assert names_path(text, path)
    assert not names_path("my bundle is gone", path)


def test_a_subcluster_is_named_by_a_word_of_its_own_outside_of_the_home_s_path() -> None:
    home = Path("/tmp/oc-s2/h")
    assert names_subcluster("ready, degraded: s2 (bundle-missing: /tmp/oc-s2/b/c2.bundle)", "s2", home)
    assert not names_subcluster("ready: /tmp/oc-s2/h/daemon.sock", "s2", home)
    assert not names_subcluster("ready: /tmp/oc-ks2x/daemon.sock, pid 12", "s2", home)
    assert not names_subcluster("ready: pid 12", "2", home)


def test_held_locks_and_listeners_are_seen(short_tmp: Path) -> None:
    (short_tmp / "free").touch()
    with (short_tmp / "lock").open("w") as file, socket.socket(socket.AF_UNIX) as listener:
        fcntl.flock(file, fcntl.LOCK_EX)
        listener.bind(str(short_tmp / "sock"))
        assert not listens(short_tmp / "sock")
        listener.listen()
        assert listens(short_tmp / "sock")
        assert locked_files(short_tmp) == [short_tmp / "lock"]
    assert locked_files(short_tmp) == []
    assert not listens(short_tmp / "sock")
    assert locked_files(short_tmp / "nowhere") == []


def test_advice_is_recognised() -> None:
    assert ADVICE.search("Next: ocap daemon stop --force")
    assert not ADVICE.search("it hangs")


def test_a_report_holds_any_text(short_tmp: Path) -> None:
    import json

    from little_driver import LittleDriver

    verdict = lone_finding("x", Finding.FAILED, "one", "a name that is no text: \udcff, and ü")
    data = as_data(Run(LittleDriver(), None, "2026-11-24T08:44:36Z", 1.5), [verdict])
    OUTPUTS[0].write(str(short_tmp / "deep" / "r.json"), data)
    assert json.loads((short_tmp / "deep" / "r.json").read_text()) == data
    assert [path.name for path in (short_tmp / "deep").iterdir()] == ["r.json"]
