"""Trials of single cases on the kernel: a few of each kind of fault, all of which it has to survive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sweep_bench import Bench, bench

from pytest_ocap.drivers.kernel import driver as kernel
from pytest_ocap.sweeps.kinds import KINDS
from pytest_ocap.sweeps.representatives import most_telling_first
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.trial import Result
from pytest_ocap.sweeps.workloads import WORKLOADS

LACKING = Supervisor().missing()
intercepts = pytest.mark.skipif(LACKING is not None, reason=str(LACKING))


@pytest.fixture(scope="module")
def ours() -> Iterator[Bench]:
    yield from bench(kernel)


SAMPLE = [
    ("restore:write:kernel.sqlite-wal#20=EIO+", "errno"),
    ("pin:write:bundles/*.bundle.tmp#1=EIO", "errno"),
    ("start:write:daemon.pid.tmp#1=short", "errno"),
    ("start:write:daemon.lock#1=short", "errno"),
    ("start:bind:daemon.sock#1=kill-after", "kill"),
    ("start:write:kernel.sqlite-journal#1=ENOSPC+", "errno"),
    ("start:write:daemon.lock#1=hang", "hang"),
    ("repair:write:kernel.sqlite-wal#9=kill", "kill"),
    ("prune:write:kernel.sqlite-wal#9=kill-after", "kill"),
    ("terminate:sync:kernel.sqlite-wal#3=EIO", "errno"),
    ("pin:rename:bundles/*.bundle.tmp#1=kill", "kill"),
    ("restart:unlink:daemon.pid#1=kill", "kill"),
    ("logs:rename:daemon.log#1=kill-after", "kill"),
    ("references:sync:kernel.sqlite-wal#9=kill-after", "kill"),
    ("garbage:sync:kernel.sqlite-wal#9=EIO", "errno"),
    ("revocation:write:kernel.sqlite-wal#40=kill", "kill"),
]
"""A few cases of each kind; the whole is ``pytest --pyargs pytest_ocap.sweeps --ocap-sweep all``."""


@intercepts
@pytest.mark.parametrize(("case", "kind"), SAMPLE)
def test_the_kernel_survives_a_sample(ours: Bench, case: str, kind: str) -> None:
    trial = ours.one(case, kind)
    assert (trial.result, trial.broken) == (Result.PASSED, ()), trial.broken


@intercepts
@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_survives_the_most_telling_of_each_kind(ours: Bench, workload: str, kind: str) -> None:
    telling = most_telling_first(ours.cases(workload, kind))[:12]
    trials = [ours.attempt(case) for case in telling]
    assert [trial for trial in trials if trial.result in (Result.FAILED, Result.HARNESS_BROKEN)] == []
    assert any(trial.result is Result.PASSED for trial in trials)
