"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import Bench


@pytest.fixture
def bench(short_tmp: Path) -> Iterator[Bench]:
    """Give a kernel that runs on an empty home."""
    bench = Bench(short_tmp)
    bench.open()
    yield bench
    bench.close()
