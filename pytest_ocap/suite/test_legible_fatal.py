"""A start that must fail: at once, with its cause, leaving nothing."""

from __future__ import annotations

import pytest

from pytest_ocap.markers import MARKERS

_VARIANTS = MARKERS["legible_fatal"].parameter("cause").words


@pytest.mark.parametrize(
    "cause", [pytest.param(word, marks=pytest.mark.legible_fatal(cause=word), id=word) for word in _VARIANTS]
)
def test_legible_fatal(cause: str) -> None:
    """The contract of ``legible_fatal`` holds."""
