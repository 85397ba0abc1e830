"""The pytest face of sweeps; registered when something is to be swept, and in no other run.

Invariant: items are shards, and collecting them needs no daemon: every process collects the same.  What a shard found
travels whole with its test's report.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ocap import session
from pytest_ocap.driver import lacks
from pytest_ocap.options import driver_of
from pytest_ocap.sweeps import options

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence

    from pytest_ocap.sweeps.cases import Case
    from pytest_ocap.sweeps.running import Shard, Sweeper
    from pytest_ocap.sweeps.trial import Trial

ITEMS = Path(__file__).with_name("items.py")

CARRIED = "ocap_sweep"
"""The report of a shard's test has here what it found, as data."""

NOT_DONE = "ocap_sweep_not_done"
"""The report of a shard's test that was skipped has here the name of the workload."""

shard_key = pytest.StashKey["Shard"]()
sweeper_key = pytest.StashKey["Sweeper"]()


class Face:
    """Collects shards, and lets what they found travel."""

    def __init__(self, config: pytest.Config) -> None:
        self.wishes = options.wishes(config)
        self.reporter: Reporter | None = None
        self._config = config
        self._items = 0

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
        """Collect the shards."""
        if file_path != ITEMS:
            return None
        patterns: list[str] = parent.config.getini("python_files")
        if any(file_path.match(pattern) for pattern in patterns) or parent.session.isinitpath(file_path):
            return None  # pytest does so itself
        return pytest.Module.from_parent(parent, path=file_path)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Count the shards that a budget is for: none of a workload that the daemon cannot do."""
        shards = [item for item in items if item.path == ITEMS]
        self._items = sum(item.get_closest_marker("skip") is None for item in shards)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let what a shard found travel with the report of its test."""
        report = yield
        if report.when == "call" and shard_key in item.stash:
            from pytest_ocap.report.visible import encodable
            from pytest_ocap.sweeps.summary import properties

            shard = item.stash[shard_key]
            setattr(report, CARRIED, encodable(shard.to_json()))
            shown = properties(shard, self.wishes.shards)
            item.user_properties[:] = [*(pair for pair in item.user_properties if pair[0] not in dict(shown)), *shown]
            del item.stash[shard_key]
        if report.skipped and item.path == ITEMS and isinstance(item, pytest.Function):
            setattr(report, NOT_DONE, item.callspec.params["workload"])
        return report

    def share(self, processes: int) -> float | None:
        """Give the seconds that a shard may take when so many processes share the budget out; None: there is none."""
        budget = self.wishes.budget
        return None if budget is None else budget * processes / max(1, self._items)

    def sweeper(self) -> Sweeper:
        """Give this process's sweeper, which is made on first use."""
        config = self._config
        if sweeper_key not in config.stash:
            from pytest_ocap.sweeps.choosing import cuts_for, injector_for
            from pytest_ocap.sweeps.results import Results
            from pytest_ocap.sweeps.running import Allowance, Sweeper
            from pytest_ocap.sweeps.trial import Trials

            driver = driver_of(config)
            worker: dict[str, Any] = getattr(config, "workerinput", {})
            injector = injector_for(driver, self.wishes.means)
            homes, templates = session.homes_of(config), session.templates_of(config)
            trials = Trials(driver, homes, templates, injector, cuts_for(self.wishes.means))
            share = self.share(int(worker.get("workercount", 1)))
            config.stash[sweeper_key] = Sweeper(
                trials,
                self.wishes,
                Results(self.wishes.results, driver, injector.name, str(worker.get("workerid", "main"))),
                Allowance(share),
                self._replay,
                {name: os.environ[name] for name in ("PYTHONPATH",) if os.environ.get(name)},
                self._told,
            )
        return config.stash[sweeper_key]

    def pytest_unconfigure(self) -> None:
        """End what the injector has started."""
        sweeper = self._config.stash.get(sweeper_key, None)
        if sweeper is not None:
            sweeper.close()

    def _told(self, trial: Trial) -> None:
        if self.reporter is not None:
            self.reporter.tried(trial)

    def _replay(self, case: Case) -> Sequence[str]:
        config = self._config
        words = [os.fspath(config.invocation_params.dir), sys.executable, "-m", "pytest"]
        words += ["--rootdir", os.fspath(config.rootpath)]
        if config.inipath is not None:
            words += ["-c", os.fspath(config.inipath)]
        words += ["-p", "pytest_ocap"]  # by name, as xdist: whoever replays may load no plugin by itself
        if config.pluginmanager.hasplugin("xdist"):
            words += ["-p", "xdist", "-n0"]
        words += ["--pyargs", "pytest_ocap.sweeps"]
        if config.getoption("--ocap-driver"):
            words += ["--ocap-driver", config.getoption("--ocap-driver")]
        if self.wishes.means is not None:
            words += ["--ocap-sweep-means", self.wishes.means]
        return [*words, "--ocap-sweep", ",".join(case.kinds), "--ocap-point", case.id]


