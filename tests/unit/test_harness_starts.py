"""What a start brings into being is found while it lives shortly: nobody else is looked at twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from pytest_ocap.clients import ADOPTERS
from pytest_ocap.drivers.command_clients import AdoptedClient
from pytest_ocap.faults.starts import StartedProcesses

if TYPE_CHECKING:
    from pathlib import Path

BRINGING = """
import subprocess, sys
with subprocess.Popen(["sleep", "600"]) as child:
    print(child.pid, flush=True)
    sys.stdin.read()
    child.kill()
"""
"""Brings a process into being that is not this one's child, and ends it with its own input."""


def test_a_stranger_is_looked_at_once_and_whom_an_adopter_has_is_found(
    short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = StartedProcesses(short_tmp / "h")
    bringing = (sys.executable, "-S", "-c", BRINGING)
    with (
        subprocess.Popen(bringing, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as adopter,
        subprocess.Popen(bringing, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
    ):
        assert adopter.stdout is not None
        assert other.stdout is not None
        ours, strange = int(adopter.stdout.readline()), int(other.stdout.readline())
        monkeypatch.setitem(ADOPTERS, adopter.pid, str(short_tmp / "h"))
        started.look()
        assert ours in started.seen
        assert strange not in started.seen
        looked: list[int] = []
        look = psutil.Process.parents

        def looking(process: psutil.Process) -> list[psutil.Process]:
            looked.append(process.pid)
            return look(process)

        monkeypatch.setattr(psutil.Process, "parents", looking)
        started.look()
        assert strange not in looked


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_the_client_of_a_start_is_not_found_from_its_first_moment_on(short_tmp: Path) -> None:
    started, over = StartedProcesses(short_tmp / "h"), threading.Event()

    def look() -> None:
        while not over.is_set():
            started.look()

    looking = threading.Thread(target=look)
    looking.start()
    clients = set()
    try:
        for _ in range(8):
            with AdoptedClient(["true"], short_tmp / "h", env=os.environ, cwd=short_tmp) as client:
                assert client.wait(20.0)
                clients.add(client.pid)
    finally:
        over.set()
        looking.join()
    assert clients & started.seen.keys() == set()
