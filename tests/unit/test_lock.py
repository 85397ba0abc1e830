"""The lock: held or not is the truth, the text is information, and looking at it disturbs nobody."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kernel.daemon.lock import (
    FAILED,
    STOPPED,
    TEXT_BYTES,
    DaemonLock,
    describe_holders,
    hold_briefly,
    inspect_lock,
    remove_pid_file,
    write_pid_file,
)
from kernel.daemon.process import this_process
from kernel.errors import DaemonRunningError, LockError


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "daemon.lock")


def taken(path: str, phase: str = "lock") -> DaemonLock:
    lock = DaemonLock(path, "/the/home", "1.2.3")
    lock.acquire(phase, patience=0.05)
    return lock


def test_a_lock_that_never_was_is_free(path: str) -> None:
    assert inspect_lock(path) == (False, None)
    assert not os.path.exists(path)


def test_the_holder_is_named_with_its_phase(path: str) -> None:
    lock = taken(path)
    lock.announce("restore", (3, 10))
    held, info = inspect_lock(path)
    lock.release()
    assert held
    assert info is not None
    assert info.process == this_process()
    assert (info.phase, info.progress, info.version, info.home) == ("restore", (3, 10), "1.2.3", "/the/home")


def test_the_time_of_a_phase_is_not_moved_by_progress(path: str) -> None:
    lock = taken(path)
    lock.announce("restore", (1, 2))
    first = inspect_lock(path).info
    lock.announce("restore", (2, 2))
    second = inspect_lock(path).info
    lock.release()
    assert first is not None
    assert second is not None
    assert second.phase_since == first.phase_since
    assert second.progress_monotonic > first.progress_monotonic


def test_a_second_daemon_is_refused_and_told_who_holds_the_lock(path: str) -> None:
    lock = taken(path, "restore")
    with pytest.raises(DaemonRunningError, match=rf"pid {os.getpid()}, phase restore"):
        taken(path)
    lock.release()


def test_the_lock_is_free_after_release_and_the_text_stays_for_the_next_start(path: str) -> None:
    lock = taken(path)
    lock.note(failedPhase="store")
    lock.announce(FAILED)
    lock.release()
    lock.release()
    held, info = inspect_lock(path)
    assert not held
    assert info is not None
    assert info.ended_cleanly
    assert info.failed_phase == "store"
    following = taken(path)
    assert following.previous == info
    following.release()


def test_the_text_of_a_daemon_that_vanished_shows_it(path: str) -> None:
    program = f"""
import os
from kernel.daemon.lock import DaemonLock
lock = DaemonLock({path!r}, "h", "1")
lock.acquire("restore")
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    lock = taken(path)
    assert lock.previous is not None
    assert lock.previous.phase == "restore"
    assert not lock.previous.ended_cleanly
    lock.release()


def test_whoever_only_looks_does_not_keep_a_daemon_from_starting(path: str) -> None:
    stopped = taken(path)
    stopped.announce(STOPPED)
    stopped.release()
    looking = os.open(path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    timer = threading.Timer(0.1, os.close, [looking])
    timer.start()
    lock = DaemonLock(path, "h", "1")
    lock.acquire("lock", patience=10)
    assert lock.held
    lock.release()
    timer.join()


def test_a_stranger_who_keeps_the_lock_is_named(path: str) -> None:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DaemonRunningError, match="not a daemon that can be named"):
            taken(path)
        if os.path.exists("/proc/locks"):
            assert f"pid {os.getpid()}" in describe_holders(path)


def test_the_lock_is_not_inherited(path: str) -> None:
    lock = taken(path)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    lock.release()
    try:
        assert not inspect_lock(path).held
    finally:
        child.kill()
        child.wait()


def test_a_home_that_was_replaced_meanwhile_is_locked_where_it_is_now(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kernel.daemon import lock as module

    real = module._try_lock
    replaced: list[bool] = []

    def replace_first(fd: int, kind: int, where: str) -> bool:
        answer = real(fd, kind, where)
        if not replaced:
            replaced.append(True)
            os.unlink(path)
        return answer

    monkeypatch.setattr(module, "_try_lock", replace_first)
    lock = taken(path)
    assert inspect_lock(path).held
    lock.release()


@pytest.mark.parametrize("text", [b"", b"garbage", b"[]", b'{"pid": "x"}', b"\xff\xfe", b'{"pid": 1, "progress": 7}'])
def test_a_text_of_somebody_else_says_nothing(path: str, text: bytes) -> None:
    Path(path).write_bytes(text)
    assert inspect_lock(path) == (False, None)
    lock = taken(path)
    assert lock.previous is None
    assert inspect_lock(path).info is not None
    lock.release()


def test_the_text_has_always_the_same_size_and_is_json(path: str) -> None:
    lock = DaemonLock(path, "/h" * 3000, "1")
    lock.acquire("lock")
    for phase in ("store", "restore", STOPPED):
        lock.announce(phase)
        data = Path(path).read_bytes()
        assert len(data) == TEXT_BYTES
        assert json.loads(data)["phase"] == phase
    lock.release()


def test_a_directory_a_fifo_and_a_missing_directory_are_errors_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name, problem in (("directory", "cannot be opened"), ("fifo", "not a regular file"), ("no/lock", "not exist")):
        where = str(tmp_path / name)
        with pytest.raises(LockError, match=problem) as caught:
            taken(where)
        assert caught.value.data["path"] == where
        assert where in caught.value.message


def test_tidying_up_takes_the_lock_only_when_nobody_has_it(path: str) -> None:
    lock = taken(path)
    assert hold_briefly(path) is None
    lock.release()
    held = hold_briefly(path)
    assert held is not None
    assert inspect_lock(path).held
    os.close(held)


def test_a_pid_file_is_removed_only_by_the_process_that_it_names(tmp_path: Path) -> None:
    path = str(tmp_path / "daemon.pid")
    write_pid_file(path, 123)
    assert Path(path).read_text() == "123\n"
    assert os.listdir(tmp_path) == ["daemon.pid"]
    assert not remove_pid_file(path, 124)
    assert remove_pid_file(path, 123)
    assert not remove_pid_file(path)


def test_a_pid_file_that_cannot_be_written_is_an_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "daemon.pid").mkdir()
    with pytest.raises(LockError, match=f"{tmp_path}/daemon.pid cannot be written"):
        write_pid_file(str(tmp_path / "daemon.pid"), 1)
    assert os.listdir(tmp_path) == ["daemon.pid"]
