"""What can be said about confinement before anything was started, cheaply: a file or two are looked for."""

from __future__ import annotations

import os
import sys

from kernel.workers.types import Confinement

INSTALL = "Install libseccomp (the package libseccomp2 on Debian and Ubuntu) and the Python package pyseccomp."


def expected_confinement() -> Confinement:
    """Say whether workers will be confined, as far as can be seen from here; the template finds out for certain."""
    if not sys.platform.startswith("linux"):
        reason = f"workers are confined by seccomp, which {sys.platform} does not have"
        return Confinement("none", reason, "Run the daemon on Linux to have its vats confined.")
    if not any(os.path.isfile(os.path.join(entry or ".", "pyseccomp.py")) for entry in sys.path):
        return Confinement("none", "the Python package pyseccomp is not installed", INSTALL)
    return Confinement("full")
