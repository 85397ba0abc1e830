"""The home directory: which one is meant, which files it has, and which directories will not do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernel.daemon.home import MAX_SOCKET_PATH_BYTES, Home
from kernel.errors import HomeError, SocketPathError


def test_the_argument_wins_over_the_environment_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home().path == str(tmp_path / ".ocap")
    monkeypatch.setenv("OCAP_HOME", str(tmp_path / "from-environment"))
    assert Home().path == str(tmp_path / "from-environment")
    assert Home(tmp_path / "given").path == str(tmp_path / "given")


def test_every_path_is_absolute_though_the_argument_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home("h")
    paths = [home.path, home.store, home.lock, home.pid, home.socket, home.log, home.bundles]
    assert all(os.path.isabs(path) and path.startswith(str(tmp_path / "h")) for path in paths)


def test_the_socket_can_be_put_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCAP_SOCKET_PATH", "/tmp/elsewhere.sock")
    assert Home(tmp_path).socket == "/tmp/elsewhere.sock"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_name_that_no_directory_can_have_is_refused(name: str) -> None:
    with pytest.raises(HomeError, match="not usable"):
        Home(name)


def test_a_home_is_made_for_its_owner_only(short_tmp: Path) -> None:
    home = Home(short_tmp / "a" / "b")
    home.create()
    assert os.stat(home.path).st_mode & 0o777 == 0o700
    home.create()


def test_a_file_in_the_place_of_a_home_is_refused_by_its_path(short_tmp: Path) -> None:
    (short_tmp / "h").write_text("mine")
    with pytest.raises(HomeError, match=f"{short_tmp}/h is not a directory") as caught:
        Home(short_tmp / "h").create()
    assert caught.value.data["path"] == str(short_tmp / "h")
    assert caught.value.remedy


def test_a_home_below_a_file_is_refused(short_tmp: Path) -> None:
    (short_tmp / "f").write_text("")
    with pytest.raises(HomeError, match="cannot be made"):
        Home(short_tmp / "f" / "h").create()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_home_of_another_user_is_refused(short_tmp: Path) -> None:
    (short_tmp / "h").mkdir()
    os.chown(short_tmp / "h", 65534, 65534)
    with pytest.raises(HomeError, match="another user"):
        Home(short_tmp / "h").create()


def test_a_socket_path_of_107_bytes_fits_and_of_108_does_not(short_tmp: Path) -> None:
    fixed = len(os.fsencode(short_tmp / "x" / "daemon.sock")) - 1
    fitting = Home(short_tmp / ("x" * (MAX_SOCKET_PATH_BYTES - fixed)))
    fitting.create()
    assert len(fitting.socket) == MAX_SOCKET_PATH_BYTES
    long = Home(fitting.path + "x")
    with pytest.raises(SocketPathError) as caught:
        long.create()
    assert long.socket in caught.value.message
    assert not os.path.exists(long.path)
    assert "OCAP_SOCKET_PATH" in str(caught.value.remedy)
