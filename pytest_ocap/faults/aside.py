"""Faults that stand where a file belongs: what was there is put aside for as long as they last.

Invariant: whatever stood at the path is put back, with its times and its mode, and what stands in its place by then is
gone.  The proof is what is found at the path when it is looked at as the daemon would, never the fact that the fault
was arranged.
"""

from __future__ import annotations

import abc
import os
import shutil
from typing import TYPE_CHECKING, ClassVar

from pytest_ocap.driver import PLAIN, Setting

if TYPE_CHECKING:
    from pathlib import Path


class InItsPlace(abc.ABC):
    """Something wrong at a path.  What stood there, if anything did, is kept aside until :meth:`undo`.

    Args:
        path: Where the fault is put.
        kept: Where what was there waits: a free place in the same file system.
    """

    id: ClassVar[str]

    def __init__(self, path: Path, kept: Path) -> None:
        self.path = path
        self._kept = kept
        self._arranged = False

    @property
    def setting(self) -> Setting:
        """The circumstances under which the daemon has to run for the fault to bite."""
        return PLAIN

    def arrange(self) -> None:
        """Put what was there aside, and the fault in its place."""
        self.put_aside()
        self._arranged = True
        self.put()

    def put_aside(self) -> None:
        """Free the path."""
        if os.path.lexists(self.path):
            self.path.rename(self._kept)

    @abc.abstractmethod
    def put(self) -> None:
        """Put the fault at the path, which is free."""

    @abc.abstractmethod
    def fired(self) -> str | None:
        """Give the evidence that what belongs at the path cannot be used."""

    def undo(self) -> None:
        """Put back what was there."""
        if not self._arranged:
            return
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)
        if os.path.lexists(self._kept):
            self._kept.rename(self.path)
        self._arranged = False
