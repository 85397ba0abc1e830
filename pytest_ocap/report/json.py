"""The report as JSON.

Invariant: it is of the form that ``schema.json`` beside this module says, and that ``docs`` explain.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ocap.editions import EDITION
from pytest_ocap.verdict import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_ocap.report.collector import Run
    from pytest_ocap.verdict import Verdict

SCHEMA = 1
"""The number of the form; a form that old readers would misread gets the next."""


def schema() -> dict[str, Any]:
    """Give the JSON schema of the report, as it is published in this package."""
    data: dict[str, Any] = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
    return data


def as_data(run: Run, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Give the report as JSON data, with the scenarios in the order of their ids."""
    return {
        "schema": SCHEMA,
        "edition": EDITION,
        "pinned": run.pinned,
        "driver": {"name": run.driver.name, "version": run.driver.version},
        "run": {
            "started": run.started,
            "seconds": round(run.seconds, 3),
            "platform": f"{platform.system()}-{platform.release()}-{platform.machine()}",
            "python": platform.python_version(),
            "plugin": plugin_version(),
        },
        "summary": summary(verdicts),
        "scenarios": [verdict.to_json() for verdict in sorted(verdicts, key=lambda verdict: verdict.id)],
    }


def summary(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Count the scenarios by verdict; ``declared`` and ``new`` count those among them that therefore fail no run.

    A scenario is *declared* when something in it did not pass, and all of that is in the project's expectations; *new*
    when its edition is newer than the pinned one, whatever it found.
    """
    counts = Counter(verdict.verdict for verdict in verdicts)
    return {
        **{str(finding): counts[finding] for finding in Finding},
        "declared": sum(verdict.excused for verdict in verdicts),
        "new": sum(verdict.new for verdict in verdicts),
    }


def plugin_version() -> str:
    """Give the version of this distribution, which the bundled driver knows."""
    from pytest_ocap.drivers.kernel import driver

    return driver.version


def render(data: Mapping[str, Any], _suffix: str = ".json") -> str:
    """Give the report as the text of its file."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
