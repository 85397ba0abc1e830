"""Machines that cannot confine a vat: it runs all the same, unless that is refused, and whoever asks is told why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kernel.errors import ConfinementError
from kernel.events import NullLog
from kernel.loop import Loop
from kernel.workers import WorkerPool, confinement

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="confinement uses seccomp, which Linux has"
)

ROOT = Path(__file__).resolve().parents[2]


def test_where_pyseccomp_is_missing_workers_run_unconfined_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])
    expected = confinement.expected_confinement()
    assert expected.state == "none"
    assert expected.reason == "the Python package pyseccomp is not installed"
    loop = Loop()
    with pytest.raises(ConfinementError, match="cannot be confined") as caught:
        WorkerPool(loop, NullLog(), require_confinement=True)
    loop.close()
    assert caught.value.remedy == expected.remedy


def test_on_a_platform_without_seccomp_nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    expected = confinement.expected_confinement()
    assert expected.state == "none"
    assert expected.reason == "workers are confined by seccomp, which darwin does not have"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("confine._compile = fail(ImportError('no such module'))", "pyseccomp cannot be imported: no such module"),
        (
            "confine._compile = fail(OSError('libseccomp.so.2: not found'))",
            "libseccomp cannot be used: libseccomp.so.2",
        ),
        ("confine._compile = lambda: ALLOW_ALL", "does not work here: the filter let a file be opened"),
        ("confine._compile = lambda: b'?' * 8", "does not work here: [Errno 22] prctl(22): Invalid argument"),
        ("confine._compile = lambda: KILL_ALL", "does not work here: the probe ended with wait status"),
    ],
)
def test_a_filter_that_does_not_do_what_it_should_is_not_used(broken: str, reason: str) -> None:
    program = f"""
import struct
from kernel.workers import confine

def fail(error):
    def failing():
        raise error
    return failing

ALLOW_ALL = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
KILL_ALL = struct.pack("HBBI", 0x06, 0, 0, 0x80000000)
{broken}
filter_, found = confine.compile_filter()
assert filter_ is None
assert found.state == "none"
assert found.remedy
print(found.reason)
"""
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert reason in said