class Reporter:
    """Gathers what shards found, in the process that reports, and shows it: while it goes on, and at the end."""

    def __init__(self, config: pytest.Config, face: Face) -> None:
        from pytest_ocap.sweeps.progress import Progress

        self.shards: dict[str, Shard] = {}
        self._not_done: set[str] = set()
        self._config = config
        self._face = face
        self._progress = Progress(config, face.wishes)
        if face.wishes.fresh:
            self._forget(None if face.wishes.means is None else {face.wishes.means})

    def data(self) -> list[dict[str, Any]]:
        """Give what came of the sweep of each workload, as JSON data."""
        from pytest_ocap.sweeps import summary

        return summary.as_data(self.shards.values(), self._face.wishes)

    def tried(self, trial: Trial) -> None:
        """Take in that a case was tried in this process."""
        self._progress.tried(trial)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what a shard found."""
        if (workload := getattr(report, NOT_DONE, None)) is not None:
            self._not_done.add(workload)
        data = getattr(report, CARRIED, None)
        if data is not None:
            from pytest_ocap.sweeps.running import Shard

            shard = Shard.from_json(data)
            self.shards[report.nodeid] = shard
            self._progress.finished(shard)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what came of the sweep."""
        from pytest_ocap.report.sweeps import lines

        found = self.data()
        if not found:
            return
        terminalreporter.section("ocap sweeps")
        for data in found:
            red = data["red"]
            first, *rest = lines(data)
            terminalreporter.write_line(first, red=red, green=not red)
            for line in rest:
                terminalreporter.write_line(line)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run in which nothing was measured; forget what is known when the sweep is whole."""
        found = self.data()
        if any(data["red"] for data in found) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if found and self._whole(found):
            self._forget({shard.means for shard in self.shards.values()})

    def _whole(self, found: Sequence[dict[str, Any]]) -> bool:
        """Say whether nothing is left of what was wished for and can be done."""
        from pytest_ocap.sweeps.workloads import WORKLOADS

        driver = driver_of(self._config)
        possible = {name for name in self._face.wishes.workloads if lacks(driver, WORKLOADS[name].needs) is None}
        return possible - self._not_done == {data["workload"] for data in found} and all(
            not data["left"] and data["shards"]["run"] == data["shards"]["of"] for data in found
        )

    def _forget(self, means: Collection[str] | None) -> None:
        from pytest_ocap.sweeps.results import forget

        wishes = self._face.wishes
        if wishes.results is not None:
            forget(wishes.results, driver_of(self._config), wishes.workloads, wishes.kinds, means)


def register(config: pytest.Config) -> None:
    """Register what a sweep needs, in the process that reports and in those that run."""
    face = Face(config)
    config.pluginmanager.register(face, "pytest_ocap.sweeps.face")
    if not hasattr(config, "workerinput"):
        face.reporter = Reporter(config, face)
        config.pluginmanager.register(face.reporter, "pytest_ocap.sweeps.reporter")


def face_of(config: pytest.Config) -> Face:
    """Give the face of this run."""
    face = config.pluginmanager.getplugin("pytest_ocap.sweeps.face")
    assert isinstance(face, Face), "items of a sweep are collected in a sweep only"
    return face
