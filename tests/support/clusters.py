"""Bundles and cluster configurations for tests that launch what they need."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from bench import COUNTER

from kernel.bundle import build_bundle

ECHO = """
    from kernel.vat import E, Exo

    class Root(Exo):
        def __init__(self, baggage):
            self.baggage = baggage

        def echo(self, value):
            return value

        def me(self):
            return self

        def fail(self, text: str):
            raise ValueError(text)

        async def ask(self, other, method: str):
            return await getattr(E(other), method)()

        def never(self):
            while True:
                pass

    def build_root_object(vat_powers, parameters, baggage):
        return Root(baggage)
"""


def bundle(folder: Path, name: str, source: str = COUNTER) -> str:
    """Build a bundle; give its URL."""
    module = folder / f"{name}.py"
    module.write_text(textwrap.dedent(source))
    path = folder / f"{name}.bundle"
    path.write_bytes(build_bundle(str(module)))
    return path.as_uri()


def config(**vats: str) -> dict[str, Any]:
    return {"bootstrap": next(iter(vats)), "vats": {name: {"bundleSpec": url} for name, url in vats.items()}}
