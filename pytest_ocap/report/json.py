"""The report as JSON.

Invariant: the file is replaced whole or not at all, and holds nothing but what ``docs`` describe: schema, edition,
driver, scenarios.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

from pytest_ocap.editions import EDITION

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def write(path: str, driver: KernelDriver, verdicts: Sequence[Verdict]) -> None:
    """Write the report to a file.

    Raises:
        OSError: That is not possible; what was there before is as it was.
    """
    text = json.dumps(as_data(driver, verdicts), indent=2, ensure_ascii=False) + "\n"
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".ocap-report-", dir=directory)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
