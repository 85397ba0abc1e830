"""A bundle that cannot be fetched: a typed error at once, which names the file."""

from __future__ import annotations

import pytest

from pytest_ocap.markers import MARKERS

_VARIANTS = MARKERS["bundle_fetch_error"].parameter("how").words


@pytest.mark.parametrize(
    "how", [pytest.param(word, marks=pytest.mark.bundle_fetch_error(how=word), id=word) for word in _VARIANTS]
)
def test_bundle_fetch_error(how: str) -> None:
    """The contract of ``bundle_fetch_error`` holds."""
