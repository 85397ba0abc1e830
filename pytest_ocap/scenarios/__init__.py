"""The scenarios, one file each: what is arranged, and the contract that a daemon has to keep.

Invariant: a scenario is a plain callable ``(driver, home, **parameters) -> Verdict`` that needs no pytest, knows the
driver protocol only, and declares beside itself the capabilities that it needs and the checks that it makes.  The one
that a marker checks has the marker's name, in the module of that name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pytest_ocap.marker_table import MARKERS

if TYPE_CHECKING:
    from pytest_ocap.examination import Scenario

SCENARIOS: dict[str, Scenario] = {
    name: getattr(import_module(f"{__name__}.{name}"), name) for name, marker in MARKERS.items() if marker.contract
}
"""The scenarios that have a contract, by their names."""
