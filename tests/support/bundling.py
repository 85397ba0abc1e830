"""Source files, and the bundles that are built of them."""

from __future__ import annotations

from pathlib import Path

from kernel.bundle import (
    Bundle,
    build_bundle,
    parse_bundle,
)

ROOT = "def build_root_object(vat_powers, parameters, baggage):\n    return None\n"


def write(root: Path, files: dict[str, str | bytes]) -> str:
    """Write source files below ``root`` and give the path of the first."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(root / next(iter(files)))


def built(root: Path, files: dict[str, str | bytes]) -> Bundle:
    return parse_bundle(build_bundle(write(root, files)), "built.bundle")
