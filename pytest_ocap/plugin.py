"""The plugin: hooks only.

Invariant: a run without ocap markers, fixtures or options pays for this module and the few light ones that it
imports, and sees nothing of it.  Collection is the same in every xdist worker, since it depends on markers and on
what the driver *says* it supports; no daemon is asked anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from pytest_ocap.report import transport
from pytest_ocap.report.collector import Collector
from pytest_ocap.sweeps import options as sweeps

if TYPE_CHECKING:
    from collections.abc import Generator

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
        config.pluginmanager.register(Collector(config), "pytest_ocap.collector")


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


def _admit(item: pytest.Item, config: pytest.Config) -> None:
    wishes = markers.wishes(item)
    fixtures = set(FIXTURES).intersection(getattr(item, "fixturenames", ()))
    if wishes or fixtures - {"ocap_clock"}:
        from pytest_ocap import contracts

        item.stash[session.wishes_key] = wishes
        contracts.admit(item, options.driver_of(config))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse to work with wrong arguments, and beside a fake file system."""
    if session.usage_error_key in item.stash:
        pytest.fail(item.stash[session.usage_error_key], pytrace=False)
    if session.wishes_key in item.stash and session.FAKE_FILE_SYSTEMS.intersection(getattr(item, "fixturenames", ())):
        from pytest_ocap.homes import FAKES

        pytest.fail(f"{item.name}: {FAKES}", pytrace=False)
    session.begin(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """After the body of a marked test, check the contract of each of its scenarios."""
    if not item.stash.get(session.wishes_key, None):
        return (yield)
    from pytest_ocap import contracts

    try:
        result = yield
    except (Exception, pytest.fail.Exception):
        _look_beside(item)
        raise
    # What a method of a unittest.TestCase raises is kept by its item until the report is made.
    kept: list[pytest.ExceptionInfo[BaseException]] = getattr(item, "_excinfo", None) or []
    if not kept:
        contracts.check(item)
    elif any(not issubclass(info.type, pytest.skip.Exception) for info in kept):
        _look_beside(item)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let verdicts travel with the report of their test."""
    report = yield
    transport.load(item, report)
    return report


def _look_beside(item: pytest.Item) -> None:
    """Check the contract of a test whose body failed, unless somebody is about to look at what the body left."""
    from pytest_ocap import contracts

    if item.config.getoption("usepdb", False):
        contracts.leave(item)
    else:
        contracts.check_beside(item)
