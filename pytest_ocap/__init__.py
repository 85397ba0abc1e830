"""pytest-ocap: a pytest plugin and fault-injection harness for persistent object-capability kernels.

Importing the package is cheap and needs no pytest: scenarios, faults and drivers are plain Python.  With
``-p pytest_ocap`` the plugin proper is loaded from :mod:`pytest_ocap.plugin`, as the installed entry point does.
"""

from __future__ import annotations

import sys

pytest_plugins = ["pytest_ocap.plugin"]

if "pytest" in sys.modules:
    # The suite's assertions explain themselves; a script that only runs a scenario does not pay for pytest.
    sys.modules["pytest"].register_assert_rewrite("pytest_ocap.suite")
