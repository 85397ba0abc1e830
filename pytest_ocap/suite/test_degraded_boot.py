"""A daemon booted on a store with exactly one missing bundle can be used as always."""

from __future__ import annotations

import pytest


@pytest.mark.degraded_boot
def test_degraded_boot() -> None:
    """The contract of ``degraded_boot`` holds."""
