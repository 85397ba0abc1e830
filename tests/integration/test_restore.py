"""Restore: whatever has become of one subcluster, the kernel starts and the others run."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from bench import Bench

from kernel.bundle import sri
from kernel.errors import QuarantinedError, RepairError


@pytest.fixture
def three(bench: Bench) -> list[dict[str, Any]]:
    """Launch three counters and let each count to one."""
    launched = [bench.launch_counter(f"c{number}") for number in (1, 2, 3)]
    for subcluster in launched:
        assert bench.send(subcluster["rootKref"], "increment") == 1
    return launched


def test_a_kernel_with_one_bundle_gone_starts_quarantines_that_one_and_restores_the_others(
    bench: Bench, three: list[dict[str, Any]]
) -> None:
    missing = bench.directory / "c2.bundle"
    missing.unlink()
    report = bench.reopen()

    assert report.restored == (1, 3)
    assert [record.subcluster_id for record in report.quarantined] == [2]
    warnings = bench.log.named("subcluster.quarantined")
    assert len(warnings) == 1
    assert warnings[0]["level"] == "warning"
    assert warnings[0]["subclusterId"] == "s2"
    assert warnings[0]["vat"] == "main"
    assert warnings[0]["bundleSpec"] == missing.as_uri()
    assert warnings[0]["path"] == str(missing)
    assert warnings[0]["code"] == "bundle-missing"
    assert str(missing) in warnings[0]["error"]
    assert bench.send(three[0]["rootKref"], "increment") == 2
    assert bench.send(three[2]["rootKref"], "increment") == 2
    status = bench.subcluster("s2")
    assert status["state"] == "quarantined"
    assert status["quarantine"]["code"] == "bundle-missing"
    assert status["quarantine"]["path"] == str(missing)


def test_when_the_bundle_returns_the_next_start_restores_the_subcluster_state_and_all(
    bench: Bench, three: list[dict[str, Any]]
) -> None:
    bundle = bench.directory / "c2.bundle"
    content = bundle.read_bytes()
    bundle.unlink()
    bench.reopen()
    since = bench.subcluster("s2")["quarantine"]["since"]
    bench.reopen()
    assert bench.subcluster("s2")["quarantine"]["since"] == since, "an old quarantine keeps its date"
    bundle.write_bytes(content)
    report = bench.reopen()
    assert report.restored == (1, 2, 3)
    assert [record["subclusterId"] for record in bench.log.named("subcluster.restored")] == ["s2"]
    assert bench.send(three[1]["rootKref"], "increment") == 2


def damage(how: str, bundle: Path) -> None:
    if how == "directory":
        bundle.unlink()
        bundle.mkdir()
    elif how == "truncated":
        bundle.write_bytes(bundle.read_bytes()[:40])
    elif how == "empty":
        bundle.write_bytes(b"")
    elif how == "changed inside":
        bundle.write_text(bundle.read_text().replace("increment", "decrement"))
    elif how == "dangling link":
        bundle.unlink()
        bundle.symlink_to(bundle.with_suffix(".gone"))
    elif how == "looping link":
        bundle.unlink()
        bundle.symlink_to(bundle)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("directory", "bundle-unreadable"),
        ("truncated", "bundle-corrupt"),
        ("empty", "bundle-corrupt"),
        ("changed inside", "bundle-corrupt"),
        ("dangling link", "bundle-missing"),
        ("looping link", "bundle-unreadable"),
    ],
)
def test_each_way_to_lose_a_bundle_has_its_own_code(
    bench: Bench, three: list[dict[str, Any]], how: str, code: str
) -> None:
    damage(how, bench.directory / "c2.bundle")
    report = bench.reopen()
    assert report.restored == (1, 3)
    assert bench.subcluster("s2")["quarantine"]["code"] == code
    assert bench.send(three[0]["rootKref"], "read") == 1


def test_all_bundles_gone_is_still_a_kernel_that_starts_and_takes_new_subclusters(
    bench: Bench, three: list[dict[str, Any]]
) -> None:
    for number in (1, 2, 3):
        (bench.directory / f"c{number}.bundle").unlink()
    report = bench.reopen()
    assert report.restored == ()
    assert len(bench.log.named("subcluster.quarantined")) == 3
    fresh = bench.launch_counter("fresh")
    assert bench.send(fresh["rootKref"], "increment") == 1


@pytest.mark.parametrize(
    "damage",
    ["'{\"vats\": 7'", "CAST(x'7bfffe7d' AS TEXT)", "replace(hex(zeroblob(50000)), '00', '[')"],
    ids=["cut short", "not UTF-8", "nested without end"],
)
def test_a_record_that_cannot_be_read_is_quarantined_and_not_the_kernels_end(
    bench: Bench, three: list[dict[str, Any]], damage: str
) -> None:
    bench.close()
    connection = sqlite3.connect(bench.directory / "kernel.sqlite")
    connection.execute(f"UPDATE subclusters SET config = {damage} WHERE id = 2")
    connection.commit()
    connection.close()
    report = bench.open()
    assert report.restored == (1, 3)
    status = bench.subcluster("s2")
    assert status["quarantine"]["code"] == "record-corrupt"
    with pytest.raises(QuarantinedError, match="s2"):
        bench.send(three[1]["rootKref"], "read")
    pruned = bench.run(bench.kernel.prune_subclusters(["s2"]))
    assert pruned["pruned"][0]["id"] == "s2"


def test_a_changed_bundle_runs_with_a_notice(bench: Bench, three: list[dict[str, Any]]) -> None:
    source = (bench.directory / "c2.py").read_text()
    bench.bundle("c2", source.replace('.get("count", 0) + 1', '.get("count", 0) + 10'))
    report = bench.reopen()
    assert report.restored == (1, 2, 3)
    notices = bench.log.named("bundle.changed")
    assert [notice["bundleSpec"] for notice in notices] == [(bench.directory / "c2.bundle").as_uri()]
    assert bench.send(three[1]["rootKref"], "increment") == 11
    bench.reopen()
    assert bench.log.named("bundle.changed") == [], "the notice is given once"


def test_a_changed_bundle_with_integrity_is_quarantined(bench: Bench) -> None:
    bundle = bench.bundle("c1")
    config = bench.config({"main": bundle})
    config["vats"]["main"]["integrity"] = sri(bundle.read_bytes())
    launched = bench.launch(config)
    original = bundle.read_bytes()
    bench.bundle("c1", (bench.directory / "c1.py").read_text() + "\n# another\n")
    bench.reopen()
    assert bench.subcluster(launched["subclusterId"])["quarantine"]["code"] == "integrity-mismatch"
    bundle.write_bytes(original)
    bench.run(bench.kernel.repair_subcluster(launched["subclusterId"]))
    assert bench.send(launched["rootKref"], "increment") == 1


def test_a_pinned_vat_runs_its_own_copy_when_the_bundle_has_gone(bench: Bench) -> None:
    bundle = bench.bundle("c1")
    config = bench.config({"main": bundle})
    config["vats"]["main"]["pin"] = True
    launched = bench.launch(config)
    bundle.unlink()
    report = bench.reopen()
    assert report.quarantined == ()
    assert bench.send(launched["rootKref"], "increment") == 1


def test_a_pinned_copy_that_is_gone_or_changed_is_a_quarantine_that_names_it(bench: Bench) -> None:
    bundle = bench.bundle("c1")
    config = bench.config({"main": bundle})
    config["vats"]["main"]["pin"] = True
    bench.launch(config)
    (copy,) = (bench.directory / "bundles").iterdir()
    content = copy.read_bytes()
    copy.unlink()
    bench.reopen()
    assert bench.subcluster("s1")["quarantine"]["code"] == "bundle-missing"
    assert bench.subcluster("s1")["quarantine"]["path"] == str(copy)
    copy.write_bytes(content[:-20])
    bench.reopen()
    assert bench.subcluster("s1")["quarantine"]["code"] == "bundle-corrupt"


def pinned(bench: Bench) -> tuple[dict[str, Any], Path]:
    bundle = bench.bundle("c1")
    config = bench.config({"main": bundle})
    config["vats"]["main"]["pin"] = True
    launched = bench.launch(config)
    (copy,) = (bench.directory / "bundles").iterdir()
    return launched, copy


@pytest.mark.parametrize("place", ["c1.bundle", "elsewhere.bundle"])
def test_a_repair_that_names_a_bundle_makes_a_new_pinned_copy(bench: Bench, place: str) -> None:
    launched, copy = pinned(bench)
    assert bench.send(launched["rootKref"], "increment") == 1
    copy.write_bytes(copy.read_bytes()[:-20])
    bench.reopen()
    assert bench.subcluster("s1")["quarantine"]["code"] == "bundle-corrupt"
    (bench.directory / "c1.bundle").rename(bench.directory / place)
    bench.run(bench.kernel.repair_subcluster("s1", {"main": (bench.directory / place).as_uri()}))
    assert bench.send(launched["rootKref"], "increment") == 2
    (bench.directory / place).unlink()
    assert bench.reopen().quarantined == ()
    assert bench.send(launched["rootKref"], "increment") == 3


def test_a_repair_that_names_a_bad_bundle_leaves_the_pinned_copy_as_it_was(bench: Bench) -> None:
    launched, copy = pinned(bench)
    content = copy.read_bytes()
    copy.write_bytes(content[:-20])
    bench.reopen()
    (bench.directory / "c1.bundle").unlink()
    with pytest.raises(RepairError, match=r"c1\.bundle does not exist"):
        bench.run(bench.kernel.repair_subcluster("s1", {"main": (bench.directory / "c1.bundle").as_uri()}))
    copy.write_bytes(content)
    assert bench.reopen().quarantined == ()
    assert bench.send(launched["rootKref"], "increment") == 1


def test_pinned_copies_that_nobody_runs_any_more_are_removed_at_the_next_start(bench: Bench) -> None:
    _, copy = pinned(bench)
    leftover = copy.with_name(copy.name + ".tmp")
    leftover.write_bytes(b"half")
    bench.reopen()
    assert copy.exists()
    assert not leftover.exists()
    bench.run(bench.kernel.terminate_subcluster("s1"))
    bench.reopen()
    assert not copy.exists()


def test_one_bad_vat_of_a_subcluster_keeps_all_of_it_from_running(bench: Bench) -> None:
    good, bad = bench.bundle("good"), bench.bundle("bad")
    launched = bench.launch(bench.config({"main": good, "other": bad}))
    bad.unlink()
    bench.reopen()
    status = bench.subcluster("s1")
    assert status["state"] == "quarantined"
    assert status["quarantine"]["vat"] == "other"
    with pytest.raises(QuarantinedError):
        bench.send(launched["rootKref"], "read")
    with pytest.raises(QuarantinedError):
        bench.run(bench.kernel.ping_vat(status["vats"]["main"]))


def test_a_vat_whose_new_code_fails_is_quarantined_when_it_is_first_needed(
    bench: Bench, three: list[dict[str, Any]]
) -> None:
    good = (bench.directory / "c2.bundle").read_bytes()
    bench.bundle("c2", "def build_root_object(vat_powers, parameters, baggage):\n    raise ValueError('no luck')\n")
    report = bench.reopen()
    assert report.restored == (1, 2, 3), "code is not run at restore"
    with pytest.raises(QuarantinedError, match="no luck") as caught:
        bench.send(three[1]["rootKref"], "increment")
    assert "is kept" in str(caught.value.remedy)
    quarantine = bench.subcluster("s2")["quarantine"]
    assert quarantine["code"] == "vat-init-failed"
    assert "no luck" in quarantine["message"]
    with pytest.raises(RepairError, match="no luck"):
        bench.run(bench.kernel.repair_subcluster("s2"))
    (bench.directory / "c2.bundle").write_bytes(good)
    bench.run(bench.kernel.repair_subcluster("s2"))
    bench.run_until(lambda: bench.rows("deliveries") == 0)
    assert bench.send(three[1]["rootKref"], "read") == 2, "the message that was kept was delivered after the repair"


def test_a_vat_that_hangs_while_starting_costs_its_own_deadline_and_nobody_elses(
    bench: Bench, three: list[dict[str, Any]]
) -> None:
    bench.bundle("c2", "def build_root_object(vat_powers, parameters, baggage):\n    while True:\n        pass\n")
    bench.reopen(init_timeout=1.5)
    pending = bench.loop.spawn(bench.kernel.queue_message(three[1]["rootKref"], "read", []))
    pending.add_done_callback(lambda _future: None)
    assert bench.send(three[0]["rootKref"], "increment") == 2
    assert bench.log.named("subcluster.quarantined") == [], "the healthy vat answered before the other's deadline"
    bench.run_until(lambda: bench.log.named("subcluster.quarantined"))
    assert bench.subcluster("s2")["quarantine"]["code"] == "vat-init-timeout"
    assert bench.send(three[2]["rootKref"], "increment") == 2


def test_a_vat_that_failed_in_an_earlier_life_is_tried_again_in_the_background(
    bench: Bench, three: list[dict[str, Any]]
) -> None:
    good = (bench.directory / "c2.bundle").read_bytes()
    bench.bundle("c2", "def build_root_object(vat_powers, parameters, baggage):\n    raise ValueError('no luck')\n")
    bench.reopen()
    bench.loop.spawn(bench.kernel.queue_message(three[1]["rootKref"], "read", [])).add_done_callback(lambda _f: None)
    bench.run_until(lambda: bench.log.named("subcluster.quarantined"))
    (bench.directory / "c2.bundle").write_bytes(good)
    bench.reopen()
    bench.run_until(lambda: bench.log.named("subcluster.repaired"))
    assert bench.send(three[1]["rootKref"], "increment") == 2


def test_a_launch_that_a_crash_cut_short_is_rolled_back_at_the_next_start(
    bench: Bench, three: list[dict[str, Any]]
) -> None:
    bench.close()
    connection = sqlite3.connect(bench.directory / "kernel.sqlite")
    connection.execute("UPDATE subclusters SET state = 'launching' WHERE id = 3")
    connection.commit()
    connection.close()
    bench.open()
    assert [entry["id"] for entry in bench.kernel.status()["subclusters"]] == ["s1", "s2"]
    assert [record["subclusterId"] for record in bench.log.named("subcluster.launch-rolled-back")] == ["s3"]


def test_progress_is_told_for_every_subcluster(bench: Bench, three: list[dict[str, Any]]) -> None:
    bench.close()
    seen: list[tuple[int, int]] = []
    bench.open()
    bench.kernel.restore(lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_configuration_is_kept_as_it_was_given(bench: Bench) -> None:
    config = bench.config({"main": bench.bundle("c1")})
    config["vats"]["main"]["parameters"] = {"deep": [1, 2, {"x": None}]}
    bench.launch(config)
    bench.reopen()
    assert json.loads(json.dumps(bench.subcluster("s1")["config"])) == config
