"""Who observes a start and strikes it goes before everybody else on its processor, where that is allowed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the observer is inotify of Linux")

OBSERVING = """
import os
from pytest_ocap.drivers import command_watch

command_watch.urgent()
print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, len(os.sched_getaffinity(0)), os.nice(0), flush=True)
if os.fork() == 0:
    command_watch.patient()
    print(os.sched_getscheduler(0), len(os.sched_getaffinity(0)), os.nice(0), flush=True)
    os._exit(0)
os.wait()
"""


NICE = min(os.nice(0), 9)


def observing(prefix: str = "") -> list[list[int]]:
    """Give policy, number of processors and niceness of the observer, and of the start that it observes."""
    words = (sys.executable, "-c", prefix + OBSERVING)
    run = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return [[int(word) for word in line.split()] for line in run.stdout.splitlines()]


def test_the_observer_goes_first_where_that_is_allowed_and_the_start_goes_last() -> None:
    leave = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    if subprocess.run((sys.executable, "-c", leave), capture_output=True, timeout=60, check=False).returncode != 0:
        pytest.skip("no leave to schedule in real time")
    # What loses real time with a fork begins with a niceness of none.
    assert observing() == [[os.SCHED_FIFO, 1, NICE], [os.SCHED_OTHER, 1, 10]]


def test_the_observer_is_the_more_urgent_of_the_two_where_that_is_not_allowed() -> None:
    without_leave = (
        "import os, resource, pytest_ocap.drivers.command_watch\n"
        "resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))\n"
        "os.geteuid() or os.seteuid(65534)\n"
    )
    assert observing(without_leave) == [[os.SCHED_OTHER, 1, NICE], [os.SCHED_OTHER, 1, NICE + 10]]
