"""What one test process keeps for its tests: homes, templates, and each item's wishes.

Invariant: nothing is made before the first test that needs it, and all of it is gone when the process's run ends.
State lives in stashes.  Light: imported by every run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ocap import markers, options
from pytest_ocap.marker_table import MARKERS, PHASE
from pytest_ocap.report import transport
from pytest_ocap.report.collector import Collector

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_ocap.homes import Homes
    from pytest_ocap.persisted import Templates
    from pytest_ocap.situation import Situation

wishes_key = pytest.StashKey[dict[str, markers.Wish]]()
usage_error_key = pytest.StashKey[str]()
common_home_key = pytest.StashKey["Path"]()
situation_key = pytest.StashKey["Situation"]()
homes_key = pytest.StashKey["Homes"]()
templates_key = pytest.StashKey["Templates"]()

ARRANGING_FIXTURES = {
    "ocap_missing_bundle": "missing_bundle",
    "ocap_crashed_init": "crashed_init",
    "ocap_stale_socket": "stale_socket",
}
"""The fixtures that arrange what a marker arranges, with its defaults when the test has no such marker."""

STORE_FIXTURES = frozenset({"ocap_store", "ocap_daemon", *ARRANGING_FIXTURES})
"""The fixtures that stand on a persisted store."""

FAKE_FILE_SYSTEMS = frozenset({"fs", "fs_class", "fs_module", "fs_session"})
"""pyfakefs' fixtures."""


def attend(config: pytest.Config) -> None:
    """Have each test of this process attended to from now on, and verdicts gathered if it is the one that reports."""
    manager = config.pluginmanager
    if not manager.has_plugin("pytest_ocap.attending"):
        from pytest_ocap import attending

        manager.register(attending, "pytest_ocap.attending")
        collector: Collector | None = manager.get_plugin(Collector.NAME)
        if collector is not None:
            collector.listen()


def homes_of(config: pytest.Config) -> Homes:
    """Give this process's homes."""
    if homes_key not in config.stash:
        from pytest_ocap.homes import Homes

        worker: dict[str, Any] = getattr(config, "workerinput", {})
        run = str(worker.get("testrunuid") or f"{os.getpid():x}")
        config.stash[homes_key] = Homes(f"{run[:6]}{worker.get('workerid', '')}")
    return config.stash[homes_key]


def templates_of(config: pytest.Config) -> Templates:
    """Give this process's templates of persisted stores."""
    if templates_key not in config.stash:
        from pytest_ocap.persisted import Templates

        config.stash[templates_key] = Templates(homes_of(config))
    return config.stash[templates_key]


def wished(item: pytest.Item) -> dict[str, dict[str, Any]]:
    """Give for each marker of a test, and each fixture that arranges the same, its arguments."""
    found = {name: wish.values for name, wish in item.stash.get(wishes_key, {}).items()}
    for fixture in getattr(item, "fixturenames", ()):
        name = ARRANGING_FIXTURES.get(fixture)
        if name is not None and name not in found:
            found[name] = MARKERS[name].defaults
    return found


def begin(item: pytest.Item) -> None:
    """Forget what an earlier run of the test left: pytest-rerunfailures runs one item several times."""
    if situation_key in item.stash:
        del item.stash[situation_key]
    transport.begin(item)


def situation_of(item: pytest.Item) -> Situation:
    """Give the situation of a test, which is made on first use."""
    if situation_key not in item.stash:
        from pytest_ocap.homes import refuse_fakes
        from pytest_ocap.situation import Situation

        refuse_fakes()
        config = item.config
        attend(config)
        driver, wishes = options.driver_of(config), wished(item)
        crash = wishes.get("crashed_init")
        if crash is not None and crash["phase"] == PHASE:
            crash["phase"] = markers.default_phase(tuple(driver.phases))
        item.stash[situation_key] = Situation(driver, homes_of(config), templates_of(config), wishes)
    return item.stash[situation_key]


def release(item: pytest.Item) -> None:
    """Take back what was arranged for a test."""
    situation = item.stash.get(situation_key, None)
    if situation is not None:
        situation.release()


def common_daemon(config: pytest.Config) -> Path:
    """Give the home of a daemon that serves every scenario which only asks something; started when there is none.

    Raises:
        HarnessBrokenError: It does not start.
    """
    from pytest_ocap.persisted import ANSWER_SECONDS, start
    from pytest_ocap.witness import witnessed

    driver, homes = options.driver_of(config), homes_of(config)
    home = config.stash.get(common_home_key, None)
    if home is not None and driver.ping(home, timeout=ANSWER_SECONDS).ok:
        return home
    if home is not None:
        homes.remove(home)
    home = config.stash[common_home_key] = homes.make()
    with witnessed(driver, home) as recording:
        start(recording, home)
    return home


def close(config: pytest.Config) -> None:
    """Remove all homes of this process, and end what uses them."""
    homes = config.stash.get(homes_key, None)
    if homes is not None:
        from pytest_ocap.clients import close_launchers

        homes.close()
        close_launchers()
