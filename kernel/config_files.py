"""Cluster configurations as people have them: in a file, or as the path of a bundle alone.

What stands in them is checked by :mod:`kernel.config`.  A daemon is sent configurations, and imports nothing of this.
"""

from __future__ import annotations

import json
import os

from kernel.bundle import FORMAT
from kernel.config import absolute_bundle_spec, parse_cluster_config
from kernel.errors import ConfigError
from kernel.strict_json import load_strictly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernel.config import ClusterConfig

MAX_CONFIG_BYTES = 4 * 1024 * 1024
"""The largest configuration file that is read, in bytes."""


def read_cluster_config(path: str) -> ClusterConfig:
    """Read a cluster configuration from a JSON file; relative bundleSpecs are relative to the file's directory.

    Raises:
        ConfigError: Naming the file and, where there is one, the key or the line.
    """
    try:
        path = os.path.abspath(path)
        with open(path, "rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The configuration {path} cannot be read: {getattr(error, 'strerror', None) or error}",
            remedy="Give the path of a JSON file that you may read.",
            path=path,
        ) from error
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError(
            f"The configuration {path} is larger than {MAX_CONFIG_BYTES} bytes",
            remedy="Give a cluster configuration; a bundle belongs in a file of its own.",
            path=path,
        )
    try:
        value = _load(data)
        if isinstance(value, dict) and value.get("format") == FORMAT:
            raise ConfigError(
                "it is a bundle, not a configuration",
                remedy="Launch it as a bundle, or give a configuration that names it as a vat's bundleSpec.",
            )
        return parse_cluster_config(value, base=os.path.dirname(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", remedy=error.remedy, **{**error.data, "path": path}) from error


def single_vat_config(bundle_spec: str, vat: str = "main", *, base: str | None = None) -> dict[str, Any]:
    """Give the configuration, as JSON data, of a subcluster of one vat.

    Args:
        bundle_spec: URL or path of the bundle.
        vat: The vat's name.
        base: Directory that a relative path is relative to; the working directory when left out.
    """
    spec = absolute_bundle_spec(bundle_spec, base or "")
    return {"bootstrap": vat, "vats": {vat: {"bundleSpec": spec}}}


def _load(data: bytes) -> object:
    try:
        return load_strictly(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"it is not UTF-8 text (byte {error.start})", remedy="Save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"it is not JSON: {error.msg} in line {error.lineno}, column {error.colno}",
            remedy="Mend the JSON there.",
            line=error.lineno,
        ) from error
    except ValueError as error:
        raise ConfigError(f"it is not usable JSON: {error}", remedy="Mend the JSON.") from error
