"""The fixtures.  Light: what a fixture needs is imported when a test asks for it.

Invariant: a fixture hands out what its test's situation arranged (see :mod:`pytest_ocap.situation`) and nothing of
its own, so that the order in which fixtures are asked for changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ocap.session import situation_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ocap.clock import Clock
    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.faults.sockets import SocketFault
    from pytest_ocap.faults.starts import InterruptedStart
    from pytest_ocap.inprocess import KernelOpener
    from pytest_ocap.persisted import PersistedStore
    from pytest_ocap.scenarios.missing_bundle import MissingBundle
    from pytest_ocap.situation import Daemon, Situation

FIXTURES = (
    "ocap_driver",
    "ocap_home",
    "ocap_store",
    "ocap_daemon",
    "ocap_missing_bundle",
    "ocap_crashed_init",
    "ocap_stale_socket",
    "ocap_kernel",
    "ocap_clock",
)
"""The public fixtures."""


@pytest.fixture(scope="session")
def ocap_driver(pytestconfig: pytest.Config) -> KernelDriver:
    """The driver of the daemon under test."""
    from pytest_ocap.options import driver_of

    return driver_of(pytestconfig)


@pytest.fixture
def _ocap_situation(request: pytest.FixtureRequest) -> Iterator[Situation]:
    situation = situation_of(request.node)
    yield situation
    situation.release()


@pytest.fixture
def ocap_home(_ocap_situation: Situation, request: pytest.FixtureRequest) -> Path:
    """A daemon's home, with a path short enough for sockets: that of the test's store if it has one, else a new one."""
    from pytest_ocap.session import STORE_FIXTURES

    shared = bool(_ocap_situation.wished) or bool(STORE_FIXTURES & set(request.fixturenames))
    return _ocap_situation.store.home if shared else _ocap_situation.fresh_home


@pytest.fixture
def ocap_store(_ocap_situation: Situation) -> PersistedStore:
    """A stopped home with subclusters that were launched and have answered; ``persisted_store`` says how many (3)."""
    return _ocap_situation.store


@pytest.fixture
def ocap_missing_bundle(_ocap_situation: Situation) -> MissingBundle:
    """The broken bundles of the test's store, as ``missing_bundle`` describes them; ``restore()`` puts them back."""
    found: MissingBundle = _ocap_situation.arranged("missing_bundle")
    return found


@pytest.fixture
def ocap_crashed_init(_ocap_situation: Situation) -> InterruptedStart:
    """A start of the daemon that was killed or stopped half way, as ``crashed_init`` describes it."""
    found: InterruptedStart = _ocap_situation.arranged("crashed_init")
    return found


@pytest.fixture
def ocap_stale_socket(_ocap_situation: Situation) -> SocketFault:
    """What stands where the daemon's socket belongs, as ``stale_socket`` describes it."""
    found: SocketFault = _ocap_situation.arranged("stale_socket")
    return found


@pytest.fixture
def ocap_daemon(_ocap_situation: Situation) -> Daemon:
    """The daemon, booted on the test's store with its markers' faults arranged; ``outcome`` says how it went."""
    return _ocap_situation.daemon


@pytest.fixture
def ocap_kernel(request: pytest.FixtureRequest, ocap_clock: Clock) -> Iterator[KernelOpener]:
    """Open kernels in this process: ``ocap_kernel(home)`` reproduces just the restore of a home, on a copy of it.

    Without an argument it opens a copy of the test's own store, with the faults of its markers arranged.
    """
    from pytest_ocap.inprocess import KernelOpener
    from pytest_ocap.session import homes_of

    def own_home() -> Path:
        situation: Situation = request.getfixturevalue("_ocap_situation")
        return situation.home

    with KernelOpener(own_home, ocap_clock, homes_of(request.config)) as opener:
        yield opener


@pytest.fixture
def ocap_clock() -> Clock:
    """A clock that nobody freezes, and that a test may move forward; the in-process kernel's deadlines read it."""
    from pytest_ocap.clock import Clock

    return Clock()
