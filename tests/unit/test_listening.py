"""The socket's place: dead things make way, things with content are kept aside, live listeners are left alone."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from kernel.daemon.listening import Listener, listen
from kernel.errors import DaemonForeignError, HomeError
from kernel.events import ListLog


@pytest.fixture
def path(short_tmp: Path) -> str:
    return str(short_tmp / "daemon.sock")


def listening(path: str) -> tuple[Listener, ListLog]:
    log = ListLog()
    return listen(path, log), log


def connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def test_a_socket_is_made_for_its_owner_only_and_removed_at_the_end(path: str) -> None:
    listener, log = listening(path)
    assert connects(path)
    assert os.lstat(path).st_mode & 0o777 == 0o600
    listener.close()
    listener.close()
    assert not os.path.lexists(path)
    assert log.records == []


def test_the_umask_is_as_before(path: str) -> None:
    before = os.umask(0o022)
    listening(path)[0].close()
    assert os.umask(before) == 0o022


def test_a_dead_socket_is_replaced(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    listener, log = listening(path)
    assert connects(path)
    listener.close()
    assert log.named("socket.stale_removed")


@pytest.mark.parametrize("target", ["nowhere", "daemon.sock"], ids=["dangling", "looping"])
def test_a_link_that_leads_nowhere_is_replaced(path: str, target: str) -> None:
    os.symlink(target, path)
    listener, _log = listening(path)
    assert not os.path.islink(path)
    assert connects(path)
    listener.close()


def test_an_empty_file_and_an_empty_directory_are_replaced(path: str) -> None:
    Path(path).touch()
    listening(path)[0].close()
    os.mkdir(path)
    listener, log = listening(path)
    listener.close()
    assert log.named("socket.stale_removed")[0]["kind"] == "empty directory"


def test_a_file_with_content_is_moved_aside_and_so_is_the_next(path: str) -> None:
    for number in (1, 2):
        Path(path).write_text(f"mine {number}")
        listener, log = listening(path)
        assert connects(path)
        listener.close()
        (record,) = log.named("socket.moved_aside")
        assert record["movedTo"] == f"{path}.stale-{number}"
        assert Path(record["movedTo"]).read_text() == f"mine {number}"


def test_a_directory_with_content_and_a_fifo_are_moved_aside(path: str) -> None:
    os.mkdir(path)
    Path(path, "file").write_text("mine")
    listening(path)[0].close()
    assert Path(f"{path}.stale-1", "file").read_text() == "mine"
    os.mkfifo(path)
    listening(path)[0].close()
    assert os.path.exists(f"{path}.stale-2")


def test_a_link_to_something_is_moved_aside_and_what_it_leads_to_is_kept(path: str, short_tmp: Path) -> None:
    (short_tmp / "precious").write_text("mine")
    os.symlink("precious", path)
    listening(path)[0].close()
    assert (short_tmp / "precious").read_text() == "mine"


@pytest.mark.parametrize("linked", [False, True])
def test_a_live_listener_is_refused_by_name_and_left_alone(path: str, linked: bool) -> None:
    place = f"{path}.other" if linked else path
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(place)
        other.listen()
        if linked:
            os.symlink(place, path)
        before = os.lstat(path)
        with pytest.raises(DaemonForeignError) as caught:
            listening(path)
        assert os.lstat(path).st_ino == before.st_ino
        assert connects(path)
    assert path in caught.value.message
    if hasattr(socket, "SO_PEERCRED"):
        assert caught.value.data["pid"] == os.getpid()
        assert f"pid {os.getpid()} (" in caught.value.message


def test_a_socket_of_another_kind_that_is_in_use_is_left_alone(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        with pytest.raises(DaemonForeignError):
            listening(path)
        assert os.path.exists(path)


def test_the_file_of_somebody_who_came_later_is_not_removed(path: str) -> None:
    listener, _log = listening(path)
    os.unlink(path)
    Path(path).write_text("somebody else's")
    listener.close()
    assert Path(path).read_text() == "somebody else's"


def test_a_place_that_cannot_be_is_an_error_with_the_path(short_tmp: Path) -> None:
    where = str(short_tmp / "missing" / "daemon.sock")
    with pytest.raises(HomeError, match=where):
        listening(where)
