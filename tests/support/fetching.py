"""Bundles to fetch, and what every error of fetching a file has to say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kernel.bundle import Module, render_bundle
from kernel.errors import (
    OcapError,
)
from kernel.fetch import fetch_bundle

if TYPE_CHECKING:
    pass

SOURCE = "def build_root_object(vat_powers, parameters, baggage):\n    return None\n"
BUNDLE = render_bundle("main", {"main": Module("main.py", SOURCE, False)})
OTHER = render_bundle("main", {"main": Module("main.py", SOURCE + "#\n", False)})


def url(path: Path | str) -> str:
    return f"file://{path}"


def failure(path: Path | str, kind: type[OcapError], **options: Any) -> OcapError:
    """Fetch what cannot be fetched, check what every such error has, and give it."""
    with pytest.raises(OcapError) as caught:
        fetch_bundle(url(path), **options)
    error = caught.value
    assert type(error) is kind
    assert str(path) in error.message
    assert error.data["path"] == str(path)
    assert error.data["bundleSpec"] == url(path)
    assert error.remedy
    return error
