"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import workerbench
from bench import Bench
from sabotage import Saboteur
from served import Served

from kernel.daemon.ensure import stop_daemon
from kernel.daemon.home import Home
from pytest_ocap.sweeps.means import Means
from pytest_ocap.sweeps.supervisor import Supervisor
from pytest_ocap.sweeps.witness import Witness


@pytest.fixture
def bench(short_tmp: Path) -> Iterator[Bench]:
    """Give a kernel that runs on an empty home."""
    bench = Bench(short_tmp)
    bench.open()
    yield bench
    bench.close()


@pytest.fixture
def others_remembered() -> None:
    """Have the processes that there are besides those of a pool not counted as its own."""
    workerbench.remember_others()


@pytest.fixture
def workers(others_remembered: None) -> Iterator[workerbench.Bench]:
    """Give a pool of workers and its loop; it has to leave no process."""
    made = workerbench.Bench()
    yield made
    made.close()
    assert workerbench.children_of_the_pool() == []


@pytest.fixture
def home(short_tmp: Path) -> Iterator[Home]:
    """Give a home that does not exist yet; a daemon that was started on it is ended."""
    home = Home(short_tmp / "h")
    yield home
    stop_daemon(home, force=True)


@pytest.fixture
def sabotage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    """Give what sabotages the daemons that the test starts."""
    return Saboteur(tmp_path / "sabotage", monkeypatch)


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    """Give a supervisor of system calls, for all of a module's recordings."""
    with Supervisor() as supervisor:
        if reason := supervisor.missing():
            pytest.skip(reason)
        yield supervisor


@pytest.fixture(scope="module")
def witness() -> Witness:
    """Give strace, which remembers what it has recorded without faults."""
    witness = Witness()
    if reason := witness.missing():
        pytest.skip(reason)
    return witness


@pytest.fixture(params=["supervisor", "witness"])
def means(request: pytest.FixtureRequest) -> Means:
    """Give each means of recording in turn."""
    means: Means = request.getfixturevalue(request.param)
    return means


@pytest.fixture
def socket_path(short_tmp: Path) -> str:
    """Give where a socket can be."""
    return str(short_tmp / "s.sock")


@pytest.fixture
def served(socket_path: str) -> Iterator[Served]:
    """Give a server on a thread of its own."""
    served = Served(socket_path)
    yield served
    served.close()
