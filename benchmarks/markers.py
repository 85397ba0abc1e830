"""What a marker costs its user: the set-up of ``ocap_daemon`` under each, beside the verbs of the daemon in it.

Each marker stands on one test of a small project, after one without a marker, which makes the persisted store that the
others get copies of.  Bodies skip, so that no contract is checked.  The floor is what the set-up asked of the daemon to
start, stop and die: the same start as in the subject, so that what a fault makes slow is slow in both.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from benchmarks.measuring import FailedError, run
from benchmarks.table import Benchmark, Row, Sample
from pytest_ocap.marker_table import MARKERS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FIRST = "no marker"
"""The set-up that makes the persisted store of three subclusters; each test process makes it once."""

_CONFTEST = '''\
import json
import os
import threading
import time

import pytest
from pytest_ocap.drivers.kernel import KernelDriver

FOUND = {}


class Clock:
    """Counts the seconds in which at least one verb is under way: some are, from several threads, side by side."""

    def __init__(self):
        self.lock, self.under_way, self.seconds = threading.Lock(), 0, 0.0

    def __enter__(self):
        with self.lock:
            self.under_way += 1
            if self.under_way == 1:
                self.began = time.perf_counter()

    def __exit__(self, *error):
        with self.lock:
            self.under_way -= 1
            if self.under_way == 0:
                self.seconds += time.perf_counter() - self.began


CLOCK = Clock()


class Timed:
    def __init__(self, driver):
        self.driver = driver

    def __getattr__(self, name):
        member = getattr(self.driver, name)
        return timed(member) if name in ("start", "stop", "kill") else member


def timed(verb):
    def call(*arguments, **named):
        with CLOCK:
            return verb(*arguments, **named)

    return call


def pytest_ocap_driver(config):
    return Timed(KernelDriver())


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    if fixturedef.argname != "ocap_daemon":
        return (yield)
    CLOCK.seconds = 0.0
    began = time.perf_counter()
    try:
        return (yield)
    finally:
        FOUND[request.node.name] = [time.perf_counter() - began, CLOCK.seconds]


def pytest_unconfigure(config):
    with open(os.environ["FOUND"], "w") as file:
        json.dump(FOUND, file)
'''

_TEST = """\
def test_{name}(ocap_daemon):
    pytest.skip("only its set-up is measured")
"""


def measure(place: Path) -> dict[str, Sample]:
    """Set up a daemon under each marker."""
    return measure_markers(place, MARKERS)


def measure_markers(place: Path, markers: Iterable[str]) -> dict[str, Sample]:
    """Set up a daemon without a marker, and under each of some; what cannot be arranged here is left out."""
    (place / "pytest.ini").write_text("[pytest]\n")
    (place / "conftest.py").write_text(_CONFTEST)
    tests = [_TEST.format(name="first")]
    tests += [f"@pytest.mark.{name}\n{_TEST.format(name=name)}" for name in markers]
    (place / "test_markers.py").write_text("\n\n".join(("import pytest\n", *tests)))
    found, said = place / "found.json", place / "said.txt"
    words = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--rootdir", os.fspath(place), os.fspath(place))
    run(sys.executable, "-P", "-m", "pytest", *words, output=said, env={"FOUND": os.fspath(found)})
    times: dict[str, list[float]] = json.loads(found.read_text())
    if "test_first" not in times:
        raise FailedError(f"no daemon was set up\n{said.read_text()[-2000:]}")
    samples: dict[str, Sample] = {}
    for test, (setup, verbs) in times.items():
        name = test.removeprefix("test_")
        samples[subject(name)], samples[floor(name)] = Sample(setup), Sample(verbs)
    return samples


def subject(name: str) -> str:
    """Name the samples of a set-up."""
    return f"set-up, {FIRST if name == 'first' else name}"


def floor(name: str) -> str:
    """Name the samples of the verbs in a set-up."""
    return f"verbs, {FIRST if name == 'first' else name}"


_FLOOR = "the starts and stops in it"

BENCHMARK = Benchmark(
    "markers",
    (
        Row(8, "set-up of `ocap_daemon`, with the process's first store", subject("first"), floor("first"), _FLOOR),
        *(Row(8, f"set-up of `ocap_daemon` with `{name}`", subject(name), floor(name), _FLOOR) for name in MARKERS),
    ),
    measure,
    rounds=3,
)
