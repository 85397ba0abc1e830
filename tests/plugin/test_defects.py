"""Each defect of the careless little daemon turns a scenario red on the check that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from little_driver import LittleDriver

from pytest_ocap.scenarios import SCENARIOS
from pytest_ocap.verdict import Finding

if TYPE_CHECKING:
    from pathlib import Path

DEFECTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("aborts", "missing_bundle", {}, "boots"),
    ("deletes-record", "missing_bundle", {}, "record-kept"),
    ("skips-healthy", "missing_bundle", {}, "healthy-answer"),
    ("loses-state", "missing_bundle", {}, "state-kept"),
    ("warns-without-bundle", "missing_bundle", {}, "warning-names-subcluster-and-bundle"),
    ("forgets", "missing_bundle", {}, "repaired-on-return"),
    ("skips-healthy", "degraded_boot", {}, "old-vats-answer"),
    ("bare-errno", "bundle_fetch_error", {}, "names-path"),
    ("bare-errno", "bundle_fetch_error", {}, "not-bare-errno"),
    ("opens-fifo", "bundle_fetch_error", {"how": "fifo"}, "quickly"),
    ("never-lists", "bundle_fetch_error", {}, "rolled-back"),
    ("object-name", "legible_fatal", {}, "no-masked-text"),
    ("object-name", "legible_fatal", {}, "client-names-cause"),
    ("fatal-unlogged", "legible_fatal", {}, "log-names-cause"),
    ("fatal-twice", "legible_fatal", {}, "one-fatal-record"),
    ("times-out", "legible_fatal", {}, "fails-fast"),
    ("lingers", "legible_fatal", {}, "nothing-left"),
    ("early-zero", "crashed_init", {}, "crash-reported"),
    ("pid-late", "crashed_init", {"how": "hang"}, "pid-file-early"),
    ("lock-late", "crashed_init", {"how": "hang", "phase": "store"}, "lock-held-early"),
    ("silent-hang", "crashed_init", {"how": "hang"}, "names-pid"),
    ("silent-hang", "crashed_init", {"how": "hang"}, "names-phase"),
    ("silent-hang", "crashed_init", {"how": "hang"}, "says-what-to-do"),
    ("says-locked", "crashed_init", {"how": "hang"}, "not-database-is-locked"),
    ("unlinks-live", "stale_socket", {"kind": "live"}, "left-alone"),
    ("loser-gives-up", "concurrent_start", {}, "all-served"),
    ("trusts-pid", "pid_reuse", {}, "bystander-unharmed"),
    ("all-is-damage", "store_locked", {}, "says-why"),
    ("rollback-journal", "store_locked", {"how": "shared"}, "healthy-answer"),
    ("never-lists", "full_disk", {"when": "launch"}, "rolled-back"),
    ("dies-of-a-full-disk", "full_disk", {"when": "message"}, "daemon-lives"),
    ("silent-without-log", "log_unwritable", {"how": "full"}, "says-why"),
    ("takes-newer", "version_skew", {}, "newer-refused"),
]


WAITING = {"times-out", "opens-fifo", "lingers"}
"""Defects that show only when a time-out has passed: they are looked for with the slow tests."""


@pytest.mark.parametrize(
    ("defect", "scenario", "parameters", "check"),
    [
        pytest.param(*row, marks=[pytest.mark.slow] if row[0] in WAITING else [], id=f"{row[0]}-{row[1]}-{row[3]}")
        for row in DEFECTS
    ],
)
def test_a_defect_is_caught_by_the_check_that_names_it(
    monkeypatch: pytest.MonkeyPatch, short_tmp: Path, defect: str, scenario: str, parameters: dict[str, Any], check: str
) -> None:
    monkeypatch.setenv("LITTLE_DEFECT", defect)
    verdict = SCENARIOS[scenario](LittleDriver(), short_tmp / "h", **parameters)
    assert verdict.verdict is Finding.FAILED, verdict.explain()
    assert check in {found.id for found in verdict.checks if found.verdict is Finding.FAILED}, verdict.explain()
