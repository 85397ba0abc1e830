"""The folder that tests work in is short, goes away, and tells on those who stay in it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parents[2] / "conftest.py").read_text(encoding="utf-8")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    impatient = CONFTEST.replace("SETTLE_SECONDS = 2.0", "SETTLE_SECONDS = 0.2")
    assert impatient != CONFTEST
    pytester.makeconftest(impatient)
    return pytester


def test_a_socket_fits_into_it_and_nothing_of_it_remains(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import os, pathlib

        def test_it(short_tmp):
            assert len(os.fsencode(short_tmp)) < 30
            (short_tmp / "locked").mkdir()
            (short_tmp / "locked" / "file").write_text("x")
            (short_tmp / "locked").chmod(0)
            pathlib.Path("folder.txt").write_text(str(short_tmp))
        """
    )
    project.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
    assert not Path((project.path / "folder.txt").read_text()).exists()


@pytest.mark.parametrize(
    ("where", "what"),
    [
        pytest.param("cwd=short_tmp", "import time; time.sleep(60)", id="its working directory"),
        pytest.param("", "f = open(folder + '/f', 'w'); import time; time.sleep(60)", id="an open file"),
        pytest.param(
            "",
            "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind(folder + '/s'); time.sleep(60)",
            id="a socket",
        ),
    ],
)
def test_a_process_left_in_it_fails_the_test_and_is_ended(project: pytest.Pytester, where: str, what: str) -> None:
    project.makepyfile(
        f"""
        import subprocess, sys

        def test_it(short_tmp):
            script = "folder = sys.argv[1]; print(flush=True); " + {what!r}
            child = subprocess.Popen(
                [sys.executable, "-c", "import sys; " + script, str(short_tmp)], stdout=subprocess.PIPE, {where}
            )
            child.stdout.readline()
            child.stdout.close()
            while {"bool(0)" if where else "not list(short_tmp.iterdir())"}:
                pass
            test_it.child = child

        def test_that_it_was_ended():
            if hasattr(test_it, "child"):
                assert test_it.child.wait(10) == -9
        """
    )
    result = project.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*left behind in /tmp/oc-*: pid *"])


def test_it_goes_with_all_that_uses_it_when_pytest_is_killed(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    project.makepyfile(
        """
        import os, pathlib, signal, subprocess, sys

        def test_it(short_tmp):
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=short_tmp)
            pathlib.Path("seen.txt").write_text(f"{child.pid} {short_tmp}")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = project.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.ret == -signal.SIGKILL
    pid, folder = (project.path / "seen.txt").read_text().split(maxsplit=1)
    deadline = time.monotonic() + 20.0
    while Path(folder).exists() or is_alive(int(pid)):
        assert time.monotonic() < deadline, f"{folder} or pid {pid} is still there"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Say whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
