"""Hooks that a project may implement in its ``conftest.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ocap.driver import KernelDriver


@pytest.hookspec(firstresult=True)
def pytest_ocap_driver(config: pytest.Config) -> KernelDriver | str | None:
    """Give the driver of the daemon under test, or its name; ``None`` leaves the choice to others."""
