"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import Bench
from sabotage import Saboteur

from kernel.daemon.ensure import stop_daemon
from kernel.daemon.home import Home


@pytest.fixture
def bench(short_tmp: Path) -> Iterator[Bench]:
    """Give a kernel that runs on an empty home."""
    bench = Bench(short_tmp)
    bench.open()
    yield bench
    bench.close()


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
