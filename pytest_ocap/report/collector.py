"""Gathers verdicts from test reports, in the process that reports, and has them shown at the end.

Invariant: a verdict is counted once, also when it comes from an xdist worker, and a test whose worker crashed is in
the report as *harness-broken*.  Light: registered in every run, and silent in one without verdicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_ocap.options import driver_of, report_path
from pytest_ocap.report import transport

if TYPE_CHECKING:
    from pytest_ocap.verdict import Verdict


class Collector:
    """The verdicts of a run, in the order in which they came in."""

    def __init__(self, config: pytest.Config) -> None:
        self.verdicts: list[Verdict] = []
        self._config = config
        self._announced: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the verdicts of a test that was called, or that was not called at all."""
        if report.when == "setup" and report.passed:
            announced = transport.announced(report)
            if announced:
                self._announced[report.nodeid] = announced
        elif report.when in ("setup", "call"):
            self._announced.pop(report.nodeid, None)
            for data in transport.carried(report):
                from pytest_ocap.verdict import Verdict

                self.verdicts.append(Verdict.from_json(data))

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Take in the scenarios of a test from whose worker nothing came any more."""
        for scenario in self._announced.pop(crashitem, ()):
            from pytest_ocap.verdict import Finding, lone_finding

            what = f"the test worker crashed while it ran {crashitem}"
            self.verdicts.append(lone_finding(scenario, Finding.HARNESS_BROKEN, "test-worker", what))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table, when there is something to show."""
        if self.verdicts:
            from pytest_ocap.report.terminal import show

            show(terminalreporter, self.verdicts)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the report, when one is wanted."""
        path = report_path(self._config)
        if path is not None:
            from pytest_ocap.report.json import write

            write(path, driver_of(self._config), self.verdicts)
