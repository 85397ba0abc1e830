"""Mutants are run from copies of the kernel, of which nothing may remain, and which no coverage is measured for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.mutation import end_all


@pytest.fixture
def workplace(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty folder with a short path; what still runs there at the end, as some defects have it, is ended."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)  # files that are gone by then cannot be reported on
    yield short_tmp
    end_all(short_tmp)
