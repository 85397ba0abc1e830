"""Processes are named by pid, start time and boot; a pid alone names nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest
from freezegun import freeze_time

from kernel.daemon.process import (
    ProcessId,
    await_end,
    identify,
    is_alive,
    monotonic,
    name_of,
    send_signal,
    signal_name,
    state_of,
    this_process,
)

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def identity_of(process: subprocess.Popen[bytes]) -> ProcessId:
    identity = identify(process.pid)
    assert identity is not None
    return identity


def test_this_process_is_alive_and_has_a_name() -> None:
    me = this_process()
    assert me.pid == os.getpid()
    assert is_alive(me)
    assert name_of(me.pid) != "unknown"


def test_another_bearer_of_a_pid_is_not_the_same_process(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    assert not is_alive(identity._replace(start_time=identity.start_time - 1))
    assert not is_alive(identity._replace(boot_id="another boot"))


def test_a_signal_for_another_bearer_of_the_pid_is_not_sent(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    assert not send_signal(identity._replace(start_time=identity.start_time - 1), signal.SIGKILL)
    assert sleeper.poll() is None
    assert send_signal(identity, signal.SIGKILL)
    assert sleeper.wait() == -signal.SIGKILL


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert state_of(sleeper.pid) == "Z"
    assert not is_alive(identity)
    assert identify(sleeper.pid) is None


def test_nobody_has_a_pid_that_cannot_be() -> None:
    assert identify(0) is None
    assert identify(-1) is None
    assert identify(2**22 + 1) is None
    assert state_of(2**22 + 1) is None
    assert name_of(2**22 + 1) == "unknown"


def test_signals_have_names_for_people() -> None:
    assert signal_name(9) == "SIGKILL"
    assert signal_name(250) == "signal 250"


def test_a_frozen_clock_does_not_freeze_deadlines() -> None:
    with freeze_time("2026-01-01"):
        before = monotonic()
        while monotonic() == before:
            pass


def test_the_end_of_a_process_is_waited_for_and_no_longer(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper)
    await_end(identity, 0.01)
    assert is_alive(identity)

    killer = threading.Timer(0.05, sleeper.kill)
    killer.start()
    await_end(identity, 30.0)

    assert not is_alive(identity)
    killer.join()
    sleeper.wait()
    await_end(identity, 30.0)
