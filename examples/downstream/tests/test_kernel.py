"""The kernel that the bank runs on survives what may happen to it; each marker's contract is checked as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ocap.persisted import PersistedStore
    from pytest_ocap.situation import Daemon


@pytest.mark.missing_bundle(subclusters=3, missing=2, how="rename")
def test_two_lost_bundles_harm_nobody_else(ocap_daemon: Daemon) -> None:
    (healthy,) = ocap_daemon.healthy
    assert ocap_daemon.probe(healthy).ok


@pytest.mark.stale_socket(kind="dead")
def test_the_socket_of_a_crashed_daemon_is_no_obstacle(ocap_daemon: Daemon) -> None:
    assert ocap_daemon.ping().ok


@pytest.mark.crashed_init(how="kill", phase="store")
@pytest.mark.persisted_store(subclusters=2)
def test_a_crash_while_the_store_is_opened_loses_nothing(ocap_daemon: Daemon, ocap_store: PersistedStore) -> None:
    for subcluster in ocap_store.subclusters:
        assert ocap_daemon.probe(subcluster).ok


@pytest.mark.degraded_boot
def test_a_degraded_kernel_takes_new_work(ocap_daemon: Daemon) -> None:
    assert ocap_daemon.probe(ocap_daemon.launch()).ok


@pytest.mark.bundle_fetch_error(how="missing")
def test_an_operator_learns_which_file_is_missing(ocap_daemon: Daemon) -> None:
    outcome = ocap_daemon.fetch(ocap_daemon.bad_url)
    assert not outcome.ok
    assert ocap_daemon.bad_url.removeprefix("file://") in outcome.text


@pytest.mark.legible_fatal(cause="store-corrupt")
def test_a_start_that_fails_says_why(ocap_daemon: Daemon) -> None:
    assert "kernel.sqlite" in ocap_daemon.outcome.text
