"""The plugin: hooks only, those of a run as a whole.

Invariant: a run without ocap markers, fixtures or options pays for this module and the few light ones that it
imports, and sees nothing of it: the hooks of each test are in :mod:`pytest_ocap.attending`, which is registered when
there is a test that they are for.  Collection is the same in every xdist worker, since it depends on markers and on
what the driver *says* it supports; no daemon is asked anything.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ocap import hookspecs, markers, options, session
from pytest_ocap.fixtures import (
    FIXTURES,
    _ocap_situation,
    ocap_clock,
    ocap_crashed_init,
    ocap_daemon,
    ocap_driver,
    ocap_home,
    ocap_kernel,
    ocap_missing_bundle,
    ocap_stale_socket,
    ocap_store,
)
from pytest_ocap.report.collector import Collector
from pytest_ocap.sweeps import options as sweeps

SUITE = Path(__file__).with_name("suite")

__all__ = [
    "_ocap_situation",
    "ocap_clock",
    "ocap_crashed_init",
    "ocap_daemon",
    "ocap_driver",
    "ocap_home",
    "ocap_kernel",
    "ocap_missing_bundle",
    "ocap_stale_socket",
    "ocap_store",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register options and ini keys."""
    options.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks that a project may implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register markers, and in the process that reports, the collector of verdicts."""
    markers.register(config)
    sweeps.check(config)
    if sweeps.wanted(config):
        from pytest_ocap.sweeps import face

        face.register(config)
    if not hasattr(config, "workerinput"):
        options.check_reports(config)
        options.check_edition(config)
        options.settle_paths(config)
        config.pluginmanager.register(Collector(config), Collector.NAME)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    session.close(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect the suite's modules also where a project's ``python_files`` does not match their names."""
    if file_path.parent != SUITE or not file_path.name.startswith("test_"):
        return None
    patterns: list[str] = parent.config.getini("python_files")
    if any(file_path.match(pattern) for pattern in patterns) or parent.session.isinitpath(file_path):
        return None  # pytest does so itself
    return pytest.Module.from_parent(parent, path=file_path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Read the markers of the tests that will run; skip those that the driver cannot serve."""
    for item in items:
        try:
            _admit(item, config)
        except pytest.UsageError as error:
            if not hasattr(config, "workerinput"):
                raise
            # Raised here, it would end an xdist worker without a word of it to the user.
            item.stash[session.usage_error_key] = str(error)
            session.attend(config)


def _admit(item: pytest.Item, config: pytest.Config) -> None:
    wishes = markers.wishes(item)
    fixtures = set(FIXTURES).intersection(getattr(item, "fixturenames", ()))
    if wishes or fixtures - {"ocap_clock"}:
        from pytest_ocap import contracts

        item.stash[session.wishes_key] = wishes
        session.attend(config)
        contracts.admit(item, options.driver_of(config))
