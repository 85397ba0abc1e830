"""The harness's clock runs on while everybody else's stands still."""

from __future__ import annotations

import time

import freezegun
import pytest

from pytest_ocap.clock import Clock


def test_it_runs_on_while_time_is_frozen() -> None:
    with freezegun.freeze_time("2020-02-02"):
        clock = Clock()
        frozen, before = time.monotonic(), clock.now()
        clock.sleep(0.01)
        assert time.monotonic() == frozen
        assert clock.now() - before >= 0.01


def test_it_can_be_moved_forward_only() -> None:
    clock = Clock(read=lambda _id: 5.0)
    clock.advance(2.5)
    assert clock.now() == clock() == 7.5
    with pytest.raises(ValueError, match=r"cannot be moved back by 1\.0 s"):
        clock.advance(-1.0)


def test_waiting_ends_when_the_condition_holds_or_the_time_is_over() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    clock = Clock(read=lambda _id: now[0], sleep=sleep)
    assert clock.wait_until(lambda: len(slept) == 3, 10.0, every=1.0)
    assert not clock.wait_until(lambda: False, 2.0, every=1.0)
    assert now[0] == 5.0
