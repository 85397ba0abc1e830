"""Sabotage of a daemon that a test starts: code that runs in it just before it imports one of its modules.

The daemon finds it through ``PYTHONPATH``, so nothing of the daemon itself is changed for a test.
"""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent, indent

import pytest

_HOOK = """
import sys

class Sabotage:
    fired = set()

    def find_spec(self, name, path=None, target=None):
        if name not in self.fired:
            self.fired.add(name)
            if name in CODE:
                CODE[name]()
        return None

CODE = {}
sys.meta_path.insert(0, Sabotage())
"""


class Saboteur:
    """Arranges sabotage for every daemon that the test starts from now on."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._text = _HOOK

    def before_import_of(self, module: str, code: str) -> None:
        """Have code run when the daemon is about to import a module."""
        name = "before_" + module.replace(".", "_")
        self._text += f"\ndef {name}():\n{indent(dedent(code), '    ')}\n\nCODE[{module!r}] = {name}\n"
        self._folder.mkdir(exist_ok=True)
        (self._folder / "sitecustomize.py").write_text(self._text)
        self._monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(self._folder), *_inherited(self._folder)]))

    def undo(self) -> None:
        """Let daemons start as they are again."""
        self._monkeypatch.delenv("PYTHONPATH")


def _inherited(folder: Path) -> list[str]:
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [entry for entry in entries if entry and entry != str(folder)]
