"""Something else where the socket belongs: dead things are replaced, other people's left alone."""

from __future__ import annotations

import pytest

from pytest_ocap.markers import MARKERS

_VARIANTS = MARKERS["stale_socket"].parameter("kind").words


@pytest.mark.parametrize(
    "kind", [pytest.param(word, marks=pytest.mark.stale_socket(kind=word), id=word) for word in _VARIANTS]
)
def test_stale_socket(kind: str) -> None:
    """The contract of ``stale_socket`` holds."""
