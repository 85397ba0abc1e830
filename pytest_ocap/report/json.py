"""The report as JSON.

Invariant: it holds nothing but what ``docs`` describe: schema, edition,
driver, scenarios.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_ocap.editions import EDITION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.verdict import Verdict

SCHEMA = 1


def as_data(driver: KernelDriver, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Give the report as JSON data, with the scenarios in the order of their ids."""
    return {
        "schema": SCHEMA,
        "edition": EDITION,
        "driver": {"name": driver.name, "version": driver.version},
        "scenarios": [verdict.to_json() for verdict in sorted(verdicts, key=lambda verdict: verdict.id)],
    }


def render(data: Mapping[str, Any], _suffix: str = ".json") -> str:
    """Give the report as the text of its file."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
