"""A process of ours ends at once, and loses nothing by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = "import atexit, sys, threading, time\nfrom kernel.ending import end_process\n"


def ended(program: str, stdout: int | None = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_registered_for_the_end_runs_and_what_is_buffered_is_written() -> None:
    done = ended("atexit.register(print, 'last')\nsys.stdout.write('first ')\nend_process(3)")

    assert (done.stdout, done.stderr, done.returncode) == ("first last\n", "", 3)


def test_a_thread_that_goes_on_does_not_hold_it_up() -> None:
    done = ended("threading.Thread(target=time.sleep, args=(600,)).start()\nend_process(0)")

    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("status", "told"), [(0, 120), (3, 3)])
def test_output_that_cannot_be_written_is_no_success(status: int, told: int) -> None:
    with Path("/dev/full").open("w") as full:
        done = ended(f"sys.stdout.write('lost')\nend_process({status})", stdout=full.fileno())

    assert done.returncode == told


def test_a_process_without_standard_output_ends_too() -> None:
    assert ended("sys.stdout = None\nend_process(0)").returncode == 0
