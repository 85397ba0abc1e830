"""A store some of whose bundles are gone: the start goes on without them, and says so."""

from __future__ import annotations

import pytest

from pytest_ocap.markers import MARKERS

_VARIANTS = MARKERS["missing_bundle"].parameter("how").words


@pytest.mark.parametrize(
    "how", [pytest.param(word, marks=pytest.mark.missing_bundle(how=word), id=word) for word in _VARIANTS]
)
def test_missing_bundle(how: str) -> None:
    """The contract of ``missing_bundle`` holds."""
