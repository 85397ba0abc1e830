"""The process that cleans up after a killed test process, also where one test process runs another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from watching import eventually

ROOT = Path(__file__).parents[2]

OUTER = """
import pathlib, subprocess, sys
from pytest_ocap.reaper import Reaper
outer, inner, program = sys.argv[1:]
reaper = Reaper()
reaper.watch(outer)
pathlib.Path(outer).mkdir()
subprocess.run([sys.executable, "-c", program, inner], cwd=outer)
"""

INNER = """
import pathlib, subprocess, sys
from pytest_ocap.reaper import Reaper
(inner,) = sys.argv[1:]
reaper = Reaper()
reaper.watch(inner)
pathlib.Path(inner).mkdir()
subprocess.run(["sh", "-c", 'sleep 600 & echo $! >pid; wait'], cwd=inner)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes and files are observed on Linux only")
def test_one_that_cleans_up_is_not_cleaned_up_by_another(short_tmp: Path) -> None:
    outer, inner = short_tmp / "outer", short_tmp / "inner"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", OUTER, str(outer), str(inner), INNER], env=environment) as run:
        eventually(lambda: (inner / "pid").exists() and bool((inner / "pid").read_text()))
        run.send_signal(signal.SIGKILL)
    eventually(lambda: not inner.exists() and not outer.exists())
