"""The report as one page of HTML that needs nothing else: no network, no other file, no script to be read.

Invariant: the page says what the JSON report says, every scenario, check, detail and piece of evidence, and holds that
report itself for machines; cases of sweeps that passed are counted by point, and not listed, in both.  Whatever daemons
wrote is text: it is escaped as a rule of the template's environment, what cannot be seen is made visible, and the
page's content security policy admits its own style and script and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from pytest_ocap.report import picture as pictures
from pytest_ocap.report import summary
from pytest_ocap.report.chart import LASTING, Chart, draw
from pytest_ocap.report.stored import completed
from pytest_ocap.report.sweeps import PASSED, RESULTS, counts_line, remarks
from pytest_ocap.report.visible import visible

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

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


@dataclass(frozen=True)
class Sweep:
    """The sweep of one workload, as the page shows it."""

    number: int
    data: Mapping[str, Any]
    is_open: bool

    @property
    def anchor(self) -> str:
        """The fragment under which the page has it."""
        return f"sweep-{self.number}"

    @property
    def counts(self) -> str:
        """What was tried and what came of it, in a line."""
        return counts_line(self.data)

    @property
    def remarks(self) -> list[str]:
        """What else there is to say of the whole."""
        return remarks(self.data)

    @property
    def picture(self) -> pictures.Picture | None:
        """Its points along the time line."""
        return pictures.draw(self.data)

    @property
    def table(self) -> pictures.Table:
        """Its cases by call and fault."""
        return pictures.by_call_and_fault(self.data)

    @property
    def lost(self) -> dict[str, Counter[str]]:
        """Its states of the disk by what was lost."""
        return pictures.lost_by_power_cuts(self.data)

    @property
    def troubles(self) -> list[pictures.Trouble]:
        """The points at which something did not pass."""
        return pictures.troubles(self.data)


def render(data: Mapping[str, Any], _suffix: str = ".html") -> str:
    """Give the page."""
    report = completed(data)
    runs = [_run(number, scenario) for number, scenario in enumerate(report["scenarios"], 1)]
    counts = summary.counted(report)
    swept = summary.sweeps(report)
    parts = ("page", "sweeps") if swept else ("page",)
    style, script = (_texts(parts, suffix) for suffix in (".css", ".js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"shell": shlex.quote, "worst": _worst, "ordered": _ordered}
    return environment.get_template("page.html").render(
        report=report,
        runs=sorted(runs, key=lambda run: list(summary.STANDINGS).index(run.standing)),
        families=_families(runs),
        sweeps=_sweeps(swept),
        worsts=pictures.WORSTS,
        causes=pictures.CAUSES,
        replay=pictures.replay,
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


def _sweeps(swept: Sequence[Mapping[str, Any]]) -> list[Sweep]:
    """Give the sweeps, those that fail the run first; the first of them is open, and a lone one."""
    ordered = sorted(swept, key=lambda sweep: not sweep["red"])
    return [
        Sweep(number, sweep, number == 1 and (sweep["red"] or len(ordered) == 1))
        for number, sweep in enumerate(ordered, 1)
    ]


def _worst(counts: Counter[str]) -> str:
    return next(result for result in RESULTS if counts[result])


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return {result: counts[result] for result in RESULTS if counts[result]}


def _texts(parts: Sequence[str], suffix: str) -> str:
    return "".join((PAGE / f"{part}{suffix}").read_text(encoding="utf-8") for part in parts)


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _embedded(data: Mapping[str, Any]) -> Markup:
    """Give the report as JSON in which nothing can end the element that it stands in."""
    if "sweeps" in data:
        data = {**data, "sweeps": [_without_passed(sweep) for sweep in data["sweeps"]]}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _without_passed(sweep: Mapping[str, Any]) -> dict[str, Any]:
    return {**sweep, "trials": [trial for trial in sweep["trials"] if trial["result"] != PASSED]}


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
