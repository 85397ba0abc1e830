"""The choice of the injector: what can be had on this machine, for this driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap.driver import Capability, lacks
from pytest_ocap.sweeps.moments import Moments
from pytest_ocap.sweeps.powercuts import PowerCuts
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.systemcalls import SystemCalls
from pytest_ocap.sweeps.witness import Witness
from pytest_ocap.verdict import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.sweeps.cases import Injector


def cuts_for(means: str | None = None) -> PowerCuts | None:
    """Give what cuts the power, where workloads can be recorded."""
    supervisor = Supervisor()
    return PowerCuts(supervisor) if means in (None, "seccomp") and supervisor.missing() is None else None


def injector_for(driver: KernelDriver, means: str | None = None) -> Injector:
    """Give an injector.

    Args:
        driver: The daemon.
        means: The means that it has to use; the best that works when left out.

    Raises:
        UnsupportedError: That one does not work here, or none does.
    """
    lacking: list[str] = []
    for name, make in _MAKERS.items():
        if means in (None, name):
            try:
                return make(driver, tuple(lacking))
            except UnsupportedError as error:
                lacking.append(f"{name}: {error}")
    raise UnsupportedError("; ".join(lacking))


def _at_system_calls(_driver: KernelDriver, _notes: tuple[str, ...]) -> Injector:
    supervisor = Supervisor()
    lacking = supervisor.missing()
    if lacking is not None:
        raise UnsupportedError(f"no system call can be intercepted here: {lacking}")
    return SystemCalls(supervisor)


def _by_strace(_driver: KernelDriver, _notes: tuple[str, ...]) -> Injector:
    witness = Witness()
    lacking = witness.missing()
    if lacking is not None:
        raise UnsupportedError(f"no system call can be traced here: {lacking}")
    return SystemCalls(witness)


def _at_phases(driver: KernelDriver, notes: tuple[str, ...]) -> Injector:
    lacking = lacks(driver, {Capability.PHASES})
    if lacking is not None:
        raise UnsupportedError(f"no start can be interrupted: {lacking}")
    return Moments(notes)


_MAKERS: dict[str, Callable[[KernelDriver, tuple[str, ...]], Injector]] = {
    "seccomp": _at_system_calls,
    "phases": _at_phases,
    "strace": _by_strace,
}
