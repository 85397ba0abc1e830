"""Copies of homes, and the names that lie in them.

Invariant: nothing in the home is changed, nor opened to be written.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ocap.homes import copy_tree

if TYPE_CHECKING:
    from collections.abc import Iterator


FAULTED = ".faulted"
"""Beside a home: what a fault had left in it, before anything was started again."""


def names_in(home: Path) -> list[str]:
    """Give everything that lies in a home, by its path in it; directories end with a slash."""
    found = []
    for path, folders, files in os.walk(home):
        found += [os.path.relpath(os.path.join(path, name), home) for name in files]
        found += [os.path.relpath(os.path.join(path, name), home) + "/" for name in folders]
    return sorted(found)


@contextlib.contextmanager
def copy_home(home: Path) -> Iterator[Path]:
    """Give a copy of a home for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="ocap-copy-") as folder:
        copy = Path(folder, "h")
        copy_tree(home, copy)
        yield copy
