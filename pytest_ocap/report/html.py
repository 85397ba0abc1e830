"""The report as one page of HTML that needs nothing else: no network, no other file, no script to be read.

Invariant: the page says what the JSON report says, every scenario, check, detail and piece of evidence, and holds that
report itself for machines.  Whatever daemons wrote is text: it is escaped as a rule of the template's environment, what
cannot be seen is made visible, and the page's content security policy admits its own style and script and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from pytest_ocap.report import summary
from pytest_ocap.report.chart import LASTING, Chart, draw
from pytest_ocap.report.stored import completed
from pytest_ocap.report.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = Path(__file__).with_name("page")

SYMBOLS = {
    summary.PASSED: "✓",
    summary.FAILED: "✗",
    summary.HARNESS_BROKEN: "⚠",
    summary.NOT_MEASURED: "?",
    summary.UNSUPPORTED: "–",
    summary.DECLARED: "≈",
    summary.MENDED: "↺",
    summary.NEW: "+",
}
"""A sign for each verdict and standing; it never stands without the word."""


@dataclass(frozen=True)
class Run:
    """One run of a scenario, as the page names it."""

    number: int
    data: Mapping[str, Any]
    variant: str
    standing: str
    chart: Chart | None

    @property
    def anchor(self) -> str:
        """The fragment under which the page has it."""
        return f"run-{self.number}"

    @property
    def is_red(self) -> bool:
        """Whether it fails the whole run."""
        return self.standing in summary.RED

    @property
    def verdicts(self) -> dict[str, tuple[int, str]]:
        """The number and the verdict of each check, by its name."""
        return {check["id"]: (number, check["verdict"]) for number, check in enumerate(self.data["checks"])}


@dataclass
class Family:
    """The variants of one scenario, and the checks that any of them makes, in the order in which they come."""

    name: str
    runs: list[Run] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)


def render(data: Mapping[str, Any], _suffix: str = ".html") -> str:
    """Give the page."""
    report = completed(data)
    runs = [_run(number, scenario) for number, scenario in enumerate(report["scenarios"], 1)]
    counts = summary.counted(report)
    style, script = (
        (PAGE / "page.css").read_text(encoding="utf-8"),
        (PAGE / "page.js").read_text(encoding="utf-8"),
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html").render(
        report=report,
        runs=sorted(runs, key=lambda run: list(summary.STANDINGS).index(run.standing)),
        families=_families(runs),
        outcome=summary.outcome(report),
        sentence=summary.sentence(report),
        subject=summary.subject(report),
        standings={where: counts[where] for where in summary.STANDINGS if counts[where]},
        words=summary.STANDINGS,
        symbols=SYMBOLS,
        lasting=LASTING,
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
        embedded=_embedded(data),
    )


def _run(number: int, scenario: Mapping[str, Any]) -> Run:
    variant = str(scenario["id"]).removeprefix(str(scenario["scenario"])).strip("[]")
    return Run(number, scenario, variant, summary.standing(scenario), draw(scenario["timeline"]))


def _families(runs: list[Run]) -> list[Family]:
    families: dict[str, Family] = {}
    for run in runs:
        name = str(run.data["scenario"])
        family = families.setdefault(name, Family(name))
        family.runs.append(run)
        family.checks += [check for check in run.verdicts if check not in family.checks]
    return list(families.values())


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _embedded(data: Mapping[str, Any]) -> Markup:
    """Give the report as JSON in which nothing can end the element that it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
