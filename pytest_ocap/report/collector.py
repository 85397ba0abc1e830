"""Gathers verdicts from test reports, in the process that reports, and has them shown at the end.

Invariant: a test's verdicts are those of its last run, counted once, whether they come from an xdist worker or it was
run again (pytest-rerunfailures), and a test whose worker crashed is in the report as *harness-broken*.  Light:
registered in every run, silent in one without verdicts, and called for each report only where some may carry any.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_ocap.clock import Clock
from pytest_ocap.options import driver_of, pinned_edition, wanted_reports
from pytest_ocap.report import transport

if TYPE_CHECKING:
    from pytest_ocap.driver import KernelDriver
    from pytest_ocap.verdict import Verdict


class Run(NamedTuple):
    """What is to be said of a run as a whole: when it began (ISO 8601), how long it took, and under which pin."""

    driver: KernelDriver
    pinned: str | None
    started: str
    seconds: float


class Collector:
    """The verdicts of a run, in the order in which their tests came in."""

    NAME = "pytest_ocap.collector"
    """Its name among plugins."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._listener = _Listener(self)
        self._said: list[str] = []
        self._unwritten: list[str] = []
        self._found: dict[str, list[Verdict]] = {}
        self._announced: dict[str, list[str]] = {}
        self._clock = Clock()
        self._began = self._clock.now()
        self._started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    @property
    def verdicts(self) -> list[Verdict]:
        """The verdicts of every test's last run."""
        return [verdict for found in self._found.values() for verdict in found]

    def listen(self) -> None:
        """Look at the reports of tests from now on: there are some that may carry verdicts."""
        if not self._config.pluginmanager.is_registered(self._listener):
            self._config.pluginmanager.register(self._listener, f"{self.NAME}.listener")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self) -> None:
        """Listen where xdist's workers run the tests: what those are is not known here."""
        self.listen()

    def take(self, report: pytest.TestReport) -> None:
        """Take the verdicts of a test that was called, or that was not called at all."""
        if report.when == "setup" and report.passed:
            announced = transport.announced(report)
            if announced:
                self._announced[report.nodeid] = announced
        elif report.when in ("setup", "call"):
            self._announced.pop(report.nodeid, None)
            self._found.pop(report.nodeid, None)
            carried = transport.carried(report)
            if carried:
                from pytest_ocap.verdict import Verdict

                self._found[report.nodeid] = [Verdict.from_json(data) for data in carried]

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Take in the scenarios of a test from whose worker nothing came any more."""
        for scenario in self._announced.pop(crashitem, ()):
            from pytest_ocap.standing import stood
            from pytest_ocap.verdict import Finding, lone_finding

            what = f"the test worker crashed while it ran {crashitem}"
            verdict = lone_finding(scenario, Finding.HARNESS_BROKEN, "test-worker", what)
            self._found.setdefault(crashitem, []).append(stood(verdict, self._config, crashitem))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the table, when there is something to show, and where reports are."""
        if self._found:
            from pytest_ocap.report.terminal import show

            show(terminalreporter, self.verdicts)
        for line in self._said:
            terminalreporter.write_line(line)
        for problem in self._unwritten:
            terminalreporter.write_line(f"ERROR: --ocap-{problem}", red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what is wanted, expectations and reports; what cannot be written fails the run."""
        if self._config.getoption("collectonly"):
            return
        if self._config.getoption("--ocap-expect-update") and self._found:
            self._update_expectations()
        self._write_reports()
        if self._unwritten and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def _update_expectations(self) -> None:
        from pytest_ocap.expectations import ExpectationsError
        from pytest_ocap.report import files
        from pytest_ocap.standing import expectations_of

        try:
            expectations = expectations_of(self._config)
            update = expectations.updated(self.verdicts)
            if update.text != expectations.text:
                files.replace(str(expectations.path), update.text)
        except (pytest.UsageError, ExpectationsError, OSError) as error:
            self._unwritten.append(f"expect-update: {error}")
            return
        reasons = ", for each of which a reason has to be filled in" if update.added else ""
        self._said.append(
            f"ocap expectations: {expectations.path}: {update.added} added{reasons}; {update.removed} removed"
        )

    def _write_reports(self) -> None:
        wanted = wanted_reports(self._config)
        if not wanted:
            return
        from pytest_ocap.report.json import as_data
        from pytest_ocap.report.outputs import write_all

        data = as_data(self._run(), self.verdicts)
        sweeps = self._config.pluginmanager.getplugin("pytest_ocap.sweeps.reporter")
        if sweeps is not None:
            data["sweeps"] = sweeps.data()
        wrong = write_all(wanted, data)
        self._unwritten += wrong.values()
        self._said += [f"ocap report: {path}" for output, path in wanted.items() if output not in wrong]

    def _run(self) -> Run:
        seconds = self._clock.now() - self._began
        return Run(driver_of(self._config), pinned_edition(self._config), self._started, seconds)


class _Listener:
    """The one hook that is called for every report."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hand the report on."""
        self._collector.take(report)
