"""The kernel against a small model of what it promises to its users, driven by Hypothesis (docs/model.md)."""

from __future__ import annotations

import sys

import pytest
from driving import STEPS
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from kernels import Daemon
from machine import KernelMachine


class DaemonMachine(KernelMachine):
    """The same, of a daemon."""

    make = Daemon


def run(machine: type[KernelMachine], examples: int, steps: int) -> None:
    """Run a machine; the steps made are printed, by kind."""
    before = STEPS.total()
    budget = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=budget)
    made = STEPS.total() - before
    sys.stdout.write(f"{machine.__name__}: {made} steps; all by kind: {dict(STEPS.most_common())}\n")
    assert made > examples


def test_a_kernel_in_process_keeps_its_promises() -> None:
    run(KernelMachine, examples=8, steps=20)


def test_a_daemon_keeps_its_promises() -> None:
    run(DaemonMachine, examples=2, steps=12)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_a_kernel_in_process_keeps_its_promises_for_long(part: int) -> None:
    run(KernelMachine, examples=30, steps=50)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_a_daemon_keeps_its_promises_for_long(part: int) -> None:
    run(DaemonMachine, examples=10, steps=40)
