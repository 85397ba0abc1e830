"""Fixtures that every test of this project may use.

Invariant: a test leaves nothing behind.  A folder handed out here is gone when its test ends, and a process that still
works in it fails the test (and is ended, so that one bad test does not spoil the next).
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ocap.reaper import Reaper

pytest_plugins = ["pytester"]

SETTLE_SECONDS = 2.0
"""How long a process that has been told to end may take to let go of a test's folder."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with whole suites on other people's daemons, which take longest: no process waits for one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("foreign") is None)


@pytest.fixture(autouse=True)
def _no_settings_of_the_person_who_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OCAP_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _reaper() -> Iterator[Reaper]:
    """Give the process that cleans up after this one, should this one be killed."""
    from pytest_ocap.reaper import Reaper

    reaper = Reaper()
    yield reaper
    reaper.close()


@pytest.fixture
def short_tmp(_reaper: Reaper) -> Iterator[Path]:
    """Give an empty folder with a path so short that sockets fit below it (AF_UNIX: 107 bytes).

    It is removed at the end, read-only parts too; the test fails when a process other than this one still uses it.
    Should pytest be killed, the folder goes all the same, and so do the processes that use it.
    """
    folder = Path(tempfile.mkdtemp(prefix="oc-", dir="/tmp"))
    _reaper.watch(folder)
    try:
        yield folder
        users = _wait_until_unused(folder)
        for pid in users:
            _end(pid)
    finally:
        _remove(folder)
        _reaper.forget(folder)
    if users:
        pytest.fail(f"left behind in {folder}: " + "; ".join(f"pid {pid}: {what}" for pid, what in users.items()))


def _wait_until_unused(folder: Path) -> dict[int, str]:
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        users = _users(folder)
        if not users or time.monotonic() >= deadline:
            return users
        time.sleep(0.02)


def _users(folder: Path) -> dict[int, str]:
    """Find the processes that work in the folder, hold a file of it open or have bound a socket in it."""
    if sys.platform != "linux":
        return {}
    inside = f"{folder}/"
    sockets = {
        f"socket:[{fields[6]}]": fields[7]
        for fields in (line.split(maxsplit=7) for line in Path("/proc/net/unix").read_text().splitlines())
        if len(fields) == 8 and fields[7].startswith(inside)
    }
    users: dict[int, str] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        held = [path for path in _open_paths(entry.path) if path in sockets or f"{path}/".startswith(inside)]
        if held:
            users[int(entry.name)] = f"{_command(entry.path)} holds " + ", ".join(
                sockets.get(path, path) for path in held
            )
    return users


def _open_paths(process: str) -> list[str]:
    """List what a process has open; a process that ends meanwhile, or is somebody else's, has nothing of ours."""
    try:
        links = [f"{process}/cwd", *(entry.path for entry in os.scandir(f"{process}/fd"))]
    except OSError:
        return []
    paths = []
    for link in links:
        try:
            paths.append(os.readlink(link))
        except OSError:
            continue
    return paths


def _command(process: str) -> str:
    try:
        return Path(process, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "(a process that has ended)"


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove(folder: Path) -> None:
    """Remove a tree, folders without permissions included."""
    for path, folders, _files in os.walk(folder):
        for name in folders:
            child = os.path.join(path, name)
            if not os.path.islink(child):
                os.chmod(child, stat.S_IRWXU)
    shutil.rmtree(folder)
