"""The scenarios, one file each: what is arranged, and the contract that a daemon has to keep.

Invariant: a scenario is a plain callable ``(driver, home, **parameters) -> Verdict`` that needs no pytest, knows the
driver protocol only, and declares beside itself the capabilities that it needs and the checks that it makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ocap.scenarios.bundle_fetch_error import bundle_fetch_error
from pytest_ocap.scenarios.crashed_init import crashed_init
from pytest_ocap.scenarios.degraded_boot import degraded_boot
from pytest_ocap.scenarios.legible_fatal import legible_fatal
from pytest_ocap.scenarios.missing_bundle import missing_bundle
from pytest_ocap.scenarios.stale_socket import stale_socket

if TYPE_CHECKING:
    from pytest_ocap.examination import Scenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (missing_bundle, bundle_fetch_error, legible_fatal, crashed_init, degraded_boot, stale_socket)
}
"""The scenarios that have a contract, by their names."""
